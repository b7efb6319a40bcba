"""A server under a configuration that says much: what it loads, how, where it listens, what it answers with."""

from __future__ import annotations

import importlib.util
import json
import os
import urllib.request
from pathlib import Path

import pytest
from numserve.server import client

HANDLER = "def handle(data, context):\n    return [context.model_yaml_config.get('mine', 'plain')] * len(data or [])\n"
MODELS = {
    "listed": {"1.0": {"minWorkers": 2, "maxWorkers": 3, "batchSize": 5, "maxBatchDelay": 20, "responseTimeout": 7}},
    "configured": {"1.0": {"minWorkers": 9, "batchSize": 9, "responseTimeout": 9}},
}
CONFIG = """\
# as TorchServe users write it
inference_address = unix:{folder}/inference.sock
management_address: http://127.0.0.1:0
metrics_address=http://127.0.0.1:0
enable_grpc=false
load_models=all
models={models}
job_queue_size=7
default_workers_per_model=1
enable_envvars_config=true
cors_allowed_origin=http://a.example
cors_allowed_methods=GET, \\
    POST
cors_allowed_headers=X-Mine
blacklist_env_vars=AWS_.*
model_store=$$CONTRACT_STORE$$
vmargs=-Xmx4g
job_queue_sise=9
"""


@pytest.fixture(scope="module")
def started(tmp_path_factory):
    """A server over a store with five archives, of which two are broken; and what its start printed."""
    server = _server(tmp_path_factory.mktemp("start"))
    yamls = {"listed": "", "configured": "minWorkers: 1\nbatchSize: 4\nmine: own\n", "plain": "", "unclear": "a: [\n"}
    for name, yaml in yamls.items():
        folder = server.store / f"{name}.model"
        (folder / "MAR-INF").mkdir(parents=True)
        (folder / "h.py").write_text(HANDLER)
        (folder / "c.yaml").write_text(yaml)
        model = {"modelName": name, "modelVersion": "1.0", "handler": "h.py", "configFile": "c.yaml"}
        (folder / "MAR-INF" / "MANIFEST.json").write_text(json.dumps({"runtime": "python", "model": model}))
    (server.store / "torn.mar").write_bytes(b"no archive")
    (server.store / ".hidden.mar").write_bytes(b"not looked at")
    server.config.write_text(CONFIG.format(folder=server.folder, models=json.dumps(MODELS)))
    with pytest.MonkeyPatch.context() as environment:
        environment.setenv("CONTRACT_STORE", str(server.store))
        environment.setenv("TS_JOB_QUEUE_SIZE", "8")
        environment.setenv("TS_METRIC_TIME_INTERVAL", "nothing that counts")
        done = server.run("numserve", "--start", "--ncs", "--ts-config", str(server.config))
    assert done.returncode == 0, done.stdout + done.stderr
    server.addresses = json.loads(server.run("numserve", "status", "--json").stdout)["addresses"]
    yield server, done.stdout
    server.run("numserve", "--stop")
    assert not (server.folder / "inference.sock").exists()


def _server(folder: Path):
    spec = importlib.util.spec_from_file_location("numserve_tests_conftest", Path(__file__).parents[2] / "conftest.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.Server(folder)


def describe(server, name):
    return json.loads(server.call("management", f"/models/{name}")[1])[0]


def test_all_archives_of_the_store_are_loaded_and_a_broken_one_stops_nobody(started):
    server, said = started
    names = [model["modelName"] for model in json.loads(server.call("management", "/models")[1])["models"]]
    assert names == ["configured", "listed", "plain", "torn", "unclear"]
    assert "Failed to load model: torn.mar: " in said
    assert said.endswith("Model server started.\n")
    assert describe(server, "torn")["state"] == "failing"
    status, answer = client.ask(server.addresses["inference"], "POST", "/predictions/torn", b"x")
    assert (status, json.loads(answer)["message"].partition(";")[0]) == (503, 'Model "torn" could not be loaded')
    assert describe(server, "torn")["reason"].startswith("unpack failed: ")
    assert describe(server, "unclear")["state"] == "failing"
    assert "c.yaml is no readable YAML: line 2" in describe(server, "unclear")["reason"]
    assert describe(server, "plain")["loadedAtStartup"] is True


@pytest.mark.parametrize(
    ("name", "expected"),
    [("listed", [2, 3, 5, 20, 7, 120]), ("configured", [1, 1, 4, 100, 9, 120]), ("plain", [1, 1, 1, 100, 120, 120])],
)
def test_the_archives_yaml_goes_before_models_and_that_before_the_defaults(started, name, expected):
    keys = ("minWorkers", "maxWorkers", "batchSize", "maxBatchDelay", "responseTimeout", "startupTimeout")
    found = describe(started[0], name)
    assert [found[key] for key in keys] == expected


def test_an_enabled_variable_goes_before_the_file(started):
    assert describe(started[0], "plain")["jobQueueStatus"]["remainingCapacity"] == 8


def test_a_listener_may_be_a_unix_socket(started):
    address = started[0].addresses["inference"]
    assert address == f"unix:{started[0].folder}/inference.sock"
    assert client.ask(address, "POST", "/predictions/configured", b"x") == (200, b"own")
    status, body = client.ask(address, "GET", "/ping")
    assert (status, json.loads(body)["status"]) == (500, "Unhealthy")
    assert client.ask(address, "GET", "/v2/health/ready")[0] == 400


def test_the_cors_headers_are_the_configured_ones(started):
    with urllib.request.urlopen(started[0].addresses["management"] + "/models", timeout=30) as answer:
        told = {name: answer.headers[f"access-control-allow-{name}"] for name in ("origin", "methods", "headers")}
    assert told == {"origin": "http://a.example", "methods": "GET, POST", "headers": "X-Mine"}


@pytest.mark.parametrize(("method", "path"), [("POST", "/models?url=plain.model"), ("DELETE", "/models/plain")])
def test_registering_is_off_until_it_is_switched_on(started, method, path, deviates):
    deviates("model API switched off")
    status, body = started[0].call("management", path, method)
    told = json.loads(body)
    assert (status, told["type"]) == (405, "MethodNotAllowedException")
    assert told["message"].startswith("Requested method is not allowed, please refer to API document.")


def test_scaling_and_the_default_version_need_no_switch(started):
    assert started[0].call("management", "/models/plain?min_worker=1", "PUT")[0] == 202
    assert started[0].call("management", "/models/plain/1.0/set-default", "PUT")[0] == 200


def test_what_the_file_holds_in_vain_is_in_the_log(started):
    log = (started[0].folder / "logs" / "ts_log.log").read_text()
    lines = CONFIG.splitlines()
    typo, unserved = lines.index("job_queue_sise=9") + 1, lines.index("vmargs=-Xmx4g") + 1
    assert f"line {typo}: there is no key 'job_queue_sise'; it is ignored. Did you mean job_queue_size?" in log
    assert f"line {unserved}: vmargs is not served and is ignored: there is no Java here" in log


def test_the_pid_file_says_who_serves(started):
    [pid] = (started[0].temp / ".numserve.pid").read_text().split()
    os.kill(int(pid), 0)
    again = started[0].run("numserve", "--start", "--ncs", "--model-store", str(started[0].store))
    assert again.returncode == 1
    assert again.stdout == "numserve is already running, please use numserve --stop to stop numserve.\n"
