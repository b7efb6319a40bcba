"""Contract: inference API, sections 1 and 2: handler order and routes."""

import pytest

METHODS = ["GET", "POST", "PUT", "DELETE", "PATCH"]
NO_ROUTE = "Requested resource is not found, please refer to API document."


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize(
    "path",
    [
        "/predictions/tell",
        "/predictions/tell/",
        "/predictions/tell/1.0",
        "/predictions/tell/1.0/",
        "/predictions/tell/1.0/v1/chat/completions",
        "/explanations/tell",
        "/explanations/tell/1.0",
        "/explanations/tell/1.0/rest",
        "/v1/models/tell:predict",
        "/v1/models/tell:explain",
        "/v2/models/tell/infer",
        "/v2/models/tell/explain",
        "/v2/models/tell/versions/1.0/infer",
        "/invocations?model_name=tell",
        "/models/tell/invoke",
        "/tell/predict",
        "/tell/1.0/predict",
        "/%70redictions/t%65ll",
    ],
)
def test_every_route_predicts_with_any_method(contract, method, path):
    contract.model("tell")
    answer = contract.request(method, path, b"x", {"Content-Type": "application/octet-stream"})
    assert (answer.status, answer.json()["row"]["body"]) == (200, ["bytearray", "x"])


def test_head_predicts_and_has_no_body(contract):
    contract.model("tell")
    answer = contract.request("HEAD", "/predictions/tell", b"x")
    assert (answer.status, answer.body) == (200, b"")
    assert int(answer["content-length"]) > 0


@pytest.mark.parametrize(
    ("path", "url_path", "explain"),
    [
        ("/predictions/tell", "", "False"),
        ("/predictions/tell/1.0", "", "False"),
        ("/predictions/tell/1.0/v1/chat/completions", "v1/chat/completions", "False"),
        ("/explanations/tell", "", "True"),
        ("/explanations/tell/1.0/a/b", "a/b", "True"),
        ("/v1/models/tell:predict", None, "False"),
        ("/v1/models/tell:explain", None, "True"),
        ("/v2/models/tell/infer", None, "False"),
        ("/v2/models/tell/explain", None, "True"),
        ("/invocations?model_name=tell", None, None),
        ("/models/tell/invoke", None, None),
        ("/tell/predict", None, None),
        ("/tell/1.0/predict", None, None),
    ],
)
def test_the_handler_finds_url_path_and_explain_among_the_headers(contract, path, url_path, explain):
    told = contract.told(path)
    assert (told["url_path"], told["explain"]) == (url_path, explain)


def test_a_version_in_the_path_is_that_version(contract):
    contract.model("two", "steer", version="1.0")
    contract.model("two", "tell", version="2.0")
    assert contract.post("/predictions/two", b"x").body == b"x"
    assert "row" in contract.post("/predictions/two/2.0", b"x").json()
    assert "row" in contract.post("/two/2.0/predict", b"x").json()


def test_kserves_names_take_the_default_version(contract, deviates):
    contract.model("two", "steer", version="1.0")
    contract.model("two", "tell", version="2.0")
    for path in ("/v1/models/two:predict", "/v2/models/two/infer"):
        assert contract.post(path, b"x").body == b"x"
    assert "row" in contract.post("/v2/models/two/versions/2.0/infer", b"x").json()
    deviates("`/v2/models/{m}`, its `/ready`, `/versions/{v}/…`")


def test_invocations_takes_the_model_from_the_query_or_the_form(contract):
    contract.model("tell")
    contract.model("steer")
    assert contract.told("/invocations?model_name=tell&model_name=steer")["row"]["body"] == ["bytearray", ""]
    form = contract.told("/invocations", "model_name=tell&a=1", content_type="application/x-www-form-urlencoded")
    assert form["row"] == {"model_name": ["bytearray", "tell"], "a": ["bytearray", "1"]}


def test_invocations_without_a_model_is_refused(contract):
    contract.model("tell")
    contract.model("steer")
    error = contract.post("/invocations", b"x", "application/octet-stream").error
    assert error == (400, "BadRequestException", "Parameter model_name is required.")


@pytest.mark.parametrize(
    "path",
    [
        "/predictions",
        "/explanations",
        "//predictions//tell",
        "/models",
        "/models/tell",
        "/models/tell/else",
        "/metrics",
        "/v1/models/tell",
        "/v1/models/tell:predict/more",
        "/v2/models/tell/infer/more",
        "/nothing",
        "/predictions?model_name=tell",
    ],
)
def test_anything_else_is_not_found(contract, path):
    contract.model("tell")
    assert contract.request("GET", path).error == (404, "ResourceNotFoundException", NO_ROUTE)


@pytest.mark.parametrize("method", ["GET", "POST", "PUT", "DELETE"])
def test_the_root_takes_options_alone(contract, method):
    message = "Requested method is not allowed, please refer to API document."
    assert contract.request(method, "/").error == (405, "MethodNotAllowedException", message)


def test_a_models_name_is_case_sensitive(contract):
    contract.model("tell")
    assert contract.post("/predictions/Tell").error == (404, "ModelNotFoundException", "Model not found: Tell")


def test_http_1_0_is_served(contract):
    contract.model("tell")
    received = contract.raw(b"GET /predictions/tell HTTP/1.0\r\n\r\n")
    assert received.startswith(b"HTTP/1.1 200 ") and b'"bytearray"' in received


def test_one_connection_serves_many_requests(contract):
    contract.model("tell")
    connection = contract.connect()
    for body in (b"1", b"2", b"3"):
        connection.request("POST", "/predictions/tell", body)
        assert body.decode() in connection.getresponse().read().decode()
    connection.close()


def test_pipelined_requests_are_answered_in_order(contract):
    contract.model("tell")
    one = b"GET /predictions/tell HTTP/1.1\r\nHost: x\r\nX-Foo-Bar: %d\r\n%s\r\n"
    received = contract.raw(one % (1, b"") + one % (2, b"Connection: close\r\n"))
    assert received.index(b'"X-Foo-Bar": "1"') < received.index(b'"X-Foo-Bar": "2"')
