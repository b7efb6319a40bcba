"""Bodies: what a handler's row is made of, and what of its answer goes out."""

from __future__ import annotations

import contextlib
from urllib.parse import unquote_to_bytes

import pytest
from hypothesis import given
from hypothesis import strategies as st
from numserve.server.api.bodies import MAX_PARTS, ClientLeft, read_body, to_inference_request, to_response
from numserve.server.api.errors import TooLarge
from numserve.server.errors import InvalidRequest
from numserve.server.messages import InferenceResponse, Part

MULTIPART = "multipart/form-data; boundary=xx"


def request(content_type, body, query=b"", with_query=False):
    headers = {"content-type": content_type} if content_type else {}
    return to_inference_request("id", headers, body, {"explain": "False"}, query if with_query else None)


def parts(content_type, body):
    return {part.name: (part.content_type, bytes(part.body)) for part in request(content_type, body).parts}


def part(disposition, body, content_type=None):
    declared = f"Content-Type: {content_type}\r\n" if content_type else ""
    return f"--xx\r\nContent-Disposition: form-data; {disposition}\r\n{declared}\r\n{body}\r\n"


@pytest.mark.parametrize(
    "content_type", [None, "application/json", "image/jpeg", "text/plain; charset=utf-8", "multipart/form-data"]
)
def test_a_raw_body_is_one_part_with_its_type(content_type):
    assert parts(content_type, b"[1]") == {"body": (content_type, b"[1]")}


def test_an_empty_body_is_a_part_too():
    assert parts(None, b"") == {"body": (None, b"")}


@pytest.mark.parametrize(
    ("body", "fields"),
    [
        (b"a=1&b=x+y%21&c=", {"a": b"1", "b": b"x y!", "c": b""}),
        (b"a=1&a=2", {"a": b"2"}),
        (b"%C3%A4=%ff", {"ä": b"\xff"}),
        (b'{"a": 1}', {}),
        (b"", {}),
    ],
)
def test_form_fields_are_decoded_and_handed_on_as_bytes(body, fields):
    found = parts("application/x-www-form-urlencoded", body)
    assert found == {name: (None, value) for name, value in fields.items()}


CODED = st.lists(
    st.sampled_from(["%", "%4", "%41", "%zz", "%0a", "%0D", "%3d", "%25", "=", "+", "\r", "\n", "_", "x", "é"])
)


@given(CODED)
def test_percents_mean_what_they_mean_to_python(pieces):
    text = "".join(pieces)
    assert parts("application/x-www-form-urlencoded", f"a={text}".encode())["a"][1] == unquote_to_bytes(
        text.replace("+", " ")
    )


def test_multipart_files_have_a_type_and_fields_have_none():
    body = part('name="f"; filename="k.jpg"', "img", "image/jpeg") + part('name="g"; filename="b"', "raw")
    body += part('name="h"', "1", "application/json") + "--xx--\r\n"
    assert parts(MULTIPART, body.encode()) == {
        "f": ("image/jpeg", b"img"),
        "g": ("application/octet-stream", b"raw"),
        "h": (None, b"1"),
    }


def test_the_last_of_several_parts_of_one_name_wins():
    body = part('name="a"', "1") + part('name="a"', "2") + "--xx--\r\n"
    assert parts(MULTIPART, body.encode()) == {"a": (None, b"2")}


@pytest.mark.parametrize(
    "body",
    [
        b"nonsense",
        b"",
        part('name="a"', "1").encode(),
        part("filename=x", "1").encode() + b"--xx--\r\n",
        b"--xx\r\nbad\r\n",
    ],
)
def test_a_malformed_multipart_body_is_refused(body):
    with pytest.raises(InvalidRequest, match="malformed"):
        request(MULTIPART, body)


@pytest.mark.parametrize(
    ("content_type", "body"),
    [
        ("application/x-www-form-urlencoded", b"a=1&" * (MAX_PARTS + 1)),
        (MULTIPART, (part('name="a"', "1") * (MAX_PARTS + 1)).encode() + b"--xx--\r\n"),
    ],
)
def test_more_parts_than_anybody_needs_are_refused(content_type, body):
    with pytest.raises(InvalidRequest, match=f"more than {MAX_PARTS}"):
        request(content_type, body)


@given(st.binary(max_size=300))
def test_no_multipart_body_is_worse_than_malformed(noise):
    with contextlib.suppress(InvalidRequest):
        request(MULTIPART, b"--xx\r\n" + noise)


@given(st.binary(max_size=200).filter(lambda body: b"\r\n--xx" not in b"\r\n" + body))
def test_a_file_arrives_as_it_was_sent(content):
    body = part('name="f"; filename="f"', "@@").encode().replace(b"@@", content) + b"--xx--\r\n"
    assert parts(MULTIPART, body) == {"f": ("application/octet-stream", content)}


def test_the_query_counts_only_where_it_is_asked_for():
    assert request(None, b"x", b"k=v").parts == (Part("body", None, b"x"),)
    assert Part("k", None, b"v") in request(None, b"x", b"k=v", with_query=True).parts


def test_our_headers_stand_beside_the_clients():
    assert request("text/csv", b"").headers == {"content-type": "text/csv", "explain": "False"}


def messages(*chunks, end=True):
    found = [{"type": "http.request", "body": chunk, "more_body": True} for chunk in chunks]
    found[-1]["more_body"] = not end
    waiting = iter([*found, {"type": "http.disconnect"}])

    async def receive():
        return next(waiting)

    return receive


async def test_a_body_comes_in_pieces():
    assert await read_body([], messages(b"ab", b"", b"c"), 3) == b"abc"


async def test_an_announced_length_is_refused_before_anything_is_read():
    with pytest.raises(TooLarge, match="4 bytes"):
        await read_body([(b"content-length", b"5")], messages(b"x"), 4)


async def test_a_length_that_was_not_announced_is_refused_as_it_comes():
    with pytest.raises(TooLarge):
        await read_body([], messages(b"abc", b"de"), 4)


async def test_a_client_that_hangs_up_in_the_middle_has_left():
    with pytest.raises(ClientLeft):
        await read_body([], messages(b"abc", end=False), 4)


def test_a_handlers_headers_go_out_but_do_not_frame_the_message():
    answer = InferenceResponse(
        200, "", "text/x", {"X-A": "1", "Content-Length": "9", "Bad Name": "1", "b": "1\r\nc: 2"}, b"hi"
    )
    assert to_response(answer) == (
        200,
        [(b"X-A", b"1"), (b"b", b"1  c: 2"), (b"content-type", b"text/x"), (b"content-length", b"2")],
        b"hi",
    )


@pytest.mark.parametrize(("status", "sent"), [(200, 200), (418, 418), (599, 599), (99, 500), (600, 500)])
def test_a_status_that_http_cannot_carry_becomes_500(status, sent):
    assert to_response(InferenceResponse(status, "", None, {}, b""))[0] == sent


def test_a_status_without_a_body_has_none():
    assert to_response(InferenceResponse(204, "", "text/x", {}, b"hi")) == (204, [], b"")
