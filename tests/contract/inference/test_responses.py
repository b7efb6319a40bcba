"""Contract: inference API, section 5: what the client gets."""

import io
import re
import zipfile

import pytest

ELEMENTS = {
    "bytes": ({"return": "bytes"}, b"\x00\xff", None),
    "bytearray": ({"return": "bytearray"}, b"\x00\xff", None),
    "text": ({"answer": "ä"}, "ä".encode(), None),
    "object": ({"answer": {"a": "ä", "b": [1]}}, b'{\n  "a": "\\u00e4",\n  "b": [\n    1\n  ]\n}', "application/json"),
    "list": ({"answer": [1]}, b"[\n  1\n]", "application/json"),
    "number": ({"answer": 7}, b"7", "application/json"),
    "nothing": ({"return": "nothing"}, b"null", "application/json"),
    "NaN": ({"return": "nan"}, b"[\n  NaN\n]", "application/json"),
}


@pytest.mark.parametrize("case", ELEMENTS)
def test_an_element_becomes_a_body(contract, deviates, case):
    order, body, content_type = ELEMENTS[case]
    answer = contract.steer(**order)
    assert (answer.status, answer.body, answer["content-type"]) == (200, body, content_type)
    deviates("content type of JSON answers")


def test_a_tensor_is_what_torch_save_writes(contract):
    answer = contract.steer(**{"return": "tensor"})
    names = zipfile.ZipFile(io.BytesIO(answer.body)).namelist()
    assert any(name.endswith("/data.pkl") for name in names)


@pytest.mark.parametrize("kind", ["array", "set"])
def test_what_json_does_not_take_is_refused(contract, kind):
    error = contract.steer(**{"return": kind}).error
    assert error == (503, "InternalServerException", "Unsupported model output data type.")


@pytest.mark.parametrize("status", [200, 201, 299, 404, 418, 500, 599])
def test_the_handlers_status_keeps_its_body(contract, deviates, status):
    answer = contract.steer(status=status, phrase="its own", answer="its body")
    assert (answer.status, answer.body) == (status, b"its body")
    assert answer["connection"] == ("keep-alive" if status < 400 else "close")
    deviates("reason phrase")


def test_the_handlers_type_and_headers_go_out(contract, deviates):
    deviates("case of a handler's header names")
    answer = contract.steer(type="text/tea", headers={"X-Pot": "1", "Set-Cookie": "a=b"}, answer="tea")
    assert (answer["content-type"], answer["X-Pot"], answer["Set-Cookie"]) == ("text/tea", "1", "a=b")
    assert ("x-pot", "1") in answer.headers


@pytest.mark.parametrize("path", ["/predictions/tell", "/ping", "/nothing", "/predictions/nobody"])
def test_headers_of_every_response(contract, path):
    contract.model("tell")
    answer = contract.request("GET", path, headers={"x-request-id": "mine"})
    assert re.fullmatch(r"[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}", answer["x-request-id"])
    assert answer["pragma"] == "no-cache"
    assert answer["cache-control"] == "no-cache; no-store, must-revalidate, private"
    assert answer["expires"] == "Thu, 01 Jan 1970 00:00:00 UTC"
    assert answer["content-length"] == str(len(answer.body))
    assert answer["connection"] == ("keep-alive" if answer.status < 400 else "close")
    assert answer["access-control-allow-origin"] is None


def test_the_handler_knows_the_request_by_the_clients_id(contract):
    contract.model("tell")
    answer = contract.post("/predictions/tell", b"")
    assert answer.json()["id"] == answer["x-request-id"]


def test_an_error_closes_the_connection(contract):
    received = contract.raw(b"GET /nothing HTTP/1.1\r\nHost: x\r\n\r\n")  # returns when the server closes
    assert b"HTTP/1.1 404 " in received


def test_a_client_that_asks_to_close_is_told_so(contract, deviates):
    contract.model("tell")
    assert contract.request("GET", "/predictions/tell", headers={"Connection": "close"})["connection"] == "close"
    deviates("`Connection`")


@pytest.mark.parametrize("path", ["/predictions/tell", "/ping", "/nothing"])
def test_cors_headers_are_on_every_response_where_configured(strict, path):
    strict.model("tell")
    for method in ("GET", "OPTIONS"):
        answer = strict.request(method, path)
        assert answer["access-control-allow-origin"] == "*"
        assert answer["access-control-allow-methods"] == "GET, POST, PUT, OPTIONS"
        assert answer["access-control-allow-headers"] == "X-Custom"
