"""Contract: inference API, section 6: the error table."""

import re

import pytest

INTERNAL = "InternalServerException"


def test_what_is_no_http(contract):
    received = contract.raw(b"nonsense\r\n\r\n")
    head, _, body = received.partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 400 ")
    assert body == b'{\n  "code": 400,\n  "type": "BadRequestException",\n  "message": "Invalid HTTP message."\n}\n'


@pytest.mark.parametrize(
    ("path", "kind", "message"),
    [
        ("/predictions/nobody", "ModelNotFoundException", "Model not found: nobody"),
        ("/explanations/nobody", "ModelNotFoundException", "Model not found: nobody"),
        ("/v1/models/nobody:predict", "ModelNotFoundException", "Model not found: nobody"),
        ("/v2/models/nobody/infer", "ModelNotFoundException", "Model not found: nobody"),
        ("/invocations?model_name=nobody", "ModelNotFoundException", "Model not found: nobody"),
        ("/models/nobody/invoke", "ModelNotFoundException", "Model not found: nobody"),
        ("/nobody/predict", "ModelNotFoundException", "Model not found: nobody"),
        ("/v1/models/:predict", "ModelNotFoundException", "Model not found: "),
        ("/v2/models//infer", "ModelNotFoundException", "Model not found: "),
        ("/models//invoke", "ModelNotFoundException", "Model not found: "),
        ("//predict", "ModelNotFoundException", "Model not found: "),
        (
            "/predictions/tell/9.9",
            "ModelVersionNotFoundException",
            "Model version: 9.9 does not exist for model: tell",
        ),
    ],
)
def test_a_model_or_version_that_is_not_there(contract, path, kind, message):
    contract.model("tell")
    assert contract.post(path).error == (404, kind, message)


def test_a_body_that_is_too_large(strict, deviates):
    strict.model("tell")
    answer = strict.post("/predictions/tell", b"x" * 2001, "application/octet-stream")
    assert answer.error[:2] == (413, "ContentTooLargeException")
    assert strict.post("/predictions/tell", b"x" * 2000, "application/octet-stream").status != 413
    deviates("| 413 |")


def test_a_chunked_body_that_is_too_large(strict):
    strict.model("tell")
    received = strict.raw(
        b"POST /predictions/tell HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n" + b"400\r\n" + b"x" * 1024
        + b"\r\n400\r\n" + b"x" * 1024 + b"\r\n0\r\n\r\n"
    )  # fmt: skip
    assert received.startswith(b"HTTP/1.1 413 ")


@pytest.mark.parametrize(
    ("order", "reason"),
    [
        ({"exit": 1}, "exited with code 1"),
        ({"exit": 0}, "exited with code 0, though nobody had asked it to"),
        ({"signal": "SIGKILL"}, "was killed by SIGKILL"),
        ({"signal": "SIGSEGV"}, "was killed by SIGSEGV"),
    ],
)
def test_a_worker_that_dies(contract, order, reason, deviates):
    contract.model("mortal", "steer")
    contract.eventually(lambda: contract.management("GET", "/models/mortal").json()[0]["state"] == "ready")
    answer = contract.json("/predictions/mortal", order)
    assert answer.error == (500, INTERNAL, "Worker died.")
    assert answer.json()["reason"] == f"the process {reason}"
    deviates("`reason` of a worker's death")
    assert contract.management("DELETE", "/models/mortal").status == 200
    contract.forget("mortal")


def test_a_worker_that_takes_too_long(contract, deviates):
    contract.model("late", "steer", responseTimeout=1)
    status, kind, text = contract.json("/predictions/late", {"sleep": 30}).error
    assert (status, kind) == (504, "RequestTimeoutException")
    assert re.match(r"The worker gave no answer for \d+\.\d+ seconds; responseTimeout allows 1$", text)
    deviates("a handler over `responseTimeout`")
    contract.eventually(lambda: contract.json("/predictions/late", {"answer": "back"}).body == b"back")


