"""Describing, row by row (contract: management API, sections 1, 6 and 8)."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

TELLS = """
def handle(data, context):
    if data and context.get_request_header(0, "describe") == "True":
        return [{answer}]
    return data
"""


@pytest.fixture(scope="module")
def describing(contract, tmp_path_factory):
    """Register a handler that answers a customised description so."""

    def make(name, answer):
        handler = tmp_path_factory.mktemp(name) / "handler.py"
        handler.write_text(TELLS.replace("{answer}", answer))
        contract.server.archive(name, "--handler", handler)
        assert contract.management("POST", f"/models?url={name}.mar&initial_workers=1").status == 200

    make("tells", "{'a': [1, 'ä']}")
    make("lists", "[1]")
    make("raises", "1 / 0")
    return contract


@pytest.mark.parametrize(("name", "told"), [("tells", {"a": [1, "ä"]}), ("lists", {})])
def test_the_handlers_object_is_the_customized_metadata(describing, name, told):
    assert describing.management("GET", f"/models/{name}?customized=true").json()[0]["customizedMetadata"] == told


def test_a_handler_that_cannot_describe_itself_is_503(describing):
    answer = describing.management("GET", "/models/raises?customized=true")
    assert answer.error == (503, "InternalServerException", "Prediction failed")
    assert "ZeroDivisionError" in answer.json()["detail"]


def test_all_versions_do_not_ask_the_handler(describing):
    (told,) = describing.management("GET", "/models/tells/all?customized=true").json()
    assert "customizedMetadata" not in told


@pytest.mark.parametrize("value", ["1", "yes", "false", ""])
def test_a_flag_is_true_only_for_true(describing, value):
    (told,) = describing.management("GET", f"/models/tells?customized={value}").json()
    assert "customizedMetadata" not in told


def test_optional_fields_are_left_out(describing):
    (told,) = describing.management("GET", "/models/tells").json()
    assert not {"deviceIds", "customizedMetadata", "reason"} & told.keys()
    assert None not in told.values()


def test_a_worker_tells_more_than_torchserves(describing, deviates):
    deviates("`proportionalMemoryUsage` of a worker")
    deviates("`startTime`")
    (told,) = describing.management("GET", "/models/tells").json()
    (worker,) = told["workers"]
    assert 0 < worker["proportionalMemoryUsage"] <= worker["memoryUsage"]
    assert abs((datetime.fromisoformat(worker["startTime"]) - datetime.now(UTC)).total_seconds()) < 300
    assert told["state"] == "ready"


@pytest.mark.parametrize("path", ["/models/tells", "/models/tells/1.0"])
def test_a_model_describes_what_can_be_done_with_it(describing, path):
    told = describing.management("OPTIONS", path).json()
    assert told["info"] == {"title": "RESTful API for: tells", "version": "1.0.0"}
    assert told["paths"]["/models/tells"].keys() >= {"get", "put", "delete"}


def test_what_is_ready_can_answer(describing, deviates):
    deviates("`GET /v1/models/{m}`")
    ask = describing.management
    assert ask("GET", "/v1/models/tells").json() == {"name": "tells", "ready": True}
    assert ask("PUT", "/models/tells?min_worker=0&synchronous=true").status == 200
    assert ask("GET", "/v1/models/tells").json() == {"name": "tells", "ready": False}
    assert ask("PUT", "/models/tells?min_worker=1&synchronous=true").status == 200


@pytest.mark.parametrize("path", ["/v1/models", "//models", "/models/tells/1.0/set-default/more"])
def test_what_is_no_route_is_404(describing, path):
    error = describing.management("GET", path).error
    assert error[:2] == (404, "ResourceNotFoundException")


@pytest.mark.parametrize("query", ["number_gpu=1", "timeout=5", "synchronous=1"])
def test_what_torchserve_ignores_of_a_scaling_is_ignored(describing, query):
    assert describing.management("PUT", f"/models/lists?min_worker=1&{query}").status == 202
