"""The management listener: every operation, its defaults, texts and statuses."""

from __future__ import annotations

import asyncio

import pytest

BROKEN = """
    import no_such_package
"""
ON = {"enable_model_api": True}
FIELDS = [
    *("modelName", "modelVersion", "modelUrl", "runtime", "minWorkers", "maxWorkers", "batchSize", "maxBatchDelay"),
    *("responseTimeout", "startupTimeout", "maxRetryTimeoutInSec", "clientTimeoutInMills", "parallelType"),
    *("parallelLevel", "deviceType", "continuousBatching", "useJobTicket", "useVenv", "stateful"),
    *("sequenceMaxIdleMSec", "sequenceTimeoutMSec", "maxNumSequence", "maxSequenceJobQueueSize", "loadedAtStartup"),
    *("workers", "jobQueueStatus", "batching", "state"),
]


def said(answer):
    return answer.status_code, answer.json().get("status", answer.json().get("message"))


async def described(client, path="m"):
    return (await client.management.get(f"/models/{path}")).json()


async def test_a_model_is_registered_without_workers(serve):
    client = await serve(None, settings=ON)
    answer = await client.management.post("/models", params={"url": client.archives.make()})
    assert said(answer) == (
        200,
        'Model "m" Version: 1.0 registered with 0 initial workers. Use scale workers API to add workers for the model.',
    )


async def test_a_model_is_registered_with_workers(serve):
    client = await serve(None, settings=ON)
    answer = await client.management.post("/models", params={"url": client.archives.make(), "initial_workers": 1})
    assert said(answer) == (200, 'Model "m" Version: 1.0 registered with 1 initial workers')
    assert (await client.predict(content=b"x")).content == b"x"


async def test_registering_need_not_wait(serve):
    client = await serve(None, settings=ON)
    asked = {"url": client.archives.make(), "initial_workers": 1, "synchronous": "false"}
    assert said(await client.management.post("/models", params=asked)) == (202, "Processing worker updates...")


async def test_json_parameters_replace_the_query(serve):
    client = await serve(None, settings=ON)
    asked = {"url": client.archives.make(), "model_name": "n", "batch_size": "4", "max_batch_delay": 50}
    answer = await client.management.post("/models?model_name=query", json=asked)
    assert answer.status_code == 200
    (model,) = await described(client, "n")
    assert (model["batchSize"], model["maxBatchDelay"]) == (4, 50)


@pytest.mark.parametrize(
    "name", ["batch_size", "max_batch_delay", "initial_workers", "response_timeout", "synchronous"]
)
async def test_a_value_that_makes_no_sense_counts_as_not_given(serve, name):
    client = await serve(None, settings=ON)
    answer = await client.management.post("/models", params={"url": client.archives.make(), name: "dd"})
    assert answer.status_code == 200
    (model,) = await described(client)
    assert (model["batchSize"], model["maxBatchDelay"], model["responseTimeout"]) == (1, 100, 120)


@pytest.mark.parametrize(
    ("asked", "status", "kind", "message"),
    [
        ({}, 400, "BadRequestException", "Parameter url is required."),
        ({"url": ""}, 404, "ModelNotFoundException", "empty url"),
        ({"url": "../m.mar"}, 404, "ModelNotFoundException", "Relative path is not allowed in url: ../m.mar"),
        ({"url": "none.mar"}, 404, "ModelNotFoundException", "Model not found at: none.mar"),
        (
            {"url": "http://127.0.0.1:1/m.mar"},
            404,
            "ModelNotFoundException",
            "Given URL http://127.0.0.1:1/m.mar does not match any allowed URL(s)",
        ),
        ({"url": "x", "runtime": "PYTHON"}, 400, "BadRequestException", "Invalid RuntimeType value: PYTHON"),
    ],
)
async def test_what_cannot_be_registered_says_why(serve, asked, status, kind, message):
    client = await serve(None, settings=ON)
    answer = await client.management.post("/models", params=asked)
    assert (answer.status_code, answer.json()["type"]) == (status, kind)
    assert answer.json()["message"].startswith(message)


@pytest.mark.parametrize("body", [b"{", b"[]", b""])
async def test_a_body_that_is_no_json_object_is_refused(serve, body):
    client = await serve(None, settings=ON)
    answer = await client.management.post("/models", content=body, headers={"content-type": "application/json"})
    assert (answer.status_code, answer.json()["type"]) == (400, "BadRequestException")


