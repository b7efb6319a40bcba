"""What a refusal tells: enough for whoever asked, nothing of the machine, the processes or the code."""

import json
import os
import re
import sys
import tempfile
from pathlib import Path

import pytest

PLACES = (tempfile.gettempdir(), str(Path.home()), sys.prefix, sys.base_prefix, os.getcwd(), "/dev/shm")
"""Where the server, its interpreter and its files are."""
SECRETS = re.compile(
    rb"Traceback|File \"|\.py\b|psm_|/secret|numserve-[0-9a-z]{8}|0x[0-9a-f]{8,}|line \d+, in|"
    + b"|".join(re.escape(os.fsencode(place)) for place in PLACES)
)
SENT = {
    "no model": ("POST", "/predictions/none", b"", {}),
    "no version": ("POST", "/predictions/tell/9.9", b"", {}),
    "no path": ("GET", "/none", b"", {}),
    "no method": ("BREW", "/ping", b"", {}),
    "too large": ("POST", "/predictions/tell", bytes(7_000_000), {}),
    "no multipart": ("POST", "/predictions/tell", b"x", {"Content-Type": "multipart/form-data; boundary=b"}),
    "no time-out": ("POST", "/predictions/tell", b"", {"X-Request-Timeout": "soon"}),
    "no time": ("POST", "/predictions/breaks", b'{"sleep": 1}', {"X-Request-Timeout": "0.05"}),
    "no encoding": ("POST", "/v2/models/tell/infer", b"x", {"Content-Encoding": "br"}),
    "no gzip": ("POST", "/v2/models/tell/infer", b"x", {"Content-Encoding": "gzip"}),
    "no model of the protocol": ("POST", "/v2/models/none/infer", b"{}", {}),
    "no workflow": ("POST", "/wfpredict/none", b"", {}),
    "an error of the handler": ("POST", "/predictions/breaks", b'{"raise": "value"}', {}),
    "an end of the handler": ("POST", "/predictions/breaks", b'{"raise": "exit"}', {}),
    "an error of a library": ("POST", "/predictions/breaks", b'{"raise": "cuda"}', {}),
    "an answer that is none": ("POST", "/predictions/breaks", b'{"list": "none"}', {}),
    "a death": ("POST", "/predictions/breaks", b'{"signal": "SIGKILL"}', {}),
}


@pytest.mark.parametrize(("method", "path", "content", "headers"), SENT.values(), ids=SENT)
def test_a_refusal_tells_nothing_of_the_inside(victim, method, path, content, headers):
    contract = victim.contract
    contract.model("breaks", "steer")
    pids = [str(victim.process.pid), str(victim.worker("breaks"))]
    answer = contract.request(method, path, content, {"Content-Type": "application/json"} | headers)
    assert 400 <= answer.status < 600, answer.body
    told = answer.body + json.dumps(answer.headers).encode()
    assert not SECRETS.search(told), told
    assert not [pid for pid in pids if re.search(rf"\b{pid}\b".encode(), answer.body)]
    contract.eventually(lambda: contract.json("/predictions/breaks", {"answer": "fine"}).body == b"fine")


def test_a_head_that_is_none_is_told_no_more(victim):
    for sent in (b"nonsense\r\n\r\n", b"GET / HTTP/1.1\r\nX: " + b"a" * 70_000 + b"\r\n\r\n"):
        assert not SECRETS.search(victim.raw(sent))


def test_no_answer_names_the_software_behind_it(victim):
    for listener in ("inference", "management", "metrics"):
        answer = victim.contract.request("GET", "/ping", listener=listener)
        assert answer["server"] is None and answer["x-powered-by"] is None
