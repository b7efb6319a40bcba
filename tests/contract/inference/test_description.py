"""Contract: inference API, section 8: the description, and CORS preflight by it."""

import pytest

OPERATIONS = {
    ("/", "options", "apiDescription"),
    ("/api-description", "get", "api-description"),
    ("/ping", "get", "ping"),
    ("/predictions/{model_name}", "post", "predictions"),
    ("/predictions/{model_name}/{model_version}", "post", "version_predictions"),
    ("/v1/models/{model_name}:predict", "post", "predictions_v1"),
    ("/v2/models/{model_name}/infer", "post", "predictions_v2"),
}


@pytest.mark.parametrize(
    ("method", "path"), [("OPTIONS", "/"), ("GET", "/api-description"), ("POST", "/api-description")]
)
def test_the_listener_describes_itself(contract, deviates, method, path):
    answer = contract.request(method, path)
    told = answer.json()
    assert (answer.status, answer["content-type"], told["openapi"]) == (200, "application/json", "3.0.1")
    found = {
        (path, method, each["operationId"]) for path, item in told["paths"].items() for method, each in item.items()
    }
    assert found >= OPERATIONS
    deviates("`OPTIONS /` and of a model")


def test_the_description_is_valid(contract):
    validator = pytest.importorskip("openapi_spec_validator")
    validator.validate(contract.request("OPTIONS", "/").json())


@pytest.mark.parametrize(
    "path",
    ["/predictions/tell", "/predictions/tell/1.0", "/explanations/tell", "/v1/models/tell:predict", "/tell/predict",
     "/v2/models/tell/infer", "/models/tell/invoke"],
)  # fmt: skip
def test_a_model_describes_itself_on_each_of_its_routes(contract, path):
    contract.model("tell")
    told = contract.request("OPTIONS", path).json()
    assert told["info"] == {"title": "RESTful API for: tell", "version": "1.0.0"}
    assert set(told["paths"]) >= {"/predictions/tell", "/v1/models/tell:predict", "/v2/models/tell/infer"}


def test_a_model_that_is_not_there_has_no_description(contract):
    answer = contract.request("OPTIONS", "/predictions/nobody")
    assert answer.error == (404, "ModelNotFoundException", "Model not found: nobody")


def test_a_preflight_finds_the_cors_headers(strict):
    strict.model("tell")
    answer = strict.request(
        "OPTIONS", "/predictions/tell", headers={"Origin": "http://a", "Access-Control-Request-Method": "POST"}
    )
    assert (answer.status, answer["access-control-allow-origin"]) == (200, "*")
