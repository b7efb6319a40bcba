"""Registering, row by row (contract: management API, section 3), over HTTP and with real workers."""

from __future__ import annotations

import json
from urllib.parse import urlencode

import pytest

HANDLER = """
def handle(data, context):
    return [context.manifest["model"]["modelVersion"]] * len(data or [])
"""
BROKEN = """
raise RuntimeError("as ordered")
"""
CONFIGURED = "minWorkers: 1\nmaxWorkers: 2\nbatchSize: 4\nresponseTimeout: 33\n"


def folder(store, name, version="1.0", handler=HANDLER, yaml=""):
    """An archive that is a folder."""
    made = store / f"{name}-{version}"
    (made / "MAR-INF").mkdir(parents=True)
    (made / "h.py").write_text(handler)
    (made / "c.yaml").write_text(yaml)
    model = {"modelName": name, "modelVersion": version, "handler": "h.py", "configFile": "c.yaml"}
    text = json.dumps({"runtime": "python", "model": model})
    (made / "MAR-INF" / "MANIFEST.json").write_text(text)


@pytest.fixture(scope="module")
def store(contract):
    """The server's model store, with archives that are folders."""

    store = contract.server.store
    folder(store, "plain")
    folder(store, "plain", "2.0")
    folder(store, "broken", handler=BROKEN)
    folder(store, "configured", yaml=CONFIGURED)
    (contract.server.store / "torn.mar").write_bytes(b"no archive")


@pytest.fixture
def register(contract, store):
    """Register, and take everything away when the test is over."""

    def ask(body=None, headers=None, **parameters):
        path = f"/models?{urlencode(parameters)}" if parameters else "/models"
        return contract.request("POST", path, body, headers, listener="management")

    yield ask
    for model in contract.management("GET", "/models").json()["models"]:
        name = model["modelName"]
        versions = contract.management("GET", f"/models/{name}/all").json()
        for version in [version["modelVersion"] for version in versions][::-1]:
            if contract.management("DELETE", f"/models/{name}/{version}").status == 403:
                contract.management("DELETE", f"/models/{name}/{version}")
        contract.management("DELETE", f"/models/{name}")


def described(contract, name, version=None):
    return contract.management("GET", f"/models/{name}" + (f"/{version}" if version else "")).json()[0]


def test_without_workers_the_answer_says_how_to_add_some(register):
    answer = register(url="plain-1.0")
    text = 'Model "plain" Version: 1.0 registered with 1 initial workers'
    assert (answer.status, answer.json()) == (200, {"status": text})  # default_workers_per_model=1 here
    answer = register(url="plain-2.0", initial_workers=0)
    more = ". Use scale workers API to add workers for the model."
    assert answer.json() == {"status": text.replace("1.0", "2.0").replace("with 1", "with 0") + more}


def test_a_registration_that_nobody_waits_for_can_be_followed(register, contract, deviates):
    deviates("202 of a registration")
    answer = register(url="plain-1.0", initial_workers=1, synchronous="false")
    assert (answer.status, answer.json()) == (202, {"status": "Processing worker updates..."})
    assert answer["location"] == "/models/plain/1.0"
    contract.eventually(lambda: contract.management("GET", answer["location"]).json()[0]["state"] == "ready")

    answer = register(url="broken-1.0", initial_workers=1, synchronous="false")
    assert answer.status == 202
    contract.eventually(lambda: contract.management("GET", answer["location"]).json()[0]["state"] == "failing")
    found = contract.management("GET", answer["location"]).json()[0]
    assert "RuntimeError: as ordered" in found["reason"]
    assert "as ordered" in found["workers"][0]["lastError"]


def test_a_failed_registration_leaves_nothing(register, contract, deviates):
    deviates("failed registration")
    answer = register(url="broken-1.0", initial_workers=2)
    text = "Failed to start workers for model broken version: 1.0"
    assert answer.error == (500, "InternalServerException", text)
    assert "RuntimeError: as ordered" in answer.json()["detail"]
    assert contract.management("GET", "/models/broken").status == 404