async def test_a_version_is_registered_once(serve):
    client = await serve(settings=ON)
    answer = await client.management.post("/models", params={"url": client.archives.make()})
    assert answer.json()["type"] == "ConflictStatusException"
    assert said(answer) == (409, "Model version 1.0 is already registered for model m")


async def test_a_model_that_cannot_be_loaded_is_taken_back_with_its_story(serve):
    client = await serve(None, settings=ON)
    answer = await client.management.post("/models", params={"url": client.archives.make(BROKEN), "initial_workers": 1})
    assert said(answer) == (500, "Failed to start workers for model m version: 1.0")
    assert "no_such_package" in answer.json()["detail"]
    assert "handler.py" in answer.json()["detail"]
    assert (await client.management.get("/models/m")).status_code == 404


@pytest.mark.parametrize(
    ("method", "path"), [("POST", "/models"), ("DELETE", "/models/m"), ("DELETE", "/models/m/1.0")]
)
async def test_the_model_api_says_how_to_enable_it(serve, method, path):
    client = await serve()
    status, message = said(await client.management.request(method, path))
    assert status == 405
    assert message.startswith("Requested method is not allowed, please refer to API document.")
    assert "--enable-model-api" in message


async def test_a_description_has_torchserves_fields_in_order(serve):
    client = await serve(batchSize=2)
    (model,) = await described(client)
    assert list(model) == FIELDS
    assert (model["batchSize"], model["state"], model["jobQueueStatus"]) == (
        2,
        "ready",
        {"remainingCapacity": 100, "pendingRequests": 0},
    )
    (worker,) = model["workers"]
    assert list(worker) == [
        "id",
        "startTime",
        "status",
        "memoryUsage",
        "pid",
        "gpu",
        "gpuUsage",
        "proportionalMemoryUsage",
    ]
    assert worker["proportionalMemoryUsage"] > 1 << 20
    assert (worker["status"], worker["gpu"], worker["gpuUsage"]) == ("READY", False, "N/A")


async def test_a_failing_model_says_why(serve):
    client = await serve(None)
    model = await client.register(url=client.archives.make(BROKEN), initial_workers=1, synchronous=False)
    while model.status().state != "failing":
        await asyncio.sleep(0.01)
    (described_,) = await described(client)
    assert described_["state"] == "failing"
    assert "no_such_package" in described_["reason"]
    assert "no_such_package" in described_["workers"][0]["lastError"]
    assert (await client.management.get("/v1/models/m")).json() == {"name": "m", "ready": False}


async def test_the_handler_describes_itself_when_asked(serve):
    client = await serve("""
        from numserve.handlers import BaseHandler

        class Described(BaseHandler):
            def initialize(self, context):
                self.context = context
                self.initialized = True

            def describe_handle(self):
                return {"classes": 10}
    """)
    (model,) = await described(client, "m?customized=true")
    assert model["customizedMetadata"] == {"classes": 10}
    assert "customizedMetadata" not in (await described(client))[0]


async def test_a_model_without_workers_cannot_describe_itself(serve):
    client = await serve(workers=0)
    assert said(await client.management.get("/models/m?customized=true")) == (
        503,
        'Model "m" has no worker to serve describe request. Please use scale workers API to add workers.',
    )


async def test_a_removal_that_takes_too_long_says_so(serve):
    slow = "import time\ndef handle(data, context): return data and [time.sleep(30)]"
    settings = ON | {"unregister_model_timeout": 0.2, "worker_backend": "process"}
    client = await serve(slow, settings=settings)
    asking = asyncio.create_task(client.predict(content=b"x"))
    sent = 'numserve_batch_size_count{model_name="m",model_version="1.0"} 1'
    while sent not in (await client.metrics.get("/metrics")).text:
        await asyncio.sleep(0.02)
    answer = await client.management.delete("/models/m")
    assert (answer.json()["type"], *said(answer)) == (
        "RequestTimeoutException",
        408,
        "Timed out while cleaning resources: m",
    )
    assert (await asking).status_code == 500


