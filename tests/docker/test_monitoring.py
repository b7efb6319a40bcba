"""What docker/ brings for Prometheus and Grafana: it names metrics that there are, and real programs take it."""

from __future__ import annotations

import importlib.util
import json
import re
import shutil
import socket
import subprocess
import time
import urllib.parse
import urllib.request
from pathlib import Path

import pytest
import yaml
from numserve.server.messages import BatchReport, LoadReport
from numserve.server.metrics.metrics import Metrics
from prometheus_client.parser import text_string_to_metric_families

ROOT = Path(__file__).parents[2]
RULES = ROOT / "docker" / "prometheus" / "alerts.yml"
DASHBOARDS = sorted((ROOT / "docker" / "grafana" / "dashboards").glob("*.json"))
LIMIT = 60.0  # seconds Prometheus may take on a busy machine


def expressions() -> dict[str, str]:
    """Where it stands → PromQL, of the alerts and of the dashboards' panels."""
    rules = [rule for group in yaml.safe_load(RULES.read_text())["groups"] for rule in group["rules"]]
    found = {f"alert {rule['alert']}": rule["expr"] for rule in rules}
    for path in DASHBOARDS:
        for panel in json.loads(path.read_text())["panels"]:
            for target in panel.get("targets", []):
                found[f"{path.stem}: {panel['title']} {target['refId']}"] = target["expr"]
    return found


EXPRESSIONS = expressions()


def known() -> set[str]:
    """The names of all samples that a server has with one model, which has answered."""
    metrics = Metrics("vm")
    model = metrics.model("m", "1.0")
    metrics.prediction_answered("m", "1.0", 200)
    model.rejected("queue_full")
    model.worker_loaded(LoadReport(0.1, 0))
    model.batch_sent([0.1])
    model.batch_done(BatchReport(0.1, 0), 0.2)
    model.answered(0.3, 0.1, version_given=False)
    model.first_piece(0.1)
    metrics.memory.labels("m", "1.0", "9000").set(1)
    model.begin(dict)
    families = text_string_to_metric_families(metrics.exposition().decode())
    names = {name for family in families for name in (family.name, *(sample.name for sample in family.samples))}
    return names | {"up"}


@pytest.mark.parametrize("where", EXPRESSIONS)
def test_each_metric_that_is_asked_for_is_there(where):
    text = re.sub(r'"[^"]*"|\{\{.*?\}\}', "", EXPRESSIONS[where])
    asked = set(re.findall(r"\b((?:numserve|process|python|ts)_\w+|up)\b", text))
    assert asked and asked <= known(), asked - known()


def test_a_dashboard_has_panels_that_stand_apart():
    assert DASHBOARDS
    for path in DASHBOARDS:
        board = json.loads(path.read_text())
        ids = [panel["id"] for panel in board["panels"]]
        places = [(panel["gridPos"]["x"], panel["gridPos"]["y"]) for panel in board["panels"]]
        assert len(set(ids)) == len(ids) and len(set(places)) == len(places)
        assert board["uid"] and board["title"]


def test_compose_mounts_what_is_there():
    compose = yaml.safe_load((ROOT / "docker" / "compose.yaml").read_text())
    mounts = [mount for service in compose["services"].values() for mount in service.get("volumes", [])]
    assert len(mounts) >= 4
    assert all((ROOT / "docker" / mount.split(":")[0]).exists() for mount in mounts)


def program(name: str) -> str:
    """Debian's package `prometheus` has both; `apt-get download` and `dpkg -x` into a folder of PATH do, too."""
    found = shutil.which(name)
    if not found:
        pytest.skip(f"{name} is not on the PATH")
    return found


@pytest.mark.slow
@pytest.mark.parametrize(
    "arguments",
    [("check", "rules", "alerts.yml"), ("check", "config", "prometheus.yml"), ("test", "rules", "alerts.test.yml")],
)
def test_promtool_takes_the_rules(arguments):
    run = subprocess.run([program("promtool"), *arguments], cwd=RULES.parent, capture_output=True, text=True)
    assert run.returncode == 0, run.stdout + run.stderr