def test_a_reply_that_is_too_large(strict, deviates):
    strict.model("steer")
    assert strict.post("/predictions/steer", b"x" * 1500).error[:2] == (500, INTERNAL)
    deviates("an answer over `max_response_size`")
    assert strict.post("/predictions/steer", b"x" * 1000).status == 200


def test_no_workers(contract, deviates):
    contract.model("idle", "tell", workers=0)
    for path in ("/predictions/idle", "/predictions/idle/1.0"):
        status, kind, message = contract.post(path).error
        assert (status, kind) == (503, "ServiceUnavailableException")
        assert message.startswith('Model "idle" has no worker to serve inference request. Please use scale workers API')
    deviates("503 for a version in the path")


FAILURES = {
    "the handler raises": ({"raise": "value"}, (503, INTERNAL, "Prediction failed")),
    "it returns a tuple": ({"list": "tuple"}, (503, INTERNAL, "Invalid model predict output")),
    "it returns a text": ({"list": "text"}, (503, INTERNAL, "Invalid model predict output")),
    "it returns nothing": ({"list": "none"}, (503, INTERNAL, "Invalid model predict output")),
    "it returns too many": ({"list": "longer"}, (503, INTERNAL, "number of batch response mismatched")),
    "it returns an array": ({"return": "array"}, (503, INTERNAL, "Unsupported model output data type.")),
    "memory": ({"raise": "memory"}, (507, INTERNAL, "Out of resources")),
    "CUDA": ({"raise": "cuda"}, (507, INTERNAL, "Out of resources")),
    "its own error": ({"refuse": ["not that one"]}, (500, INTERNAL, "not that one")),
    "its own code": ({"refuse": ["teapot", 418]}, (418, INTERNAL, "teapot")),
    "its own code of nobody's": ({"refuse": ["odd", 599]}, (599, INTERNAL, "odd")),
}


@pytest.mark.parametrize("case", FAILURES)
def test_a_handler_that_fails_leaves_its_worker_alive(contract, case):
    order, error = FAILURES[case]
    (before,) = contract.management("GET", f"/models/{contract.model('steer')}").json()[0]["workers"]
    answer = contract.steer(**order)
    assert answer.error == error
    assert b"secret" not in answer.body
    (after,) = contract.management("GET", "/models/steer").json()[0]["workers"]
    assert after["pid"] == before["pid"]


def test_one_failure_is_every_requests_of_the_batch_unless_failures_are_isolated(contract):
    contract.model("together", "steer", batchSize=2, maxBatchDelay=5000, fixedDelay=True, isolateFailures=False)
    first, second = contract.at_once(
        lambda: contract.json("/predictions/together", {"raise": "value"}),
        lambda: contract.json("/predictions/together", {"answer": "fine"}),
    )
    assert first.status == second.status == 503


@pytest.mark.parametrize("poison", [{"raise": "value"}, {"raise": "memory"}, {"raise": "exit"}, {"signal": "SIGSEGV"}])
def test_one_bad_request_fails_alone(contract, poison, deviates):
    name = f"isolated-{next(iter(poison.values())).lower()}"
    contract.model(name, "steer", batchSize=3, maxBatchDelay=5000, fixedDelay=True)
    answers = contract.at_once(
        lambda: contract.json(f"/predictions/{name}", {"answer": "first"}),
        lambda: contract.json(f"/predictions/{name}", poison),
        lambda: contract.json(f"/predictions/{name}", {"answer": "last"}),
    )
    assert [answer.status for answer in answers][::2] == [200, 200] and answers[1].status >= 500
    assert [answers[0].body, answers[2].body] == [b"first", b"last"]
    deviates("a batch whose handler raises, or whose worker dies")


def test_an_error_of_the_open_inference_protocol_says_error_too(contract, deviates):
    told = contract.post("/v2/models/nobody/infer").json()
    assert told["error"] == told["message"] == "Model not found: nobody"
    deviates("errors of `/v2`")
