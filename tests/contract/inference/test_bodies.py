"""Contract: inference API, section 4: what the handler is given."""

import gzip

import pytest

JSON, FORM, TEXT = "application/json", "application/x-www-form-urlencoded", "text/plain"
OCTETS = "application/octet-stream"

RAW = {
    "bytes": (b"\x00\xff", OCTETS, ["bytearray", "\x00\xff"]),
    "nothing": (b"", None, ["bytearray", ""]),
    "no type": (b'{"a": 1}', None, ["bytearray", '{"a": 1}']),
    "json": (b'{"a": [1, null]}', JSON, ["dict", {"a": [1, None]}]),
    "json with parameters": (b"[1]", "application/json; charset=utf-8", ["list", [1]]),
    "json in capitals": (b"[1]", "Application/JSON", ["list", [1]]),
    "json that is none": (b"{a", JSON, ["bytearray", "{a"]),
    "json's number": (b"7", JSON, ["int", 7]),
    "vendor's json": (b"[1]", "application/vnd.api+json", ["bytearray", "[1]"]),
    "text": ("ä".encode(), TEXT, ["str", "ä"]),
    "csv": (b"a,b", "text/csv; header=present", ["str", "a,b"]),
    "text that is none": (b"\xff", TEXT, ["bytearray", "\xff"]),
    "picture": (b"\x89PNG", "image/png", ["bytearray", "\x89PNG"]),
    "multipart without boundary": (b"--x", "multipart/form-data", ["bytearray", "--x"]),
    "gzip": (gzip.compress(b"x", mtime=0), OCTETS, ["bytearray", gzip.compress(b"x", mtime=0).decode("latin-1")]),
}


@pytest.mark.parametrize("case", RAW)
def test_a_raw_body_is_under_body(contract, case):
    body, content_type, value = RAW[case]
    assert contract.told(body=body, content_type=content_type)["row"] == {"body": value}


FORMS = {
    "a=1&b=x+y&c=%C3%A4": {"a": "1", "b": "x y", "c": "ä".encode().decode("latin-1")},
    "a=1&a=2": {"a": "2"},
    "a=": {"a": ""},
    '{"a": 1}': {},
}


@pytest.mark.parametrize("body", FORMS)
def test_a_forms_fields_are_keys(contract, body):
    row = contract.told(body=body, content_type=FORM)["row"]
    assert row == {key: ["bytearray", value] for key, value in FORMS[body].items()}


def multipart(*parts: str) -> dict[str, object]:
    body = "".join(f"--xx\r\nContent-Disposition: form-data; {part}\r\n" for part in parts) + "--xx--\r\n"
    return {"body": body.encode(), "content_type": "multipart/form-data; boundary=xx"}


PARTS = {
    'name="a"\r\n\r\n1': {"a": ["bytearray", "1"]},
    'name="a"\r\nContent-Type: application/json\r\n\r\n[1]': {"a": ["bytearray", "[1]"]},
    'name="a"; filename="f"\r\n\r\n[1]': {"a": ["bytearray", "[1]"]},
    'name="a"; filename="f"\r\nContent-Type: application/json\r\n\r\n[1]': {"a": ["list", [1]]},
    'name="a"; filename="f"\r\nContent-Type: text/plain\r\n\r\nhi': {"a": ["str", "hi"]},
    'name="a"; filename="f"\r\nContent-Type: image/png\r\n\r\nhi': {"a": ["bytearray", "hi"]},
}


@pytest.mark.parametrize("part", PARTS)
def test_a_multipart_files_type_counts_and_a_fields_does_not(contract, part):
    assert contract.told(**multipart(part))["row"] == PARTS[part]


def test_of_parts_with_one_name_the_last_counts(contract):
    told = contract.told(**multipart('name="a"\r\n\r\n1', 'name="b"\r\n\r\n2', 'name="a"\r\n\r\n3'))
    assert told["row"] == {"a": ["bytearray", "3"], "b": ["bytearray", "2"]}


def test_the_type_of_each_part_is_among_the_headers(contract):
    part = 'name="a"; filename="f"\r\nContent-Type: image/png\r\n\r\nhi'
    headers = contract.told(**multipart(part, 'name="b"\r\n\r\n2'))["headers"]
    assert (headers["a"], headers["b"]) == ({"content-type": "image/png"}, {"content-type": ""})


def test_a_malformed_multipart_body_is_refused(contract, deviates):
    answer = contract.post(f"/predictions/{contract.model('tell')}", b"--xx\r\nno", "multipart/form-data; boundary=xx")
    assert answer.error[:2] == (400, "BadRequestException")
    deviates("malformed multipart")


@pytest.mark.parametrize("path", ["/predictions/tell", "/explanations/tell", "/v1/models/tell:predict"])
def test_the_query_is_dropped(contract, path):
    assert contract.told(f"{path}?k=v")["row"] == {"body": ["bytearray", ""]}


@pytest.mark.parametrize(
    "path", ["/invocations?model_name=tell&k=v+w", "/models/tell/invoke?k=v+w", "/tell/predict?k=v%20w"]
)
def test_the_query_is_given_on_the_older_routes(contract, path):
    assert contract.told(path)["row"]["k"] == ["bytearray", "v w"]


def test_headers_are_found_in_any_case(contract):
    told = contract.told(**{"X-Foo-Bar": "7"})
    assert told["X-Foo-Bar"] == "7"


def test_of_repeated_headers_one_survives(contract):
    contract.model("tell")
    received = contract.raw(
        b"GET /predictions/tell HTTP/1.1\r\nHost: x\r\nX-Foo-Bar: 1\r\nX-Foo-Bar: 2\r\nConnection: close\r\n\r\n"
    )
    assert received.count(b'"X-Foo-Bar": "2"') == 1


def test_who_predicts_cannot_ask_for_a_description(contract, deviates):
    assert "describe" not in contract.told(describe="True")["headers"]
    deviates("a client's header `describe: True`")


def test_decoding_can_be_switched_off(strict):
    assert strict.told(body=b"[1]", content_type=JSON)["row"] == {"unwrapped": ["bytearray", "[1]"]}
    assert strict.told(body=b"hi", content_type=TEXT)["row"] == {"unwrapped": ["bytearray", "hi"]}


@pytest.mark.parametrize("encoding", ["gzip", "br", "nonsense"])
def test_content_encoding_is_handed_on(contract, encoding):
    assert contract.told(body=b"\x1f\x8b", **{"Content-Encoding": encoding})["row"] == {
        "body": ["bytearray", "\x1f\x8b"]
    }


def test_expect_100_continue_is_answered_before_the_body(contract):
    contract.model("tell")
    head = b"POST /predictions/tell HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\nExpect: 100-continue\r\n\r\n"
    assert contract.raw(head, until_closed=False).startswith(b"HTTP/1.1 100 Continue\r\n")


def test_expect_100_continue_of_too_large_a_body_is_refused_at_once(strict):
    strict.model("tell")
    head = b"POST /predictions/tell HTTP/1.1\r\nHost: x\r\nContent-Length: 2001\r\nExpect: 100-continue\r\n\r\n"
    assert strict.raw(head).startswith(b"HTTP/1.1 413 ")


def test_a_chunked_body_is_collected(contract):
    contract.model("tell")
    received = contract.raw(
        b"POST /predictions/tell HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\n"
        b"2\r\nab\r\n3;ext=1\r\ncde\r\n0\r\n\r\n"
    )
    assert b'"abcde"' in received
