"""The Open Inference Protocol's routes beside predictions, its errors, and compressed bodies."""

import gzip
import zlib

import pytest
from numserve.server.errors import ModelLoadFailed

ECHO = """
    def handle(data, context):
        return [next(iter(row.values()), None) for row in data] if data else None
"""
FOUR_OH_FOUR = "Requested resource is not found, please refer to API document."


async def get(client, path):
    answer = await client.inference.get(path)
    return answer.status_code, answer.json()


async def test_the_server_says_what_it_is_and_that_it_lives(serve):
    client = await serve(None, settings={"ready_without_models": True})
    assert (await get(client, "/v2"))[1]["extensions"] == ["binary_tensor_data", "classification"]
    assert await get(client, "/v2/health/live") == (200, {"live": True})
    assert await get(client, "/v2/health/ready") == (200, {"ready": True})
    assert (await client.inference.head("/v2/health/ready")).status_code == 200


async def test_a_server_of_nothing_is_not_ready_unless_it_may_be(serve):
    client = await serve(None)
    assert await get(client, "/v2/health/ready") == (400, {"ready": False, "error": "not ready: no models"})
    assert await get(client, "/v2/health/live") == (200, {"live": True})
    assert await get(client, "/ping") == (200, {"status": "Healthy"})


async def test_a_model_says_its_versions_and_tensors(serve):
    tensors = {"inputs": [{"name": "x", "datatype": "INT64", "shape": [-1, 4]}], "outputs": []}
    client = await serve(ECHO, signature=tensors)
    await client.register(url=client.archives.make(version="2.0"), initial_workers=1)
    told = {"name": "m", "versions": ["1.0", "2.0"], "platform": "numserve_handler"}
    assert await get(client, "/v2/models/m") == (200, told | tensors)
    assert await get(client, "/v2/models/m/versions/2.0") == (200, told | {"inputs": [], "outputs": []})
    for path in ("/v2/models/m/ready", "/v2/models/m/versions/2.0/ready"):
        assert await get(client, path) == (200, {"name": "m", "ready": True})


async def test_a_model_without_workers_is_not_ready_but_keeps_nobody_from_being(serve):
    client = await serve(ECHO, workers=0)
    assert await get(client, "/v2/models/m/ready") == (
        400,
        {"name": "m", "ready": False, "error": "the model is unloaded"},
    )
    assert await get(client, "/v2/health/ready") == (200, {"ready": True})


async def test_a_model_that_cannot_be_loaded_makes_the_server_unready(serve):
    client = await serve("import nothing_of_that_name", workers=0)
    with pytest.raises(ModelLoadFailed):
        await client.registry.get("m").scale(1, synchronous=True)
    assert await get(client, "/v2/health/ready") == (400, {"ready": False, "error": "not ready: 1 of 1 models"})
    client.registry.starting = True
    assert (await get(client, "/v2/health/ready"))[1]["error"] == "not ready: 1 of 1 models, start-up"


@pytest.mark.parametrize(
    ("path", "message"),
    [
        ("/v2/models/none", "Model not found: none"),
        ("/v2/models/none/infer", "Model not found: none"),
        ("/v2/models/m/versions/9/infer", "Model version: 9 does not exist for model: m"),
        ("/v2/models/m/versions/9/ready", "Model version: 9 does not exist for model: m"),
        ("/v2/models/m/nothing", FOUR_OH_FOUR),
    ],
)
async def test_an_error_is_both_torchserves_and_the_protocols(serve, path, message):
    client = await serve(ECHO)
    status, told = await get(client, path)
    assert (status, told["message"], told["error"]) == (404, message, message)
    assert "error" not in (await get(client, "/predictions/none"))[1]


async def test_a_version_in_the_path_predicts(serve):
    client = await serve(ECHO)
    answer = await client.inference.post("/v2/models/m/versions/1.0/infer", content=b"hi")
    assert (answer.status_code, answer.content) == (200, b"hi")


@pytest.mark.parametrize(
    ("encoding", "compress"),
    [("gzip", gzip.compress), ("X-GZIP", gzip.compress), ("deflate", zlib.compress), ("identity", bytes)],
)
@pytest.mark.parametrize("size", [3, 100_000])
async def test_a_compressed_body_is_unpacked(serve, encoding, compress, size):
    client = await serve(ECHO)
    plain = bytes(i * i % 251 for i in range(size))
    answer = await client.inference.post(
        "/v2/models/m/infer", content=compress(plain), headers={"content-encoding": encoding}
    )
    assert (answer.status_code, answer.content) == (200, plain)


@pytest.mark.parametrize(
    ("encoding", "body", "status"),
    [
        ("gzip", b"no gzip", 400),
        ("gzip", gzip.compress(b"x", mtime=0)[:-3], 400),
        ("gzip", gzip.compress(b"x", mtime=0) + b"more", 400),
        ("gzip", gzip.compress(bytes(1 << 20), mtime=0), 413),
        ("br", b"x", 415),
        ("gzip, gzip", b"x", 415),
    ],
)
async def test_a_compressed_body_that_is_none_or_too_large_is_refused(serve, encoding, body, status):
    client = await serve(ECHO, settings={"max_request_size": 1 << 16})
    answer = await client.inference.post("/v2/models/m/infer", content=body, headers={"content-encoding": encoding})
    assert (answer.status_code, "error" in answer.json()) == (status, True)


async def test_elsewhere_a_compressed_body_reaches_the_handler_as_it_came(serve):
    client = await serve(ECHO)
    body = gzip.compress(b"x")
    assert (await client.predict(content=body, headers={"content-encoding": "gzip"})).content == body


async def test_it_can_be_switched_off_but_for_predictions(serve):
    client = await serve(ECHO, settings={"ts_open_inference_protocol": False})
    for path in ("/v2", "/v2/health/live", "/v2/models/m"):
        assert (await get(client, path))[0] == 404
    assert (await client.inference.post("/v2/models/m/infer", content=b"hi")).content == b"hi"
