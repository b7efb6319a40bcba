"""Contract: gRPC, section 3: ManagementAPIsService."""

import json

import pytest


@pytest.fixture
def shelf(client):
    """An archive of the store that is registered under no name, and is no more afterwards."""
    name = "shelf"
    client.contract.model(name, "tell")
    client.contract.forget(name)
    client.manage("UnregisterModel", model_name=name)
    yield f"{name}-1.0"
    client.contract.management("DELETE", f"/models/{name}")


def described(client, model="shelf", **asked):
    [told] = json.loads(client.manage("DescribeModel", model_name=model, **asked))
    return told


def test_the_texts_of_list_and_describe_are_rests(client):
    by_rest = client.contract.management("GET", "/models/tell").body.decode()
    assert {**described(client, "tell"), "workers": []} == {**json.loads(by_rest)[0], "workers": []}
    told = client.manage("ListModels", limit=1)
    assert told + "\n" == client.contract.management("GET", "/models?limit=1").body.decode()


def test_a_list_without_a_limit_is_a_page(client, deviates):
    deviates("`limit` left out")
    assert "tell" in [model["modelName"] for model in json.loads(client.manage("ListModels"))["models"]]
    assert json.loads(client.manage("ListModels", limit=0)) == {"models": [], "nextPageToken": "0"}
    assert json.loads(client.manage("ListModels", limit=1, next_page_token=1))["nextPageToken"] == "2"


def test_describing_takes_a_version_all_of_them_or_asks_the_handler(client, refused):
    assert described(client, "tell", model_version="1.0") == described(client, "tell", model_version="all")
    assert "customizedMetadata" in described(client, "tell", customized=True)
    with refused("NOT_FOUND", "Model not found: nobody"):
        client.manage("DescribeModel", model_name="nobody")
    with refused("NOT_FOUND", "Model version: 9 does not exist for model: tell"):
        client.manage("DescribeModel", model_name="tell", model_version="9")


def test_a_registration_without_workers(client, shelf):
    told = client.manage("RegisterModel", url=shelf, initial_workers=0)
    assert told == (
        'Model "shelf" Version: 1.0 registered with 0 initial workers. '
        "Use scale workers API to add workers for the model."
    )


def test_a_registration_waits_for_workers_only_when_told_to(client, shelf):
    assert client.manage("RegisterModel", url=shelf, initial_workers=1) == "Processing worker updates..."
    client.contract.eventually(lambda: described(client)["state"] == "ready")
    client.manage("UnregisterModel", model_name="shelf")
    told = client.manage("RegisterModel", url=shelf, initial_workers=1, synchronous=True)
    assert told == 'Model "shelf" Version: 1.0 registered with 1 initial workers'


FIELDS = {
    "batch_size": (4, "batchSize"), "max_batch_delay": (7, "maxBatchDelay"), "response_timeout": (9, "responseTimeout"),
    "startup_timeout": (8, "startupTimeout"), "runtime": ("python3", "runtime"),
}  # fmt: skip


@pytest.mark.parametrize("field", FIELDS)
def test_a_registration_says_how_the_model_is_run(client, shelf, field):
    value, shown = FIELDS[field]
    client.manage("RegisterModel", url=shelf, **{field: value})
    assert described(client)[shown] == value


def test_a_registration_names_model_and_handler(client, shelf, refused):
    client.manage("RegisterModel", url=shelf, model_name="renamed")
    assert described(client, "renamed")["modelVersion"] == "1.0"
    assert client.manage("UnregisterModel", model_name="renamed") == 'Model "renamed" unregistered'
    with refused("INTERNAL", "Failed to start workers for model shelf version: 1.0\n"):
        client.manage("RegisterModel", url=shelf, handler="nothing:here", initial_workers=1, synchronous=True)
    with refused("NOT_FOUND"):
        described(client)


