"""The inference listener: paths, bodies, answers, errors."""

from __future__ import annotations

import asyncio
import json
import re

import pytest
from numserve.archiver import ArchiveError
from numserve.server import errors
from numserve.server.api.errors import WIRE, WireError, on_the_wire
from numserve.server.api.targets import Target, find_target
from numserve.server.errors import ServingError

TELL = """
    def handle(data, context):
        if data is None:
            return None
        header = context.get_request_header
        return [
            {
                "row": {key: [type(value).__name__, value.decode() if isinstance(value, bytearray) else value]
                        for key, value in row.items()},
                "url_path": header(i, "url_path"), "explain": header(i, "explain"), "agent": header(i, "X-Foo-Bar"),
                "id": context.get_request_id(i),
            }
            for i, row in enumerate(data)
        ]
"""
PATHS = {
    "/predictions/m": Target("m", None, {"url_path": "", "explain": "False"}),
    "/predictions/m/1.0": Target("m", "1.0", {"url_path": "", "explain": "False"}),
    "/predictions/m/1.0/v1/chat": Target("m", "1.0", {"url_path": "v1/chat", "explain": "False"}),
    "/explanations/m": Target("m", None, {"url_path": "", "explain": "True"}),
    "/v1/models/m:predict": Target("m", None, {"explain": "False"}),
    "/v1/models/m:explain": Target("m", None, {"explain": "True"}),
    "/v2/models/m/infer": Target("m", None, {"explain": "False"}, open_inference=True),
    "/v2/models/m/explain": Target("m", None, {"explain": "True"}, open_inference=True),
    "/v2/models/m/versions/1.0/infer": Target("m", "1.0", {"explain": "False"}, open_inference=True),
    "/v2/models/m/versions/1.0/explain": Target("m", "1.0", {"explain": "True"}, open_inference=True),
    "/v2/models/m/versions/1.0": None,
    "/v2/models/m/ready": None,
    "/invocations": Target(None, with_query=True),
    "/models/m/invoke": Target("m", with_query=True),
    "/m/predict": Target("m", with_query=True),
    "/m/2.0/predict": Target("m", "2.0", with_query=True),
    "/predictions": None,
    "//predictions//m": None,
    "/ping": None,
    "/v1/models/m": None,
    "/v2/models/m": None,
    "/models": None,
    "/models/m": None,
    "/": None,
}
SERVED = [path for path, target in PATHS.items() if target and target.version in (None, "1.0")]


@pytest.mark.parametrize("path", PATHS)
def test_a_path_leads_where_the_contract_says(path):
    assert find_target(path.split("/")) == PATHS[path]


async def test_every_path_predicts_with_every_method(serve):
    client = await serve()
    for path in SERVED:
        for method in ("GET", "POST", "PUT", "DELETE"):
            answer = await client.inference.request(method, f"{path}/", content=b"hi")
            assert (answer.status_code, answer.content) == (200, b"hi"), (method, path)


async def test_paths_that_lead_nowhere_say_so(serve):
    client = await serve()
    for path in ("/predictions", "//predictions//m", "/metrics", "/models", "/v1/models/m", "/predictions//"):
        answer = await client.inference.get(path)
        assert (answer.status_code, answer.json()["type"]) == (404, "ResourceNotFoundException"), path
        assert answer.json()["message"] == "Requested resource is not found, please refer to API document."


async def test_the_root_takes_options_only(serve):
    client = await serve()
    assert (await client.inference.get("/")).json()["type"] == "MethodNotAllowedException"
    assert (await client.inference.options("/")).json()["openapi"] == "3.0.1"


async def test_the_description_has_the_contracts_operations(serve):
    client = await serve()
    paths = (await client.inference.get("/api-description")).json()["paths"]
    found = {operation["operationId"] for methods in paths.values() for operation in methods.values()}
    assert found >= {"apiDescription", "api-description", "ping", "predictions", "version_predictions"}


async def test_a_model_describes_itself(serve):
    client = await serve()
    answer = (await client.inference.options("/predictions/m")).json()
    assert answer["info"] == {"title": "RESTful API for: m", "version": "1.0.0"}
    assert "/v2/models/m/infer" in answer["paths"]
    assert (await client.inference.options("/predictions/none")).json()["type"] == "ModelNotFoundException"


async def test_ping_is_healthy_without_models(serve):
    client = await serve(None)
    answer = await client.inference.get("/ping")
    assert (answer.status_code, answer.json()) == (200, {"status": "Healthy"})


