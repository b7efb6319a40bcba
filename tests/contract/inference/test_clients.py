"""Real clients: curl, requests and httpx with multipart, Triton's client library."""

import gzip
import json
import shutil
import subprocess

import httpx
import numpy as np
import pytest

SHARED = {"batchSize": 2, "maxBatchDelay": 1000, "fixedDelay": True}


@pytest.fixture
def curl(contract):
    """Run curl with these arguments, the last being the path; gives its output."""
    if not shutil.which("curl"):
        pytest.skip("curl is not installed")

    def run(*arguments):
        *options, path = arguments
        command = ["curl", "-s", "-S", "--max-time", "60", *options, contract.addresses["inference"] + path]
        return subprocess.run(command, capture_output=True, text=True, timeout=90)

    return run


@pytest.fixture
def file(tmp_path):
    made = tmp_path / "kitten.json"
    made.write_text('{"a": 1}')
    return made


def test_curl_uploads_a_file(contract, curl, file):
    contract.model("tell")
    row = json.loads(curl("-T", str(file), "/predictions/tell").stdout)["row"]
    assert row == {"body": ["bytearray", '{"a": 1}']}


def test_curl_sends_a_form_unless_told_otherwise(contract, curl):
    contract.model("tell")
    assert json.loads(curl("-d", '{"a":1}', "/predictions/tell").stdout)["row"] == {}
    typed = curl("-H", "content-type: application/json", "-d", '{"a":1}', "/predictions/tell")
    assert json.loads(typed.stdout)["row"] == {"body": ["dict", {"a": 1}]}


def test_curl_sends_parts(contract, curl, file):
    contract.model("tell")
    row = json.loads(curl("-F", f"data=@{file};type=application/json", "-F", "n=5", "/predictions/tell").stdout)["row"]
    assert row == {"data": ["dict", {"a": 1}], "n": ["bytearray", "5"]}


def test_curl_waits_for_a_continue_before_a_large_body(contract, curl, tmp_path):
    contract.model("tell")
    large = tmp_path / "large"
    large.write_bytes(b"x" * 2_000_000)
    done = curl("-v", "-H", "content-type: text/plain", "-T", str(large), "-o", "/dev/null", "/predictions/tell")
    assert "100 Continue" in done.stderr and "HTTP/1.1 200" in done.stderr


def test_curl_notices_an_answer_that_breaks_off(contract, curl):
    contract.model("steer")
    order = '{"pieces": ["one"], "raise": "value"}'
    done = curl("-N", "-H", "content-type: application/json", "-d", order, "/predictions/steer")
    assert (done.returncode, done.stdout) == (18, "one")  # 18: partial file


def test_requests_sends_parts(contract):
    requests = pytest.importorskip("requests")
    contract.model("tell")
    where = contract.addresses["inference"] + "/predictions/tell"
    with requests.Session() as session:
        files = {"data": ("k.json", b"[1]", "application/json"), "raw": b"\x00\xff"}
        answer = session.post(where, files=files, data={"n": "5"}, timeout=60)
        row = {"data": ["list", [1]], "raw": ["bytearray", "\x00\xff"], "n": ["bytearray", "5"]}
        assert (answer.headers["content-type"], answer.json()["row"]) == ("application/json", row)
        assert session.post(where, data=b"x", timeout=60).json()["row"] == {"body": ["bytearray", "x"]}
        assert session.post(where, json={"a": 1}, timeout=60).json()["row"] == {"body": ["dict", {"a": 1}]}


def test_requests_reads_pieces(contract):
    requests = pytest.importorskip("requests")
    contract.model("steer")
    where = contract.addresses["inference"] + "/predictions/steer"
    order = {"pieces": ["a", "b"], "pause": 0.2, "answer": "c"}
    with requests.post(where, json=order, stream=True, timeout=60) as answer:
        assert list(answer.iter_content(None)) == [b"a", b"b", b"c"]


def test_requests_is_told_what_is_wrong(contract):
    requests = pytest.importorskip("requests")
    answer = requests.post(contract.addresses["inference"] + "/predictions/nobody", data=b"x", timeout=60)
    with pytest.raises(requests.HTTPError, match="404 Client Error: Not Found"):
        answer.raise_for_status()
    assert answer.json()["message"] == "Model not found: nobody"