def test_a_start_up_time_of_none_is_no_time(register, contract):
    assert register(url="plain-1.0", initial_workers=1, startup_timeout=0).status == 500
    assert contract.management("GET", "/models/plain").status == 404


@pytest.mark.parametrize(
    ("error", "status"),
    [("MemoryError()", 507), ("RuntimeError('CUDA error')", 507), ("ImportError('CUDA')", 500), ("ValueError()", 500)],
)
def test_a_model_for_want_of_memory_is_507(register, contract, error, status):
    name = f"needs-{sum(map(ord, error))}"
    folder(contract.server.store, name, handler=f"def handle(data, context):\n    raise {error}\n")
    answer = register(url=f"{name}-1.0", initial_workers=1)
    assert answer.error == (status, "InternalServerException", f"Failed to start workers for model {name} version: 1.0")
    assert contract.management("GET", f"/models/{name}").status == 404


def test_scaling_to_workers_that_cannot_load_fails_each_time(register, contract):
    assert register(url="broken-1.0", initial_workers=0).status == 200
    for path in ("/models/broken", "/models/broken/1.0"):
        answer = contract.management("PUT", f"{path}?min_worker=1&synchronous=true")
        assert answer.error == (500, "InternalServerException", "Failed to start workers for model broken version: 1.0")
    assert contract.management("PUT", "/models/broken?min_worker=1").status == 202


def test_a_model_that_never_loads_is_given_up_when_its_time_is_over(register, contract):
    folder(contract.server.store, "hopeless", handler=BROKEN, yaml="maxRetryTimeoutInSec: 1\n")
    assert register(url="hopeless-1.0", initial_workers=1, synchronous="false").status == 202
    assert contract.request("GET", "/ping").status == 200
    contract.eventually(lambda: described(contract, "hopeless")["workers"][0]["status"] == "FAILED")
    assert contract.request("GET", "/ping").status == 500
    assert contract.post("/predictions/hopeless").status == 503
    (before,) = described(contract, "hopeless")["workers"]
    assert contract.management("PUT", "/models/hopeless?min_worker=1&synchronous=true").status == 500
    (after,) = described(contract, "hopeless")["workers"]
    assert (before["pid"], after["status"]) == (-1, "FAILING")
    assert int(after["id"]) > int(before["id"])  # numbers are never used again


def test_a_model_that_loads_for_too_long_is_ended(register, contract, deviates):
    deviates("a model that is not loaded in time")
    folder(contract.server.store, "sleepy", handler="import time\ntime.sleep(60)\n", yaml="startupTimeout: 1\n")
    answer = register(url="sleepy-1.0", initial_workers=1)
    assert answer.error == (504, "InternalServerException", "Failed to start workers for model sleepy version: 1.0")
    assert "not loaded within 1 seconds; hint: raise startupTimeout" in answer.json()["detail"]


def test_nobody_gets_more_workers_than_any_machine_has_room_for(register, contract):
    register(url="plain-1.0", initial_workers=0)
    error = (400, "BadRequestException", "1001 workers: a model may have 1000 at most.")
    assert contract.management("PUT", "/models/plain?min_worker=1001").error == error
    assert contract.management("PUT", f"/models/plain?min_worker={10**9}").status == 400
    assert register(url="plain-2.0", initial_workers=1001).error == error
    assert described(contract, "plain")["workers"] == []
    assert contract.management("GET", "/models/plain/2.0").status == 404


def test_a_handler_that_is_not_there_fails_when_workers_come(register, contract):
    assert register(url="plain-1.0", handler="h:nothing", initial_workers=0).status == 200
    answer = contract.management("PUT", "/models/plain?min_worker=1&synchronous=true")
    assert answer.error[0] == 500
    assert "nothing" in answer.json()["detail"]