ROWS = [
    ({"content": b"raw"}, {"body": ["bytearray", "raw"]}),
    ({"content": b""}, {"body": ["bytearray", ""]}),
    ({"json": {"a": [1]}}, {"body": ["dict", {"a": [1]}]}),
    ({"content": b"{", "headers": {"content-type": "application/json"}}, {"body": ["bytearray", "{"]}),
    ({"content": b"{}", "headers": {"content-type": "application/json; charset=utf-8"}}, {"body": ["dict", {}]}),
    ({"content": "ä".encode(), "headers": {"content-type": "text/csv"}}, {"body": ["str", "ä"]}),
    ({"data": {"a": "1", "b": "x y"}}, {"a": ["bytearray", "1"], "b": ["bytearray", "x y"]}),
    ({"files": {"data": ("k.bin", b"img")}}, {"data": ["bytearray", "img"]}),
    ({"files": {"data": ("k.json", b"[1]", "application/json")}}, {"data": ["list", [1]]}),
    ({"files": {"data": (None, b"[1]", "application/json")}}, {"data": ["bytearray", "[1]"]}),
]


@pytest.mark.parametrize(("request_", "row"), ROWS)
async def test_a_body_becomes_the_row_the_contract_says(serve, request_, row):
    client = await serve(TELL)
    assert (await client.predict(**request_)).json()["row"] == row


async def test_the_handler_sees_headers_and_the_sub_path(serve):
    client = await serve(TELL)
    answer = await client.predict("m/1.0/v1/chat", content=b"", headers={"x-foo-bar": "7"})
    told = answer.json()
    assert (told["url_path"], told["explain"], told["agent"]) == ("v1/chat", "False", "7")
    assert told["id"] == answer.headers["x-request-id"]


async def test_the_query_reaches_the_handler_on_the_older_paths_only(serve):
    client = await serve(TELL)
    assert "k" not in (await client.inference.get("/predictions/m?k=v")).json()["row"]
    for path in ("/invocations", "/models/m/invoke", "/m/predict"):
        assert (await client.inference.get(f"{path}?k=v")).json()["row"]["k"] == ["bytearray", "v"], path


async def test_invocations_finds_its_model(serve):
    client = await serve()
    await client.register(url=client.archives.make(name="n"), initial_workers=1)
    assert (await client.inference.post("/invocations?model_name=n", content=b"x")).status_code == 200
    assert (await client.inference.post("/invocations", data={"model_name": "n"})).content == b"n"
    answer = await client.inference.post("/invocations", content=b"x")
    assert (answer.status_code, answer.json()["message"]) == (400, "Parameter model_name is required.")