def test_httpx_sends_parts(contract):
    contract.model("tell")
    where = contract.addresses["inference"] + "/predictions/tell"
    with httpx.Client(timeout=60) as client:
        row = client.post(where, files={"data": ("k.json", b"[1]", "application/json")}, data={"n": "5"}).json()["row"]
    assert row == {"data": ["list", [1]], "n": ["bytearray", "5"]}


def test_httpx_reads_pieces(contract):
    contract.model("steer")
    where = contract.addresses["inference"] + "/predictions/steer"
    with httpx.stream("POST", where, json={"pieces": ["a", "b"], "pause": 0.1, "answer": "c"}, timeout=60) as answer:
        assert list(answer.iter_text()) == ["a", "b", "c"]


@pytest.fixture
def triton(contract):
    library = pytest.importorskip("tritonclient.http")
    contract.model("double", "tensor", model_file="double", engine={"inputs": [[1, 3]]}, **SHARED)
    client = library.InferenceServerClient(contract.addresses["inference"].removeprefix("http://"), concurrency=4)
    yield library, client
    client.close()


VALUES = np.arange(6, dtype=np.float32).reshape(2, 3)


def tensor_of(library, binary=True, values=VALUES):
    made = library.InferInput("x", list(values.shape), "FP32")
    made.set_data_from_numpy(values, binary_data=binary)
    return made


def test_tritons_client_asks_about_server_and_model(triton):
    _, client = triton
    assert client.is_server_live() and client.is_model_ready("double") and client.is_model_ready("double", "1.0")
    assert client.get_server_metadata()["name"] == "numserve"
    assert client.get_model_metadata("double")["inputs"] == [{"name": "x", "datatype": "FP32", "shape": [-1, 3]}]
    assert client.get_model_metadata("double", "1.0")["versions"] == ["1.0"]
    assert not client.is_model_ready("nobody")


@pytest.mark.parametrize("sent_binary", [True, False])
@pytest.mark.parametrize("wanted_binary", [True, False, None])
def test_tritons_client_infers(triton, sent_binary, wanted_binary):
    library, client = triton
    outputs = None
    if wanted_binary is not None:
        outputs = [library.InferRequestedOutput(name, binary_data=wanted_binary) for name in ("negative", "twice")]
    answer = client.infer("double", [tensor_of(library, sent_binary)], "1.0", outputs, request_id="7")
    np.testing.assert_array_equal(answer.as_numpy("twice"), VALUES * 2)
    np.testing.assert_array_equal(answer.as_numpy("negative"), -VALUES)
    assert answer.get_response()["id"] == "7"


@pytest.mark.parametrize("algorithm", ["gzip", "deflate"])
def test_tritons_client_compresses(triton, algorithm):
    library, client = triton
    answer = client.infer(
        "double", [tensor_of(library)], request_compression_algorithm=algorithm, response_compression_algorithm="gzip"
    )
    np.testing.assert_array_equal(answer.as_numpy("twice"), VALUES * 2)


def test_tritons_client_infers_at_once(triton):
    library, client = triton
    pending = [client.async_infer("double", [tensor_of(library, values=VALUES + i)]) for i in range(6)]
    for number, request in enumerate(pending):
        np.testing.assert_array_equal(request.get_result().as_numpy("twice"), (VALUES + number) * 2)


def test_tritons_client_asks_for_classes(triton):
    library, client = triton
    wanted = [library.InferRequestedOutput("twice", class_count=2)]
    classes = client.infer("double", [tensor_of(library)], outputs=wanted).as_numpy("twice")
    assert [each.split(b":")[1] for each in classes[0]] == [b"2", b"1"]


def test_tritons_client_is_told_what_is_wrong(triton):
    library, client = triton
    utils = pytest.importorskip("tritonclient.utils")
    with pytest.raises(utils.InferenceServerException, match=r"\[400\] input 'x' has the shape"):
        client.infer("double", [tensor_of(library, values=VALUES[:, :2])])
    with pytest.raises(utils.InferenceServerException, match="Model not found: nobody"):
        client.infer("nobody", [tensor_of(library)])


def test_a_compressed_body_of_nonsense_is_refused(contract):
    contract.model("tell")
    sent = gzip.compress(b"x")[:-2]
    assert contract.post("/v2/models/tell/infer", sent, **{"Content-Encoding": "gzip"}).error[0] == 400