JSON = {"Content-Type": "application/json"}


@pytest.mark.parametrize(
    "body",
    [
        {"url": "plain-1.0", "batch_size": 3, "max_batch_delay": "40", "initial_workers": 0, "response_timeout": 5},
        "{'url': 'plain-1.0', batch_size: '3', 'max_batch_delay': 40, 'initial_workers': 0, 'response_timeout': '5'}",
    ],
)
def test_parameters_may_be_json(register, contract, body):
    text = body if isinstance(body, str) else json.dumps(body)
    assert register(text, JSON).status == 200
    found = described(contract, "plain")
    keys = ("batchSize", "maxBatchDelay", "responseTimeout", "startupTimeout", "minWorkers")
    assert [found[key] for key in keys] == [3, 40, 5, 120, 0]


def test_with_json_the_query_does_not_count(register, contract):
    answer = contract.request("POST", "/models?url=plain-1.0", "{}", JSON, listener="management")
    assert answer.error == (400, "BadRequestException", "Parameter url is required.")


def test_the_delay_of_a_json_body_is_100_ms(register, contract, deviates):
    deviates("`max_batch_delay` left out of a JSON body")
    register(json.dumps({"url": "plain-1.0", "initial_workers": 0}), JSON)
    assert described(contract, "plain")["maxBatchDelay"] == 100


def test_the_request_goes_before_the_yaml_and_that_before_the_defaults(register, contract, deviates):
    deviates("response and start-up time-outs of a registration")
    deviates("`initial_workers` of an archive with workers")
    register(url="configured-1.0", initial_workers=3, batch_size=2, synchronous="false")
    found = described(contract, "configured")
    keys = ("minWorkers", "maxWorkers", "batchSize", "maxBatchDelay", "responseTimeout", "startupTimeout")
    assert [found[key] for key in keys] == [3, 3, 2, 100, 33, 120]


def test_workers_of_the_yaml_count_where_none_are_asked_for(register, contract):
    register(url="configured-1.0")
    found = described(contract, "configured")
    assert [found["minWorkers"], found["maxWorkers"], found["batchSize"]] == [1, 2, 4]


LENIENT = [
    "batch_size=99999999999999999999",
    "max_batch_delay=99999999999999999999",
    "startup_timeout=99999999999999999999",
    "batch_size=dd",
    "max_batch_delay=junk",
    "synchronous=-1",
    "initial_workers=-1",
    "batch_size=-1",
]


@pytest.mark.parametrize("query", LENIENT)
def test_a_number_that_is_none_counts_as_not_given(register, query):
    name, value = query.split("=")
    answer = register(**({"url": "plain-1.0", "initial_workers": 0} | {name: value}))
    assert answer.status == 200


REFUSED = [
    ({}, 400, "BadRequestException", "Parameter url is required."),
    ({"url": ""}, 404, "ModelNotFoundException", "empty url"),
    ({"url": "../x.mar"}, 404, "ModelNotFoundException", "Relative path is not allowed in url: ../x.mar"),
    ({"url": "none.mar"}, 404, "ModelNotFoundException", "Model not found at: none.mar"),
    ({"url": "ftp://h/none.mar"}, 404, "ModelNotFoundException", "Model not found at: ftp://h/none.mar"),
    (
        {"url": "http://169.254.169.254/x.mar"},
        404,
        "ModelNotFoundException",
        "Given URL http://169.254.169.254/x.mar does not match any allowed URL(s)",
    ),
    (
        {"url": "plain-1.0", "runtime": "LSP"},
        400,
        "BadRequestException",
        "The runtime of model plain is LSP, the C++ backend, which is not here",
    ),
    ({"url": "plain-1.0", "runtime": "java"}, 400, "BadRequestException", "Invalid RuntimeType value: java"),
    ({"url": "torn.mar"}, 400, "InvalidModelException", None),
    ({"url": "plain-1.0", "s3_sse_kms": "true"}, 400, "BadRequestException", None),
    ({"url": "plain-1.0", "model_name": "a/b"}, 400, "BadRequestException", None),
]