async def test_an_answer_has_the_common_headers(serve):
    client = await serve()
    headers = (await client.predict(content=b"x", headers={"x-request-id": "mine"})).headers
    assert re.fullmatch(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", headers["x-request-id"])
    assert headers["pragma"] == "no-cache"
    assert headers["cache-control"] == "no-cache; no-store, must-revalidate, private"
    assert headers["expires"] == "Thu, 01 Jan 1970 00:00:00 UTC"
    assert headers["connection"] == "keep-alive"
    assert "content-type" not in headers


async def test_a_connection_that_the_client_closes_is_not_kept(serve):
    client = await serve()
    answer = await client.predict(content=b"x", headers={"connection": "close"})
    assert answer.headers["connection"] == "close"


async def test_an_object_is_json_and_says_so(serve):
    client = await serve()
    answer = await client.predict(json={"a": "ä"})
    assert answer.content == b'{\n  "a": "\\u00e4"\n}'
    assert answer.headers["content-type"] == "application/json"


async def test_the_handler_sets_status_type_and_headers(serve):
    client = await serve("""
        def handle(data, context):
            if data is None:
                return
            context.set_response_status(418, "teapot", 0)
            context.set_response_content_type(0, "text/tea")
            context.set_response_header(0, "X-Pot", "1")
            return ["tea"]
    """)
    answer = await client.predict(content=b"x")
    assert (answer.status_code, answer.text, answer.headers["x-pot"]) == (418, "tea", "1")
    assert answer.headers["content-type"] == "text/tea"
    assert answer.headers["connection"] == "close"


@pytest.mark.parametrize(
    ("path", "status", "kind", "message"),
    [
        ("/predictions/none", 404, "ModelNotFoundException", "Model not found: none"),
        ("/predictions/M", 404, "ModelNotFoundException", "Model not found: M"),
        ("/predictions/m/9", 404, "ModelVersionNotFoundException", "Model version: 9 does not exist for model: m"),
    ],
)
async def test_a_model_that_is_not_there_is_named(serve, path, status, kind, message):
    client = await serve()
    answer = await client.inference.get(path)
    assert answer.status_code == status
    assert answer.content == json.dumps({"code": status, "type": kind, "message": message}, indent=2).encode() + b"\n"
    assert answer.headers["connection"] == "close"


async def test_a_handler_that_raises_keeps_its_secrets(serve):
    client = await serve("""
        def handle(data, context):
            if data:
                raise ValueError("/secret/path")
    """)
    answer = await client.predict(content=b"x")
    assert (answer.status_code, answer.json()["message"]) == (503, "Prediction failed")
    assert "secret" not in answer.text


async def test_a_handler_chooses_its_own_error(serve):
    client = await serve("""
        from ts.utils.util import PredictionException

        def handle(data, context):
            if data:
                raise PredictionException("not that one", 422)
    """)
    answer = await client.predict(content=b"x")
    assert answer.json() == {"code": 422, "type": "InternalServerException", "message": "not that one"}


async def test_a_model_without_workers_says_how_to_add_some(serve):
    client = await serve(workers=0)
    answer = await client.predict(content=b"x")
    assert (answer.status_code, answer.json()["type"]) == (503, "ServiceUnavailableException")
    assert answer.json()["message"].startswith('Model "m" has no worker to serve inference request.')


async def test_a_body_that_is_too_large_is_refused(serve):
    client = await serve(settings={"max_request_size": 4})
    answer = await client.predict(content=b"12345")
    assert (answer.status_code, answer.json()["type"]) == (413, "ContentTooLargeException")
    assert (await client.predict(content=b"1234")).status_code == 200


async def test_cors_headers_are_on_every_answer(serve):
    client = await serve(settings={"cors_allowed_origin": "*", "cors_allowed_methods": "GET, POST"})
    for answer in (await client.predict(content=b""), await client.inference.get("/nowhere")):
        assert answer.headers["access-control-allow-origin"] == "*"
        assert answer.headers["access-control-allow-methods"] == "GET, POST"


async def test_requests_share_a_batch(serve):
    client = await serve(
        """
        def handle(data, context):
            return [str(len(data))] * len(data) if data else None
        """,
        batchSize=4,
        maxBatchDelay=2000,
        fixedDelay=True,
    )
    answers = await asyncio.gather(*(client.predict(content=b"x") for _ in range(4)))
    assert [answer.text for answer in answers] == ["4"] * 4


async def test_the_access_log_tells_what_the_batch_was(serve, caplog):
    caplog.set_level("INFO", "numserve.access")
    client = await serve()
    answer = await client.predict(content=b"x")
    client.access_log.flush()
    (line,) = caplog.messages
    assert f" id={answer.headers['x-request-id']} model=m version=1.0 batch=1 queue=" in line
    assert " inference=None" not in line


def families(root):
    return {root}.union(*(families(child) for child in root.__subclasses__()))


def test_every_error_has_a_status():
    for kind in families(ServingError) | families(WireError) - {WireError} | {ArchiveError}:
        assert any(base in WIRE for base in kind.__mro__ if base is not Exception), kind


def test_every_row_of_the_table_is_an_error_of_ours():
    assert WIRE.keys() <= families(ServingError) | families(WireError) | {ArchiveError, Exception}


@pytest.mark.parametrize(
    ("error", "sent"),
    [
        (errors.QueueFull("x"), (503, "ServiceUnavailableException")),
        (errors.ResponseTimeout("x"), (504, "RequestTimeoutException")),
        (errors.ModelVersionNotFound("x"), (404, "ModelVersionNotFoundException")),
        (errors.InferenceFailed("x", code=418), (418, "InternalServerException")),
        (errors.InferenceFailed("x", code=99), (503, "InternalServerException")),
        (KeyError("x"), (500, "InternalServerException")),
    ],
)
def test_the_nearest_row_counts(error, sent):
    assert on_the_wire(error) == sent


async def test_options_of_every_path_describe_its_model(serve):
    client = await serve()
    for path in SERVED:
        answer = await client.inference.options(path)
        if path == "/invocations":
            assert answer.status_code == 404
        else:
            assert answer.json()["info"]["title"] == "RESTful API for: m", path


async def test_explanations_share_no_batch(serve):
    client = await serve(
        """
        def handle(data, context):
            return [f"{len(data)} {context.get_request_header(0, 'explain')}"] * len(data) if data else None
        """,
        batchSize=2,
        maxBatchDelay=2000,
        fixedDelay=True,
    )
    explained = client.inference.post("/explanations/m", content=b"")
    answers = await asyncio.gather(explained, client.predict(content=b""), client.predict(content=b""))
    assert sorted(answer.text for answer in answers) == ["1 True", "2 False", "2 False"]


async def test_who_predicts_cannot_ask_the_handler_to_describe_itself(serve):
    client = await serve("""
        def handle(data, context):
            return [str(context.get_request_header(0, "describe"))] if data else None
    """)
    assert (await client.predict(content=b"", headers={"Describe": "True"})).text == "None"


async def test_a_full_queue_says_when_to_come_again(serve):
    client = await serve(
        """
        import time
        def handle(data, context):
            if data:
                time.sleep(0.5)
                return ["done"]
        """,
        jobQueueSize=1,
    )
    answers = await asyncio.gather(*(client.predict(content=b"") for _ in range(4)))
    refused = [answer for answer in answers if answer.status_code == 503]
    assert refused and all(answer.headers["retry-after"] == "1" for answer in refused)


async def test_the_descriptions_are_valid(serve):
    validator = pytest.importorskip("openapi_spec_validator")
    client = await serve()
    for listener in (client.inference, client.management, client.metrics):
        validator.validate((await listener.options("/")).json())
    validator.validate((await client.inference.options("/predictions/m")).json())
    validator.validate((await client.management.options("/models/m")).json())
