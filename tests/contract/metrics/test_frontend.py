"""Contract: metrics, sections 1, 4 and 5: what the server measures under TorchServe's names, one row a metric."""

from __future__ import annotations

import re
import socket

import pytest

HOST = ("Level", "Hostname")
ASKED = ("model_name", "model_version", "hostname")
FRONTEND = {
    "Requests2XX": ("counter", "Count", HOST),
    "Requests4XX": ("counter", "Count", HOST),
    "Requests5XX": ("counter", "Count", HOST),
    "ts_inference_requests_total": ("counter", "Count", ASKED),
    "ts_inference_latency_microseconds": ("counter", "Microseconds", ASKED),
    "ts_queue_latency_microseconds": ("counter", "Microseconds", ASKED),
    "QueueTime": ("gauge", "Milliseconds", HOST),
    "WorkerThreadTime": ("gauge", "Milliseconds", HOST),
    "WorkerLoadTime": ("gauge", "Milliseconds", ("WorkerName", *HOST)),
    "CPUUtilization": ("gauge", "Percent", HOST),
    "MemoryUsed": ("gauge", "Megabytes", HOST),
    "MemoryAvailable": ("gauge", "Megabytes", HOST),
    "MemoryUtilization": ("gauge", "Percent", HOST),
    "DiskUsage": ("gauge", "Gigabytes", HOST),
    "DiskAvailable": ("gauge", "Gigabytes", HOST),
    "DiskUtilization": ("gauge", "Percent", HOST),
    "HandlerTime": ("gauge", "ms", ("ModelName", "Level", "Hostname")),
    "PredictionTime": ("gauge", "ms", ("ModelName", "Level", "Hostname")),
}
GPU = ("GPUMemoryUtilization", "GPUMemoryUsed", "GPUUtilization")


@pytest.mark.parametrize("name", FRONTEND)
def test_a_metric_has_its_type_unit_and_labels(scraped, name):
    kind, unit, labels = FRONTEND[name]
    scraped.measure(("add_time", ["HandlerTime", 3.5], {}))
    scraped.contract.eventually(lambda: scraped.value("DiskUtilization") is not None)
    text = scraped.scrape()
    assert f"# TYPE {name} {kind}\n" in text
    assert re.search(rf"^# HELP {name} .*\(unit: {unit}\)$", text, re.M)
    [first] = re.findall(rf"^{name}{{(.*)}} \S+$", text, re.M)[:1]
    assert tuple(re.findall(r'(\w+)="', first)) == labels
    assert f'ostname="{socket.gethostname()}"' in first


@pytest.mark.parametrize("name", GPU)
def test_a_gpu_is_named_and_never_measured(scraped, name):
    assert f"# TYPE {name} gauge\n" in scraped.scrape()
    assert scraped.value(name) is None


@pytest.mark.parametrize(
    ("path", "family"), [("/ping", "2XX"), ("/predictions/nobody", "4XX"), ("/predictions/measures", "5XX")]
)
def test_responses_are_counted_by_class_on_every_listener(scraped, path, family):
    before = scraped.value(f"Requests{family}")
    scraped.contract.post(path, b"no order that could be followed" if family == "5XX" else b"")
    assert scraped.value(f"Requests{family}") == before + (2 if family == "2XX" else 1)  # the scrape, too


def test_an_accepted_request_counts_under_the_version_it_names(scraped):
    def count(version):
        return scraped.value("ts_inference_requests_total", model_name="measures", model_version=version) or 0

    before = count("default"), count("1.0")
    scraped.measure()
    scraped.contract.json("/predictions/measures/1.0", [])
    scraped.contract.request("OPTIONS", "/predictions/measures")
    scraped.contract.json("/predictions/nobody", [])
    assert (count("default"), count("1.0")) == (before[0] + 1, before[1] + 1)
    assert "nobody" not in scraped.scrape("ts_inference_requests_total")


def test_latency_grows_with_answers_of_the_handler_alone(scraped):
    def total(name):
        return scraped.value(f"ts_{name}_latency_microseconds", model_name="measures", model_version="default") or 0

    scraped.measure()
    inference, queue = total("inference"), total("queue")
    scraped.measure()
    after = total("inference")
    assert after > inference and total("queue") > queue
    assert scraped.contract.post("/predictions/measures", b"no order").status == 503
    assert total("inference") == after


def test_a_worker_shows_how_long_it_took_to_load_until_it_leaves(scraped):
    scraped.contract.model("passes", handler=str(scraped.handlers / "measures"))
    [name] = re.findall(r'WorkerName="(W-\d+-passes_1\.0)"', scraped.scrape("WorkerLoadTime"))
    assert scraped.value("WorkerLoadTime", WorkerName=name) > 0
    assert scraped.contract.management("DELETE", "/models/passes").status == 200
    scraped.contract.forget("passes")
    assert scraped.value("WorkerLoadTime", WorkerName=name) is None


def test_the_text_is_prometheus_own_and_counters_keep_their_names(scraped, deviates):
    answer = scraped.contract.request("GET", "/metrics", listener="metrics")
    assert answer["content-type"] == "text/plain; version=0.0.4; charset=utf-8"
    text = answer.body.decode()
    assert "_created" not in text and "Requests2XX_total" not in text
    assert re.search(r'^Requests2XX{Level="Host",Hostname="[^"]+"} \d+\.0$', text, re.M)
    deviates("the trailing comma inside label braces")


@pytest.mark.parametrize(
    ("names", "found"),
    [
        (["Requests2XX", "Requests4XX"], {"Requests2XX", "Requests4XX"}),
        (["numserve_batch_size_count"], {"numserve_batch_size_count"}),
        (["numserve_batch_size"], set()),
        (["nothing"], set()),
    ],
)
def test_names_keep_the_samples_of_just_these_names(scraped, names, found):
    scraped.measure()
    text = scraped.scrape(*names)
    assert set(re.findall(r"^([a-zA-Z]\w*){", text, re.M)) == found
    assert ("# TYPE" in text) is bool(found)


@pytest.mark.parametrize(("method", "path"), [("POST", "/metrics"), ("GET", "/metrics/below"), ("DELETE", "/metrics")])
def test_any_method_and_path_below_scrapes(scraped, method, path):
    answer = scraped.contract.request(method, path, listener="metrics")
    assert (answer.status, b"Requests2XX" in answer.body) == (200, True)


def test_nothing_else_is_on_the_listener_but_its_description(scraped):
    assert scraped.contract.request("GET", "/ping", listener="metrics").status == 404
    told = scraped.contract.request("OPTIONS", "/", listener="metrics").json()
    assert "/metrics" in told["paths"]