@pytest.fixture(scope="module")
def served(tmp_path_factory):
    """A server that has answered, refused and failed."""
    spec = importlib.util.spec_from_file_location("numserve_tests_conftest", ROOT / "tests" / "conftest.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    server = module.Server(tmp_path_factory.mktemp("monitored"))
    name = server.archive_digits("1.0")
    (server.store / "torn.mar").write_bytes(b"no archive")
    server.start(f"digits={name}", "torn.mar")
    sample = min((ROOT / "examples" / "digits" / "samples").glob("*.png")).read_bytes()
    for path in ("/predictions/digits", "/predictions/digits/1.0", "/predictions/nobody"):
        server.call("inference", path, "POST", sample)
    yield server
    server.run("numserve", "--stop")


@pytest.mark.slow
def test_promtool_has_nothing_to_say_against_our_own_metrics(served):
    text = served.call("metrics", "/metrics")[1].decode()
    families = re.split(r"(?m)^(?=# HELP )", text)
    ours = "".join(family for family in families if family.startswith(("# HELP numserve_", "# HELP process_")))
    run = subprocess.run([program("promtool"), "check", "metrics"], input=ours, capture_output=True, text=True)
    assert (run.returncode, run.stdout + run.stderr) == (0, "")
    assert ours.count("# TYPE numserve_") >= 15


@pytest.fixture(scope="module")
def prometheus(served, tmp_path_factory):
    """A real Prometheus that scrapes the server each second; gives what asks it."""
    binary = program("prometheus")
    folder = tmp_path_factory.mktemp("prometheus")
    config = yaml.safe_load((RULES.parent / "prometheus.yml").read_text())
    config["global"] = {"scrape_interval": "1s", "evaluation_interval": "1s"}
    config["scrape_configs"][0]["static_configs"] = [
        {"targets": [urllib.parse.urlsplit(served.addresses["metrics"]).netloc]}
    ]
    config["rule_files"] = [str(RULES)]
    (folder / "prometheus.yml").write_text(yaml.safe_dump(config))
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{free.getsockname()[1]}"
    command = [binary, f"--config.file={folder}/prometheus.yml", f"--storage.tsdb.path={folder}/data"]
    with (folder / "log").open("w") as log:
        process = subprocess.Popen([*command, f"--web.listen-address={address}"], stdout=log, stderr=log)

    def ask(path: str, **query: str):
        url = f"http://{address}/api/v1/{path}?{urllib.parse.urlencode(query)}"
        with urllib.request.urlopen(url, timeout=LIMIT) as answer:
            return json.load(answer)["data"]

    until = time.monotonic() + LIMIT
    while True:
        try:
            if ask("query", query="numserve_requests_total")["result"]:
                break
        except OSError:
            pass
        assert process.poll() is None and time.monotonic() < until, (folder / "log").read_text()
        time.sleep(0.2)
    yield ask
    process.terminate()
    process.wait(LIMIT)


@pytest.mark.slow
def test_a_real_prometheus_scrapes_both_sets(prometheus):
    [up] = prometheus("query", query='up{job="numserve"}')["result"]
    assert up["value"][1] == "1"
    for query, value in (
        ('numserve_requests_total{model_name="digits",code="200"}', "2"),
        ('numserve_requests_total{model_name="_unknown",code="404"}', "1"),
        ('ts_inference_requests_total{model_name="digits",model_version="default"}', "1"),
        ('numserve_model_ready{model_name="torn"}', "0"),
        ("Requests4XX", "1"),
    ):
        [found] = prometheus("query", query=query)["result"]
        assert found["value"][1] == value, query
    types = prometheus("metadata")
    assert types["numserve_request_duration_seconds"][0]["type"] == "histogram"
    assert types["Requests2XX"][0]["type"] == "counter"


@pytest.mark.slow
@pytest.mark.parametrize("where", EXPRESSIONS)
def test_a_real_prometheus_understands_each_expression(prometheus, where):
    query = EXPRESSIONS[where].replace("$__rate_interval", "1m").replace("$model", ".*")
    assert prometheus("query", query=query)["resultType"] == "vector"


@pytest.mark.slow
def test_the_broken_model_raises_its_alert(prometheus):
    until = time.monotonic() + LIMIT
    while not (alerts := prometheus("alerts")["alerts"]) and time.monotonic() < until:
        time.sleep(0.2)
    pending = {(alert["labels"]["alertname"], alert["labels"].get("model_name")) for alert in alerts}
    assert pending == {("NumserveModelNotReady", "torn")}
