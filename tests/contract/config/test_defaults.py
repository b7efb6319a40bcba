"""What a configuration says for models that do not say it themselves (contract: configuration, sections 3 and 5)."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path

import pytest

HANDLER = """
import os

def handle(data, context):
    seen = sorted(name for name in os.environ if name.startswith("CONTRACT_"))
    return [{"seen": seen, "row": str(row)} for row in data or []]
"""
MODELS = {"narrow": {"1.0": {"minWorkers": 2, "maxWorkers": 1}}, "late": {"1.0": {"batchSize": 3}}}
CONFIG = """\
inference_address=http://127.0.0.1:0
management_address=http://127.0.0.1:0
enable_metrics_api=false
enable_model_api=TRUE
load_models=narrow=bare, other=bare,typed.tar.gz
models={models}
default_workers_per_model=1
default_service_handler=h:handle
default_response_timeout=33
default_startup_timeout=44
service_envelope=json
blacklist_env_vars=CONTRACT_SECRET|CONTRACT_TOKEN.*
"""


@pytest.fixture(scope="module")
def started(tmp_path_factory):
    """A server over one archive without a manifest, under two names, and another that is packed as tar."""
    spec = importlib.util.spec_from_file_location("numserve_tests_conftest", Path(__file__).parents[2] / "conftest.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    server = module.Server(tmp_path_factory.mktemp("defaults"))
    (server.store / "bare").mkdir()
    handler = server.store / "bare" / "h.py"
    handler.write_text(HANDLER)
    server.archive("typed", "--handler", handler, "--archive-format", "tgz")
    server.config.write_text(CONFIG.format(models=json.dumps(MODELS)))
    with pytest.MonkeyPatch.context() as environment:
        for name in ("CONTRACT_SECRET", "CONTRACT_TOKEN_2", "CONTRACT_SECRETS", "CONTRACT_OPEN"):
            environment.setenv(name, "x")
        server.start()
    yield server
    server.run("numserve", "--stop")


def describe(server, name):
    return json.loads(server.call("management", f"/models/{name}")[1])[0]


def test_listed_models_have_the_names_of_the_list_or_of_their_manifests(started):
    names = [model["modelName"] for model in json.loads(started.call("management", "/models")[1])["models"]]
    assert [name for name in names if name != "late"] == ["narrow", "other", "typed"]


def test_the_default_time_outs_are_the_configured_ones(started):
    told = describe(started, "other")
    assert (told["responseTimeout"], told["startupTimeout"]) == (33, 44)


def test_no_model_has_fewer_workers_at_most_than_at_least(started):
    told = describe(started, "narrow")
    assert (told["minWorkers"], told["maxWorkers"], len(told["workers"])) == (2, 2, 2)


def test_an_archive_without_a_handler_gets_the_default_one_in_the_default_envelope(started):
    status, body = started.call("inference", "/predictions/other", "POST", b'{"instances": [1]}')
    assert (status, json.loads(body)["predictions"][0]["row"]) == (200, "1")


def test_workers_do_not_see_what_is_on_the_black_list(started):
    body = started.call("inference", "/predictions/typed", "POST", b'{"instances": [1]}')[1]
    assert json.loads(body)["predictions"][0]["seen"] == ["CONTRACT_OPEN", "CONTRACT_SECRETS"]


def test_models_counts_for_what_is_registered_later(started):
    path = "/models?url=bare&model_name=late&handler=h"
    assert started.call("management", path, "POST")[0] == 200
    assert describe(started, "late")["batchSize"] == 3
    assert started.call("management", "/models/late", "DELETE")[0] == 200


def test_there_is_no_metrics_listener_where_it_is_switched_off(started):
    assert started.addresses["metrics"] is None