@pytest.mark.parametrize(("parameters", "status", "kind", "message"), REFUSED)
def test_what_cannot_be_registered_says_why(register, parameters, status, kind, message):
    answer = register(**parameters)
    assert answer.error[:2] == (status, kind)
    assert message is None or answer.error[2] == message


@pytest.mark.parametrize("body", ["", "[1]", "{", "nonsense", '{"url": 1', "{url: &a [*a]}"])
def test_a_body_that_is_no_object_is_refused(register, body, deviates):
    deviates("bad or empty JSON body on register")
    assert register(body, JSON).status in (400, 404)


def test_a_version_is_registered_once(register):
    register(url="plain-1.0", initial_workers=0)
    text = "Model version 1.0 is already registered for model plain"
    assert register(url="plain-1.0", initial_workers=0).error == (409, "ConflictStatusException", text)
    assert register(url="plain-1.0", initial_workers=0, model_name="other").status == 200


def test_versions_have_a_default_that_goes_last(register, contract):
    ask = contract.management
    for version in ("1.0", "2.0"):
        register(url=f"plain-{version}", initial_workers=1)
    assert contract.post("/predictions/plain").body == b"1.0"
    assert contract.post("/predictions/plain/2.0").body == b"2.0"
    assert ask("DELETE", "/models/plain").error == (
        403,
        "InvalidModelVersionException",
        "Cannot remove default version for model plain",
    )
    answer = ask("PUT", "/models/plain/2.0/set-default")
    assert answer.json() == {"status": 'Default version successfully updated for model "plain" to "2.0"'}
    assert contract.post("/predictions/plain").body == b"2.0"
    assert ask("DELETE", "/models/plain/1.0").json() == {"status": 'Model "plain" unregistered'}
    assert ask("DELETE", "/models/plain/?synchronous=true").status == 200


NOT_THERE = [
    ("GET", "/models/none", "ModelNotFoundException", "Model not found: none"),
    ("PUT", "/models/none", "ModelNotFoundException", "Model not found: none"),
    ("DELETE", "/models/none", "ModelNotFoundException", "Model not found: none"),
    ("PUT", "/models/none/1.0/set-default", "ModelNotFoundException", "Model not found: none"),
    ("GET", "/v1/models/none", "ModelNotFoundException", "Model not found: none"),
    ("GET", "/models/plain/9", "ModelVersionNotFoundException", "Model version: 9 does not exist for model: plain"),
    ("PUT", "/models/plain/9", "ModelVersionNotFoundException", "Model version: 9 does not exist for model: plain"),
    ("DELETE", "/models/plain/9", "ModelVersionNotFoundException", "Model version: 9 does not exist for model: plain"),
    (
        "PUT",
        "/models/plain/9/set-default",
        "ModelVersionNotFoundException",
        "Model version 9 does not exist for model plain",
    ),
]


def test_what_is_not_there_is_404(register, contract):
    register(url="plain-1.0", initial_workers=0)
    for method, path, kind, message in NOT_THERE:
        assert contract.management(method, path).error == (404, kind, message), (method, path)


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("PATCH", "/models", 405),
        ("PUT", "/models", 405),
        ("DELETE", "/models", 405),
        ("POST", "/models/plain", 405),
        ("POST", "/v1/models/plain", 405),
        ("GET", "/models/plain/1.0/foo", 404),
        ("GET", "/nowhere", 404),
        ("OPTIONS", "/", 200),
        ("GET", "/api-description", 200),
    ],
)
def test_other_methods_and_paths(contract, method, path, status):
    assert contract.management(method, path).status == status