async def test_models_are_listed_a_page_at_a_time(serve):
    client = await serve(None)
    for name in "cab":
        await client.register(url=client.archives.make(name=name))
    page = (await client.management.get("/models?limit=2")).json()
    assert [model["modelName"] for model in page["models"]] == ["a", "b"]
    assert page["models"][0]["modelUrl"] == "a-1.0.mar"
    page = (await client.management.get(f"/models?next_page_token={page['nextPageToken']}")).json()
    assert page == {"models": [{"modelName": "c", "modelUrl": "c-1.0.mar"}]}


PAGES = [
    ("limit=0", 0, "0"),
    ("limit=1", 1, "1"),
    ("limit=-1", 1, None),
    ("limit=101", 1, None),
    ("limit=x", 1, None),
    ("next_page_token=-1", 1, None),
    ("next_page_token=5", 0, None),
]


@pytest.mark.parametrize(("query", "count", "token"), PAGES)
async def test_a_page_has_the_contracts_bounds(serve, query, count, token):
    client = await serve()
    page = (await client.management.get(f"/models?{query}")).json()
    assert (len(page["models"]), page.get("nextPageToken")) == (count, token)


async def test_versions_live_side_by_side(serve):
    client = await serve("def handle(data, context): return ['one'] * len(data or [])")
    two = client.archives.make("def handle(data, context): return ['two'] * len(data or [])", version="2.0")
    await client.register(url=two, initial_workers=1)
    assert (await client.predict()).text == "one"
    assert (await client.predict("m/2.0")).text == "two"
    assert said(await client.management.put("/models/m/2.0/set-default")) == (
        200,
        'Default version successfully updated for model "m" to "2.0"',
    )
    assert (await client.predict()).text == "two"
    assert {model["modelVersion"] for model in await described(client, "m/all")} == {"1.0", "2.0"}


@pytest.mark.parametrize(
    ("method", "path", "message"),
    [
        ("PUT", "/models/none/1.0/set-default", "Model not found: none"),
        ("PUT", "/models/m/9/set-default", "Model version 9 does not exist for model m"),
        ("PUT", "/models/none", "Model not found: none"),
        ("PUT", "/models/m?model_version=9", "Model version: 9 does not exist for model: m"),
        ("GET", "/models/none", "Model not found: none"),
        ("GET", "/models/none/all", "Model not found: none"),
        ("GET", "/models/m/9", "Model version: 9 does not exist for model: m"),
        ("DELETE", "/models/none", "Model not found: none"),
        ("DELETE", "/models/m/9", "Model version: 9 does not exist for model: m"),
        ("GET", "/v1/models/none", "Model not found: none"),
    ],
)
async def test_a_model_that_is_not_there_is_named(serve, method, path, message):
    client = await serve(settings=ON)
    assert said(await client.management.request(method, path)) == (404, message)


@pytest.mark.parametrize(
    ("method", "path", "status", "kind"),
    [
        ("PATCH", "/models/m", 405, "MethodNotAllowedException"),
        ("DELETE", "/models", 405, "MethodNotAllowedException"),
        ("POST", "/v1/models/m", 405, "MethodNotAllowedException"),
        ("GET", "/models/m/1.0/foo", 404, "ResourceNotFoundException"),
        ("GET", "/ping", 404, "ResourceNotFoundException"),
    ],
)
async def test_other_paths_and_methods_are_refused(serve, method, path, status, kind):
    client = await serve()
    answer = await client.management.request(method, path)
    assert (answer.status_code, answer.json()["type"]) == (status, kind)


@pytest.mark.parametrize(
    ("path", "answer"),
    [
        ("/models/m?min_worker=2", (202, "Processing worker updates...")),
        ("/models/m?min_worker=nan", (202, "Processing worker updates...")),
        ("/models/m?min_worker=2&synchronous=true", (200, "Workers scaled to 2 for model: m")),
        ("/models/m/1.0?min_worker=0&synchronous=TRUE", (200, "Workers scaled to 0 for model: m, version: 1.0")),
        ("/models/m?model_version=1.0&synchronous=true", (200, "Workers scaled to 1 for model: m, version: 1.0")),
        ("/models/m?min_worker=2&max_worker=1", (400, "max_worker cannot be less than min_worker.")),
        ("/models/m?max_worker=0", (400, "max_worker cannot be less than min_worker.")),
        ("/models/m?max_worker=-1", (400, "max_worker cannot be less than min_worker.")),
        ("/models/m?min_worker=-1", (400, "min_worker cannot be negative.")),
    ],
)
async def test_scaling_answers_as_the_contract_says(serve, path, answer):
    client = await serve()
    assert said(await client.management.put(path)) == answer