def test_numbers_below_0_say_nothing_and_0_is_0(client, shelf, deviates):
    deviates("0 in a request")
    client.manage("RegisterModel", url=shelf, batch_size=-1, max_batch_delay=-1, initial_workers=-1)
    assert [described(client)[key] for key in ("batchSize", "maxBatchDelay", "minWorkers")] == [1, 100, 1]
    client.manage("ScaleWorker", model_name="shelf", min_worker=2)
    client.manage("ScaleWorker", model_name="shelf", min_worker=-1)
    assert described(client)["minWorkers"] == 1
    told = client.manage("ScaleWorker", model_name="shelf", min_worker=0, synchronous=True)
    assert (told, described(client)["minWorkers"]) == ("Workers scaled to 0 for model: shelf", 0)
    client.manage("UnregisterModel", model_name="shelf")
    client.manage("RegisterModel", url=shelf, max_batch_delay=0)
    assert described(client)["maxBatchDelay"] == 0


@pytest.mark.parametrize(
    ("fields", "code", "text"),
    [
        ({}, "INVALID_ARGUMENT", "Parameter url is required."),
        ({"url": "none.mar"}, "NOT_FOUND", "Model not found at: none.mar"),
        ({"url": "../x.mar"}, "NOT_FOUND", "Relative path is not allowed in url: ../x.mar"),
        ({"url": "http://a.example/x.mar"}, "NOT_FOUND", "does not match any allowed URL(s)"),
        ({"url": "tell-1.0"}, "ALREADY_EXISTS", "Model version 1.0 is already registered for model tell"),
        ({"url": "tell-1.0", "runtime": "ruby"}, "INVALID_ARGUMENT", "Invalid RuntimeType value: ruby"),
        ({"url": "tell-1.0", "s3_sse_kms": True}, "INVALID_ARGUMENT", "presigned URL"),
    ],
)
def test_a_registration_that_cannot_be_is_refused(client, refused, deviates, fields, code, text):
    deviates("registering a version that is there")
    with refused(code, text):
        client.manage("RegisterModel", **fields)


def test_scaling_has_rests_texts(client, refused):
    scale = {"model_name": client.contract.model("elastic", "tell")}
    assert client.manage("ScaleWorker", **scale, min_worker=2) == "Processing worker updates..."
    told = client.manage("ScaleWorker", **scale, model_version="1.0", min_worker=1, max_worker=3, synchronous=True)
    assert told == "Workers scaled to 1 for model: elastic, version: 1.0"
    assert described(client, "elastic")["maxWorkers"] == 3
    with refused("INVALID_ARGUMENT", "max_worker cannot be less than min_worker."):
        client.manage("ScaleWorker", **scale, min_worker=2, max_worker=1)
    with refused("NOT_FOUND", "Model not found: nobody"):
        client.manage("ScaleWorker", model_name="nobody")


def test_the_default_version_is_set_and_stays_while_there_are_others(client, refused, deviates):
    deviates("removing the default version")
    for version in ("1.0", "2.0"):
        client.contract.model("versions", "tell", version=version)
    with refused("FAILED_PRECONDITION", "Cannot remove default version for model versions"):
        client.manage("UnregisterModel", model_name="versions")
    told = client.manage("SetDefault", model_name="versions", model_version="2.0")
    assert told == 'Default version successfully updated for model "versions" to "2.0"'
    told = client.manage("UnregisterModel", model_name="versions", model_version="1.0")
    assert told == 'Model "versions" unregistered'
    with refused("NOT_FOUND", "Model version 3.0 does not exist for model versions"):
        client.manage("SetDefault", model_name="versions", model_version="3.0")
    assert client.manage("UnregisterModel", model_name="versions") == 'Model "versions" unregistered'


@pytest.mark.parametrize("operation", ["DescribeModel", "ScaleWorker", "SetDefault", "UnregisterModel"])
def test_a_model_must_be_named(client, refused, operation):
    with refused("INVALID_ARGUMENT", "Parameter model_name is required."):
        client.manage(operation)


def test_an_unregistration_of_nobody_is_not_found(client, refused):
    with refused("NOT_FOUND", "Model not found: nobody"):
        client.manage("UnregisterModel", model_name="nobody")