def test_paging(register, contract):
    for index in range(4):
        register(url="plain-1.0", initial_workers=0, model_name=f"m{index}")

    def page(query):
        told = contract.management("GET", f"/models?{query}").json()
        return [model["modelName"] for model in told["models"]], told.get("nextPageToken")

    everything = ["m0", "m1", "m2", "m3"]
    assert page("") == page("limit=-1") == page("limit=101") == page("next_page_token=-1") == (everything, None)
    assert page("limit=2") == (["m0", "m1"], "2")
    assert page("limit=2&next_page_token=2") == (["m2", "m3"], "4")
    assert page("limit=2&next_page_token=4") == ([], None)
    assert page("limit=0") == ([], "0")
    assert contract.management("GET", "/models").json()["models"][0] == {"modelName": "m0", "modelUrl": "plain-1.0"}


FIELDS = {
    "modelName": "plain", "modelVersion": "1.0", "modelUrl": "plain-1.0", "runtime": "python", "minWorkers": 1,
    "maxWorkers": 1, "batchSize": 1, "maxBatchDelay": 100, "responseTimeout": 120, "startupTimeout": 120,
    "maxRetryTimeoutInSec": 300, "clientTimeoutInMills": 0, "parallelType": "", "parallelLevel": 0, "deviceType": "cpu",
    "continuousBatching": False, "useJobTicket": False, "useVenv": False, "stateful": False, "sequenceMaxIdleMSec": 0,
    "sequenceTimeoutMSec": 0, "maxNumSequence": 0, "maxSequenceJobQueueSize": 0, "loadedAtStartup": False,
    "jobQueueStatus": {"remainingCapacity": 100, "pendingRequests": 0},
}  # fmt: skip


def test_a_description_has_torchserves_fields(register, contract):
    register(url="plain-1.0", initial_workers=1)
    found = described(contract, "plain")
    [worker] = found["workers"]
    assert {key: found[key] for key in FIELDS} == FIELDS
    assert [worker[key] for key in ("status", "gpu", "gpuUsage")] == ["READY", False, "N/A"]
    assert worker["pid"] > 0 and worker["memoryUsage"] > 0 and int(worker["id"]) >= 9000
    assert worker["startTime"].endswith("Z") and len(worker["startTime"]) == len("2026-11-23T06:23:23.703Z")
    assert contract.management("GET", "/v1/models/plain").json() == {"name": "plain", "ready": True}


def test_scaling(register, contract, deviates):
    deviates("negative `min_worker`")
    register(url="plain-1.0", initial_workers=0)
    ask = contract.management
    assert ask("GET", "/models/plain?customized=true").error == (
        503,
        "ServiceUnavailableException",
        'Model "plain" has no worker to serve describe request. Please use scale workers API to add workers.',
    )
    assert ask("GET", "/v1/models/plain").json() == {"name": "plain", "ready": False}
    answer = ask("PUT", "/models/plain?min_worker=2&synchronous=true")
    assert (answer.status, answer.json()) == (200, {"status": "Workers scaled to 2 for model: plain"})
    assert len(described(contract, "plain")["workers"]) == 2
    for path in ("/models/plain/1.0?synchronous=true", "/models/plain?model_version=1.0&synchronous=true"):
        text = "Workers scaled to 1 for model: plain, version: 1.0"
        assert ask("PUT", f"{path}&min_worker=1").json() == {"status": text}
    assert len(described(contract, "plain")["workers"]) == 1
    assert ask("PUT", "/models/plain?min_worker=nan").json() == {"status": "Processing worker updates..."}
    too_few = (400, "BadRequestException", "max_worker cannot be less than min_worker.")
    for query in ("max_worker=0", "min_worker=2&max_worker=1", "max_worker=-1"):
        assert ask("PUT", f"/models/plain?{query}").error == too_few
    assert ask("PUT", "/models/plain?min_worker=-1&max_worker=1").status == 400
    assert ask("PUT", "/models/plain?min_worker=0&max_worker=3&synchronous=true").status == 200
    assert contract.post("/predictions/plain").status == 503