async def test_scaling_changes_the_number_of_workers(serve):
    client = await serve()
    await client.management.put("/models/m?min_worker=3&synchronous=true")
    assert len((await described(client))[0]["workers"]) == 3
    await client.management.put("/models/m?min_worker=1&synchronous=true")
    assert len((await described(client))[0]["workers"]) == 1


async def test_unregistering_takes_the_model_away(serve):
    client = await serve(settings=ON)
    assert said(await client.management.delete("/models/m/?synchronous=true")) == (200, 'Model "m" unregistered')
    assert (await client.predict()).status_code == 404


async def test_the_default_version_goes_last(serve):
    client = await serve(settings=ON)
    await client.register(url=client.archives.make(version="2.0"))
    answer = await client.management.delete("/models/m")
    assert (answer.json()["type"], *said(answer)) == (
        "InvalidModelVersionException",
        403,
        "Cannot remove default version for model m",
    )
    assert (await client.management.delete("/models/m/2.0")).status_code == 200
    assert (await client.management.delete("/models/m")).status_code == 200


async def test_the_description_has_the_contracts_operations(serve):
    client = await serve(None)
    paths = (await client.management.get("/api-description")).json()["paths"]
    found = {operation["operationId"] for methods in paths.values() for operation in methods.values()}
    assert found == {
        *("apiDescription", "api-description", "listModels", "registerModel", "describeModel", "version_describeModel"),
        *(
            "setAutoScale",
            "version_setAutoScale",
            "unregisterModel",
            "version_unregisterModel",
            "setDefault",
            "readiness",
        ),
    }


@pytest.mark.parametrize("path", ["m", "m/1.0", "m/all"])
async def test_a_model_tells_what_can_be_done_with_it(serve, path):
    client = await serve()
    answer = (await client.management.options(f"/models/{path}")).json()
    assert answer["info"] == {"title": "RESTful API for: m", "version": "1.0.0"}
    assert answer["paths"]["/models/m"].keys() == {"get", "put", "delete"}
    assert [p["name"] for p in answer["paths"]["/models/m/{model_version}"]["get"]["parameters"]] == [
        "model_version",
        "customized",
    ]


@pytest.mark.parametrize("path", ["none", "m/9"])
async def test_a_model_that_is_not_there_tells_nothing(serve, path):
    client = await serve()
    assert (await client.management.options(f"/models/{path}")).status_code == 404


LINEAR = """
    from numserve.engine import nn
    from numserve.handlers import BaseHandler

    class Linear(BaseHandler):
        def initialize(self, context):
            from numserve import engine
            self.model, self.device = nn.Linear(2, 3).eval(), engine.device("cpu")

        def preprocess(self, data):
            return super().preprocess([row["body"] for row in data])
"""


async def engine(client):
    (model,) = await described(client)
    (worker,) = model["workers"]
    return worker.get("engine")


async def test_describe_tells_how_the_engine_runs_the_model(serve):
    client = await serve(LINEAR, batchSize=4, engine={"executor": "numpy", "threads": 1, "inputs": [[1, 2]]})
    told = await engine(client)
    assert (told["mode"], told["reason"], told["executor"], told["threads"]) == ("plan", "", "numpy", 1)
    assert [plan["batch"] for plan in told["plans"]] == [1, 2, 4]
    assert told["plans"][0]["arenaBytes"] >= 0 and told["eagerCalls"] == 0 and not told["exact"]


async def test_describe_tells_what_the_first_request_has_changed(serve):
    client = await serve(LINEAR)
    assert ((await engine(client))["mode"], (await engine(client))["plans"]) == ("eager", [])
    assert (await client.predict(json=[1.5, 2])).status_code == 200
    assert [plan["batch"] for plan in (await engine(client))["plans"]] == [1]


async def test_a_model_without_the_engine_says_nothing_of_it(serve):
    client = await serve()
    await client.predict(content=b"x")
    assert await engine(client) is None


async def test_wrong_engine_options_stop_the_load(serve):
    client = await serve(None, settings=ON)
    url = client.archives.make(LINEAR, engine={"exact": 1})
    answer = await client.management.post("/models", params={"url": url, "initial_workers": 1})
    assert answer.status_code == 500
    assert "engine.exact: met 1; expected true or false" in answer.json()["detail"]
