"""What a client can send to a listener: nothing of it is run, nothing costs much, and everything is answered."""

import os
import pickle
from urllib.parse import quote

import pytest

PREDICT = b"POST /predictions/tell HTTP/1.1\r\nHost: a\r\nConnection: close\r\n"
PICKLES = (
    "application/vnd.bentoml+pickle",
    "application/x-python-serialize",
    "application/octet-stream",
    "application/json",
    "text/plain",
)
PLACES = {
    "inference": ("/predictions/tell", "/v2/models/tell/infer", "/invocations", "/wfpredict/none"),
    "management": ("/models", "/models/tell", "/workflows"),
    "metrics": ("/metrics",),
}
EVERY_PLACE = [(listener, path) for listener, paths in PLACES.items() for path in paths]
CPU = 20.0
"""Seconds that an attack may take of the server, on a machine that is busy; on a quiet one each takes less than one."""


class Reduced:
    """Makes a folder where it is unpickled."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return os.mkdir, (self.path,)


def body(content, content_type="application/octet-stream", **more):
    headers = {"Content-Type": content_type, "Content-Length": str(len(content))} | more
    return PREDICT + "".join(f"{k}: {v}\r\n" for k, v in headers.items()).encode() + b"\r\n" + content


def status(answer):
    return int(answer.split(b" ", 2)[1])


@pytest.mark.parametrize(("listener", "path"), EVERY_PLACE)
def test_a_pickle_is_run_nowhere(victim, canary, listener, path):
    content = pickle.dumps(Reduced(canary()))
    for kind in PICKLES:
        headers = {"Content-Type": kind, "Payload-Container": "PickleBytes", "Payload-Meta": '{"format": "pickle"}'}
        victim.contract.request("POST", path, content, headers, listener)


@pytest.mark.parametrize(("listener", "path"), EVERY_PLACE)
def test_json_that_is_nested_without_end_overflows_nothing(victim, listener, path):
    for content in (b"[" * 100_000, b'{"a":' * 100_000, b"[" * 100_000 + b"]" * 100_000):
        answer = victim.contract.request("POST", path, content, {"Content-Type": "application/json"}, listener)
        assert answer.status in (200, 400, 404, 405), answer.body[:300]


def test_a_million_fields_of_a_form_are_refused_at_little_cost(victim):
    before = victim.seconds()
    told = victim.raw(body(b"a=1&" * 1_000_000, "application/x-www-form-urlencoded"))
    assert status(told) == 400 and b"more than 1000 fields" in told
    assert victim.seconds() - before < CPU


@pytest.mark.parametrize("unit", [b"%", b"%41", b"%z", b"=", b"+"])
def test_a_form_of_codes_costs_little(victim, unit):
    before = victim.seconds()
    content = b"a=" + unit * (6_000_000 // len(unit))
    assert status(victim.raw(body(content, "application/x-www-form-urlencoded", Connection="close"))) == 200
    assert victim.seconds() - before < CPU


def test_ten_thousand_parts_are_refused_at_little_cost(victim):
    before = victim.seconds()
    part = b'--b\r\nContent-Disposition: form-data; name="a"\r\n\r\n1\r\n'
    told = victim.raw(body(part * 100_000 + b"--b--\r\n", "multipart/form-data; boundary=b"))
    assert status(told) == 400 and b"more than 1000 parts" in told
    assert victim.seconds() - before < CPU


HOSTILE_PARTS = {
    "a boundary that goes on": ("b", b"--b" + b"-" * 1_000_000),
    "a long boundary": ("b" * 60_000, b"--" + b"b" * 60_000 + b"\r\n"),
    "an endless line": ("b", b"--b\r\n" + b"a" * 1_000_000),
    "an endless header": ("b", b"--b\r\nX: " + b"a" * 1_000_000),
    "headers without end": ("b", b"--b\r\n" + b"X: a\r\n" * 200_000),
    "a preamble": ("b", b"\r\n" * 500_000 + b"--b--\r\n"),
    "lines that almost are boundaries": (
        "b",
        b'--b\r\nContent-Disposition: form-data; name="a"\r\n\r\n' + b"\r\n--bx" * 300_000 + b"\r\n--b--\r\n",
    ),
    "an epilogue": ("b", b"--b--\r\n" + b"x" * 1_000_000),
    "options without end": (
        "b",
        b"--b\r\nContent-Disposition: form-data; " + b'a="b"; ' * 100_000 + b"\r\n\r\n\r\n--b--",
    ),
    "a backslash of a redos": (
        "b",
        b'--b\r\nContent-Disposition: form-data; name="' + b"\\" * 50_000 + b"\r\n\r\n--b--",
    ),
}


@pytest.mark.parametrize(("boundary", "content"), HOSTILE_PARTS.values(), ids=HOSTILE_PARTS)
def test_parts_made_to_cost_much_are_refused_at_little_cost(victim, boundary, content):
    before = victim.seconds()
    told = victim.raw(body(content, f"multipart/form-data; boundary={boundary}"))
    assert status(told) in (400, 431, 200), told[:300]
    assert victim.seconds() - before < CPU


def test_a_type_that_is_made_to_cost_much_costs_little(victim):
    before = victim.seconds()
    told = victim.raw(body(b"", "multipart/form-data; boundary=b" + '; !="' + "\\" * 30_000))
    assert status(told) in (200, 400) and victim.seconds() - before < CPU


def test_a_part_may_name_any_file_and_none_is_touched(victim):
    content = (
        b'--b\r\nContent-Disposition: form-data; name="../../x"; filename="../../../etc/passwd"\r\n\r\n1\r\n--b--\r\n'
    )
    told = victim.contract.post("/predictions/tell", content, "multipart/form-data; boundary=b")
    assert told.json()["row"] == {"../../x": ["bytearray", "1"]}


CHUNKED = PREDICT + b"Transfer-Encoding: chunked\r\n\r\n"


def test_a_million_chunks_of_a_byte_are_put_together_at_little_cost(victim):
    seconds, memory = victim.seconds(), victim.bytes()
    told = victim.raw(CHUNKED + b"1\r\na\r\n" * 1_000_000 + b"0\r\n\r\n")
    assert status(told) == 200 and b"a" * 1_000_000 in told
    assert victim.seconds() - seconds < CPU and victim.bytes() - memory < 128 << 20


def test_a_body_without_a_length_ends_at_the_limit(victim):
    memory = victim.bytes()
    told = victim.raw(CHUNKED, *[b"10000\r\n" + bytes(65536) + b"\r\n"] * 2000)
    assert status(told) == 413 and b"max_request_size" in told
    assert victim.bytes() - memory < 128 << 20


@pytest.mark.parametrize(
    "chunks", [[b"1;", *[b"a" * 65536] * 2000], [b"1;" + b"a" * 1000 + b"\r\na\r\n"] * 130_000], ids=["one", "many"]
)
def test_chunks_that_are_all_extension_end(victim, chunks):
    before = victim.seconds()
    told = victim.raw(CHUNKED, *chunks)
    assert status(told) == 413 and victim.seconds() - before < CPU


BOMB_OF = {"gzip": 31, "deflate": 15}


@pytest.mark.parametrize("encoding", BOMB_OF)
def test_what_unpacks_to_more_than_the_limit_is_refused(victim, encoding):
    import zlib

    packer = zlib.compressobj(9, zlib.DEFLATED, BOMB_OF[encoding])
    bomb = b"".join(packer.compress(bytes(1 << 20)) for _ in range(512)) + packer.flush()
    memory = victim.bytes()
    path = "/v2/models/tell/infer"
    answer = victim.contract.post(path, bomb, "application/json", **{"Content-Encoding": encoding})
    assert answer.status == 413 and b"max_request_size" in answer.body
    twice = victim.contract.post(path, bomb, "application/json", **{"Content-Encoding": f"{encoding}, {encoding}"})
    assert twice.status == 415
    assert victim.bytes() - memory < 128 << 20


def test_elsewhere_what_is_packed_stays_packed(victim):
    told = victim.contract.post("/predictions/tell", b"\x1f\x8b bomb", **{"Content-Encoding": "gzip"})
    assert told.json()["row"]["body"] == ["bytearray", "\x1f\x8b bomb"]


def test_a_part_beyond_the_limit_is_refused_before_it_is_read(victim):
    memory = victim.bytes()
    head = PREDICT + b"Content-Type: multipart/form-data; boundary=b\r\nContent-Length: 2147483648\r\n\r\n"
    told = victim.raw(head, *[bytes(1 << 20)] * 200)
    assert status(told) == 413 and b"connection: close" in told
    assert victim.bytes() - memory < 128 << 20


def test_who_waits_to_be_told_is_told_the_length_is_too_much(victim):
    head = PREDICT + b"Expect: 100-continue\r\nContent-Length: 2147483648\r\n\r\n"
    assert status(victim.raw(head)) == 413


@pytest.mark.parametrize(
    "head",
    [
        b"GET /predictions/tell?" + b"a=1&" * 100_000,
        b"GET /" + b"../" * 100_000,
        b"GET /ping HTTP/1.1\r\n" + b"X: a\r\n" * 100_000,
        b"GET /ping HTTP/1.1\r\nX: " + b"a" * (50 << 20),
    ],
    ids=["parameters", "path", "headers", "one header"],
)
def test_a_head_without_measure_is_refused(victim, head):
    memory = victim.bytes()
    assert status(victim.raw(head + b" HTTP/1.1\r\n\r\n")) == 431
    assert victim.bytes() - memory < 128 << 20


def test_a_path_leads_to_no_file(victim):
    for listener in PLACES:
        for path in (
            "/../etc/passwd",
            "/ui/../../etc/passwd",
            "/%2e%2e/%2e%2e/etc/passwd",
            "//etc/passwd",
            "/docs/../x",
        ):
            told = victim.raw(
                f"GET {path} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n".encode(), listener=listener
            )
            assert status(told) in (404, 405) and b"root:" not in told


def test_ranges_without_end_cost_nothing(victim):
    before = victim.seconds()
    ranges = b",".join(b"0-" for _ in range(4000))
    head = b"GET /docs HTTP/1.1\r\nHost: a\r\nConnection: close\r\nRange: bytes=" + ranges + b"\r\n\r\n"
    assert status(victim.raw(head, listener="management")) == 200
    assert victim.seconds() - before < CPU


NAMES = [
    "..",
    ".",
    "%2e%2e",
    "..%2f..%2fetc",
    "a\\b",
    "n" * 300,
    "\N{PILE OF POO}",
    "a\nb",
    "a b",
    "\x1b[2J",
    " ",
    "a\0b",
]


@pytest.mark.parametrize("name", NAMES, ids=ascii)
def test_a_name_that_no_model_can_have_is_not_found(victim, name):
    spelled = quote(name, safe="%")
    for path in (f"/predictions/{spelled}", f"/v2/models/{spelled}/infer", f"/predictions/tell/{spelled}"):
        assert victim.contract.post(path).status in (404, 405), path
    assert victim.contract.management("GET", f"/models/{spelled}").status in (404, 405)


def test_nobody_writes_the_log_or_the_terminal(victim):
    mark = "log-of-an-attack"
    escape = "%1b%5b2J%0d%0a2026-01-01%20forged"
    victim.contract.post(f"/predictions/{mark}{escape}", **{"X-Request-Id": "\x1b[2J"})
    victim.contract.management("POST", f"/models?url={mark}{escape}.mar&model_name={escape}")
    victim.contract.lines("access_log.log", mark)
    for file in (victim.contract.server.folder / "logs").glob("*.log"):
        text = file.read_text()
        assert "\x1b" not in text and not any(line.startswith("2026-01-01") for line in text.splitlines()), file


@pytest.mark.parametrize("path", [b"/models", b"/workflows"])
def test_management_reads_no_body_beyond_the_limit(victim, path):
    memory = victim.bytes()
    head = b"POST %b HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\n" % path
    told = victim.raw(head + b"Content-Length: 2147483648\r\n\r\n", *[bytes(1 << 20)] * 100, listener="management")
    assert status(told) == 413
    chunks = [b"10000\r\n" + b" " * 65536 + b"\r\n"] * 2000
    told = victim.raw(head + b"Transfer-Encoding: chunked\r\n\r\n", *chunks, listener="management")
    assert status(told) == 413 and victim.bytes() - memory < 128 << 20
