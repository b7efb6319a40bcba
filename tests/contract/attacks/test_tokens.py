"""Where tokens are asked for, no spelling of a request gets by without the right one."""

import pytest

MANAGE, PREDICT = "manage-0123456789abcdef", "predict-0123456789abcdef"
PATHS = (
    "/models", "//models", "/models/", "/%6dodels", "/Models", "/./models", "/x/../models", "/models?u=/token",
    "/models;x=/ping", "/ping/../models", "/models#/ping", "/v1/models/none", "/docs", "/openapi.json", "/workflows",
)  # fmt: skip


def head(method, path, **headers):
    lines = {"Host": "a", "Connection": "close"} | {name.replace("_", "-"): value for name, value in headers.items()}
    return (f"{method} {path} HTTP/1.1\r\n" + "".join(f"{k}: {v}\r\n" for k, v in lines.items()) + "\r\n").encode()


def status(answer):
    return int(answer.split(b" ", 2)[1])


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("method", ["GET", "POST", "PUT", "DELETE", "PATCH"])
def test_management_takes_no_token_of_inference(guarded, method, path):
    told = guarded.raw(head(method, path, Authorization=f"Bearer {PREDICT}"), listener="management")
    assert status(told) == 403
    assert status(guarded.raw(head(method, path), listener="management")) == 401


@pytest.mark.parametrize(
    "headers",
    [
        {"Host": "a/ping?"},
        {"Host": "a/api-description?x="},
        {"X_Original_URL": "/ping"},
        {"X_Rewrite_URL": "/ping"},
        {"X_Forwarded_Prefix": "/ping"},
        {"X_HTTP_Method_Override": "OPTIONS"},
        {"X_Forwarded_For": "127.0.0.1"},
        {"X": f"Bearer {MANAGE}"},
        {"Cookie": f"token={MANAGE}"},
    ],
    ids=str,
)
def test_no_other_header_opens_what_tokens_guard(guarded, headers):
    assert status(guarded.raw(head("GET", "/models", **headers), listener="management")) == 401


def test_a_target_beside_the_path_opens_nothing(guarded):
    for target in ("http://a/ping/../models", "http://ping/models", "http://a@/ping"):
        assert status(guarded.raw(head("GET", target), listener="management")) in (400, 401)


def test_a_question_of_a_browser_opens_nothing(guarded):
    told = guarded.raw(
        head("OPTIONS", "/models", Access_Control_Request_Method="DELETE", Origin="http://evil"), listener="management"
    )
    assert status(told) == 204 and b"access-control-allow-origin" not in told.lower()


def test_a_token_that_is_refused_is_told_without_its_body_being_read(guarded):
    sent = head("POST", "/models", Authorization="Bearer x", Expect="100-continue", Content_Length=5_000_000)
    told = guarded.raw(sent, listener="management")
    assert status(told) == 401 and b"100 Continue" not in told
    sent = head("POST", "/models", Authorization="Bearer x", Content_Length=5_000_000)
    assert status(guarded.raw(sent + bytes(4_000_000), listener="management")) == 401


def test_probes_need_no_token_and_tell_of_no_model(guarded):
    for path in ("/ping", "/v2/health/live", "/v2/health/ready"):
        answer = guarded.contract.request("GET", path)
        assert answer.status in (200, 400) and b"tell" not in answer.body
