"""The descriptions of the three listeners: valid, with the way to show a token, and held by whatever is asked."""

from __future__ import annotations

import json

import hypothesis
import pytest
from hypothesis import strategies as st

LISTENERS = ("inference", "management", "metrics")
WITHOUT_TOKEN = {"/ping", "/v2/health/live", "/v2/health/ready", "/api-description", "/"}
EXAMPLES = 12
FAILING = ("handler", "startup_timeout", "runtime")
"""What keeps a model from loading, which is a status of 500 by contract."""
WORKERS = ("min_worker", "max_worker", "initial_workers")
FEW_WORKERS = ("1", "2", "x")
"""What is asked for instead of thousands of processes, or of none."""


def document(fuzzed, listener):
    return fuzzed.request("OPTIONS", "/", listener=listener).json()


@pytest.mark.parametrize("listener", LISTENERS)
def test_a_description_is_valid_openapi(fuzzed, listener):
    validator = pytest.importorskip("openapi_spec_validator")
    validator.validate(document(fuzzed, listener))


@pytest.mark.parametrize(("listener", "path"), [("inference", "/predictions/tell"), ("management", "/models/tell")])
def test_a_models_description_is_valid_openapi(fuzzed, listener, path):
    validator = pytest.importorskip("openapi_spec_validator")
    headers = {"Authorization": f"Bearer {fuzzed.token}"}
    told = fuzzed.request("OPTIONS", path, headers=headers, listener=listener).json()
    validator.validate(told)
    assert told["security"] == [{"token": []}]


@pytest.mark.parametrize("listener", LISTENERS)
def test_a_description_says_how_a_token_is_shown_and_where_none_is_needed(fuzzed, listener):
    told = document(fuzzed, listener)
    assert told["components"]["securitySchemes"]["token"]["scheme"] == "bearer"
    assert told["security"] == [{"token": []}]
    for path, operations in told["paths"].items():
        for method, operation in operations.items():
            answer = fuzzed.request(method.upper(), path.replace("{", "").replace("}", ""), listener=listener)
            needed = operation.get("security", told["security"]) != []
            assert needed == (path not in WITHOUT_TOKEN) == (answer.status == 401), (method, path)


def _name_a_model(case, known):
    """Ask for the model that is there, where `known`; it is not to be taken away."""
    if known and "model_name" in case.path_parameters:
        case.path_parameters["model_name"] = "tell"
    if known and "model_version" in case.path_parameters:
        case.path_parameters["model_version"] = "1.0"
    if case.method == "DELETE" and case.path_parameters.get("model_name") == "tell":
        case.path_parameters["model_name"] = "nobody"


@pytest.mark.parametrize("examples", [pytest.param(EXAMPLES), pytest.param(300, marks=pytest.mark.slow)])
@pytest.mark.parametrize("listener", LISTENERS)
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_whatever_is_asked_the_answer_is_as_described(fuzzed, listener, examples):
    schemathesis = pytest.importorskip("schemathesis")
    from schemathesis.specs.openapi import checks

    schema = schemathesis.openapi.from_dict(document(fuzzed, listener))
    held = [
        schemathesis.checks.not_a_server_error,
        checks.status_code_conformance,
        checks.content_type_conformance,
        checks.response_headers_conformance,
        checks.response_schema_conformance,
    ]
    asked = 0

    def fuzz(operation):
        @hypothesis.settings(
            max_examples=examples,
            derandomize=examples == EXAMPLES,
            deadline=None,
            database=None,
            suppress_health_check=[*hypothesis.HealthCheck],
        )
        @hypothesis.given(
            case=operation.as_strategy(),
            known=st.booleans(),
            number=st.none() | st.integers(),
            few=st.sampled_from(FEW_WORKERS),
        )
        def ask(case, known, number, few):
            nonlocal asked
            if number is not None:
                case.query = dict.fromkeys(case.query, str(number))
            case.query |= {name: few for name in WORKERS if name in case.query}
            if known and "url" in case.query and examples == EXAMPLES:  # which makes as many models
                case.query |= {"url": "tell.mar", "model_name": f"made-{asked}"}
                for name in FAILING:
                    case.query.pop(name, None)
            _name_a_model(case, known)
            asked += 1
            case.call_and_validate(
                base_url=fuzzed.addresses[listener], headers={"Authorization": f"Bearer {fuzzed.token}"}, checks=held
            )

        ask()

    for found in schema.get_all_operations():
        fuzz(found.ok())
    assert asked >= EXAMPLES
    assert fuzzed.json("/predictions/tell", [], Authorization=f"Bearer {fuzzed.token}").status == 200


def test_a_document_is_stable(fuzzed):
    for listener in LISTENERS:
        assert json.dumps(document(fuzzed, listener)) == json.dumps(document(fuzzed, listener))
