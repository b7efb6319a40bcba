import asyncio
import logging
import os
import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from numserve.server.errors import ModelLoadFailed, ResponseTimeout, WorkerDied
from numserve.server.messages import BatchReport, Emitted, LoadFailure, LoadReport
from numserve.server.metrics.metrics import Metrics, ModelMetrics
from numserve.server.metrics.models import CAUSES
from prometheus_client.parser import text_string_to_metric_families


@pytest.fixture
def metrics():
    return Metrics("vm")


@pytest.fixture
def model(metrics) -> ModelMetrics:
    return metrics.model("digits", "1.0")


def samples(metrics: Metrics, *names: str) -> list[str]:
    return [line for line in metrics.exposition(names).decode().splitlines() if not line.startswith("#")]


@pytest.mark.parametrize(("status", "family"), [(200, "2XX"), (404, "4XX"), (503, "5XX"), (302, "5XX")])
def test_a_response_is_counted_by_its_class(metrics, status, family):
    metrics.request_answered(status)
    assert samples(metrics, f"Requests{family}") == [f'Requests{family}{{Level="Host",Hostname="vm"}} 1.0']


def test_counters_keep_their_names_and_have_no_created_series(metrics, model):
    model.accepted(version_given=True)
    model.worker_restarted(WorkerDied("Worker died."))
    text = metrics.exposition().decode()
    assert "# TYPE Requests2XX counter\n" in text
    assert "# TYPE ts_inference_requests_total counter\n" in text
    assert "_created" not in text and "_total_total" not in text


def test_every_family_is_shown_before_its_first_value(metrics):
    text = metrics.exposition().decode()
    for name in ("HandlerTime", "PredictionTime", "WorkerLoadTime", "numserve_batch_size", "DiskUsage"):
        assert f"# TYPE {name} " in text


def test_the_text_is_what_prometheus_reads(metrics, model):
    metrics.emit([Emitted("odd", "gauge", float("nan"), "x", {"a": 'q"\\\n'}), Emitted("big", "gauge", 1e400, "x", {})])
    metrics.sample_system()
    families = {family.name: family for family in text_string_to_metric_families(metrics.exposition().decode())}
    assert families["odd"].samples[0].labels["a"] == 'q"\\\n'
    assert families["big"].samples[0].value == float("inf")
    assert families["MemoryAvailable"].samples[0].value > 0


@pytest.mark.parametrize(("given", "label"), [(True, "1.0"), (False, "default")])
def test_the_version_label_is_default_unless_the_client_named_one(metrics, model, given, label):
    model.accepted(given)
    model.answered(0.25, 0.125, given)
    labels = f'{{model_name="digits",model_version="{label}",hostname="vm"}}'
    for name, value in (
        ("ts_inference_requests_total", "1.0"),
        ("ts_inference_latency_microseconds", "250000.0"),
        ("ts_queue_latency_microseconds", "125000.0"),
    ):
        assert f"{name}{labels} {value}" in samples(metrics, name)


def test_only_the_named_samples_are_shown(metrics, model):
    model.batch_sent([0.1, 0.2])
    labels = '{model_name="digits",model_version="1.0"}'
    assert samples(metrics, "numserve_batch_size_sum") == [f"numserve_batch_size_sum{labels} 2.0"]
    assert metrics.exposition(["numserve_batch_size"]) == b""


def test_a_batch_is_measured_in_the_handler_and_outside(metrics, model):
    model.batch_done(BatchReport(0.2, 0, (Emitted("PredictionTime", "gauge", 200, "ms", MODEL),)), 0.205)
    assert samples(metrics, "WorkerThreadTime")[0].endswith(" 5.0")
    assert samples(metrics, "numserve_inference_duration_seconds_sum")[0].endswith(" 0.2")
    assert samples(metrics, "PredictionTime") == [
        'PredictionTime{ModelName="digits",Level="Model",Hostname="vm"} 200.0'
    ]


MODEL = {"ModelName": "digits", "Level": "Model"}


def test_handler_counters_add_up_gauges_are_set_and_histograms_observe(metrics):
    for _ in range(2):
        metrics.emit([Emitted(kind, kind, 3, "x", {}) for kind in ("counter", "gauge", "histogram")])
    assert samples(metrics, "counter") == ['counter{Hostname="vm"} 6.0']
    assert samples(metrics, "gauge") == ['gauge{Hostname="vm"} 3.0']
    assert samples(metrics, "histogram_count") == ['histogram_count{Hostname="vm"} 2.0']


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        (Emitted("seen", "gauge", 1, "x", MODEL), "it was a counter first"),
        (Emitted("seen", "counter", 1, "x", {"other": "1"}), "it had the labels"),
        (Emitted("Requests2XX", "counter", 1, "x", {}), "the name is the server's own"),
        (Emitted("se en", "counter", 1, "x", {"a b": "", "a_b": ""}), "not distinct"),
        (Emitted("h", "histogram", 1, "x", {"le": "1"}), "Prometheus' own"),
        (Emitted("h", "gauge", 1, "x", {"__name__": "1"}), "Prometheus' own"),
        (Emitted("h", "gauge", 1, "x", {"Hostname": "1"}), "not distinct"),
    ],
)
def test_what_a_handler_may_not_emit_is_dropped_with_one_warning(metrics, caplog, value, reason):
    metrics.emit([Emitted("seen", "counter", 1, "x", MODEL)])
    with caplog.at_level(logging.WARNING):
        metrics.emit([value, value])
    assert [reason in record.message for record in caplog.records] == [True]


def test_two_names_that_prometheus_cannot_tell_apart_are_not_mixed(metrics, caplog):
    metrics.emit([Emitted(name, "gauge", 1, "x", {}) for name in ("my size", "my_size", "my-size")])
    assert samples(metrics, "my_size") == ['my_size{Hostname="vm"} 1.0']
    assert caplog.text.count("another metric has that name") == 2


@given(
    st.text(max_size=6),
    st.sampled_from(["counter", "gauge", "histogram"]),
    st.floats(),
    st.dictionaries(st.text(max_size=6), st.text(max_size=6), max_size=4),
)
def test_whatever_a_handler_emits_the_exposition_can_be_read(name, kind, value, labels):
    metrics = Metrics("vm")
    metrics.emit([Emitted(name, kind, value, "x", labels)])
    list(text_string_to_metric_families(metrics.exposition().decode()))


def test_a_handler_cannot_fill_the_memory_with_label_values(metrics):
    metrics.emit([Emitted("mine", "counter", 1, "x", {"request": str(index)}) for index in range(1500)])
    assert len(samples(metrics, "mine")) == 1000


class Told:
    """A model that tells what a test wants."""

    def gauges(self):
        return {"numserve_queue_depth": 3.0}

    def workers(self):
        return {"ready": 1.0}


def test_a_removed_model_takes_nothing_from_the_one_in_its_place(metrics, model):
    model.watch(Told())
    model.begin(dict)
    successor, pids = metrics.model("digits", "1.0"), {"9001": os.getpid()}.copy
    successor.watch(Told())
    successor.begin(pids)
    shown = samples(metrics, "numserve_queue_depth", "numserve_workers")
    model.removed()
    assert samples(metrics, "numserve_queue_depth", "numserve_workers") == shown
    assert [*metrics.processes.values()] == [pids]
    successor.removed()
    assert samples(metrics, "numserve_queue_depth", "numserve_workers") == [] and not metrics.processes


def test_a_removed_model_leaves_its_counters_and_takes_its_gauges(metrics, model):
    model.watch(Told())
    model.rejected("queue_full")
    labels = 'model_name="digits",model_version="1.0"'
    assert samples(metrics, "numserve_queue_depth") == [f"numserve_queue_depth{{{labels}}} 3.0"]
    assert samples(metrics, "numserve_workers") == [f'numserve_workers{{{labels},state="ready"}} 1.0']
    model.removed()
    assert samples(metrics, "numserve_queue_depth", "numserve_workers") == []
    assert samples(metrics, "numserve_requests_rejected_total")[0].endswith(" 1.0")


def test_a_model_is_counted_from_its_first_worker_on(metrics, model):
    names = "ts_inference_requests_total", "numserve_worker_restarts_total"
    assert samples(metrics, *names) == []
    model.begin(dict)
    assert {line.split()[-1] for line in samples(metrics, *names)} == {"0.0"}
    assert len(samples(metrics, *names)) == 2 + len(CAUSES)


async def test_a_worker_shows_its_memory_while_it_is_there(metrics, model):
    running = {"9000": os.getpid(), "9001": 1 << 22}  # the second has just died
    model.begin(lambda: running)
    await metrics.measure_workers()
    (line,) = samples(metrics, "numserve_worker_memory_bytes")
    assert line.startswith('numserve_worker_memory_bytes{model_name="digits",model_version="1.0",worker="9000"} ')
    assert float(line.split()[-1]) > 1 << 20
    model.removed()
    await metrics.measure_workers()
    assert samples(metrics, "numserve_worker_memory_bytes") == []


def test_unknown_models_share_one_label(metrics):
    metrics.request_rejected("unknown_model")
    metrics.request_rejected("unknown_model")
    assert samples(metrics, "numserve_requests_rejected_total") == [
        'numserve_requests_rejected_total{model_name="_unknown",reason="unknown_model"} 2.0'
    ]


def load_failed(out_of_memory: bool) -> ModelLoadFailed:
    return ModelLoadFailed("digits", "1.0", LoadFailure("load", "E", "", out_of_memory=out_of_memory))


@pytest.mark.parametrize(
    ("error", "cause"),
    [
        (WorkerDied("Worker died."), "died"),
        (ResponseTimeout("Worker died."), "response_timeout"),
        (load_failed(False), "load_failed"),
        (load_failed(True), "out_of_memory"),
    ],
)
def test_a_restart_is_counted_by_what_ended_the_worker(metrics, model, error, cause):
    model.worker_restarted(error)
    labels = f'{{model_name="digits",model_version="1.0",cause="{cause}"}}'
    found = samples(metrics, "numserve_worker_restarts_total")
    assert f"numserve_worker_restarts_total{labels} 1.0" in found
    assert sum(line.endswith(" 0.0") for line in found) == len(CAUSES) - 1


def test_the_first_piece_and_the_load_have_histograms(metrics, model):
    model.first_piece(0.25)
    model.worker_loaded(LoadReport(1.5, 0))
    for name, value in (("time_to_first_chunk", 0.25), ("model_load_duration", 1.5)):
        assert samples(metrics, f"numserve_{name}_seconds_sum")[0].endswith(f" {value}")


def test_the_process_and_the_build_are_described(metrics):
    text = metrics.exposition().decode()
    for name in ("process_resident_memory_bytes", "python_info", "numserve_build_info"):
        assert f"# TYPE {name} gauge\n" in text
    assert "# TYPE process_cpu_seconds_total counter\n" in text


def test_the_docs_have_a_row_for_every_metric(metrics):
    text = (Path(__file__).parents[2] / "docs" / "metrics.md").read_text()
    families = re.findall(r"^# TYPE (\w+)", metrics.exposition().decode(), re.M)
    ours = [name for name in families if not name.startswith(("process_", "python_"))]
    assert len(ours) > 30
    assert [name for name in ours if f"`{name}`" not in text] == []


async def test_requests_pass_while_many_models_are_exposed(metrics):
    for number in range(10_000):
        metrics.model(f"m{number}", "1.0").watch(Told())
    passed = []

    async def request():
        while True:
            passed.append(len(passed))
            await asyncio.sleep(0)

    task = asyncio.ensure_future(request())
    names = ["Requests2XX", "numserve_workers"]
    assert await metrics.exposed(names) == metrics.exposition(names)
    task.cancel()
    assert len(passed) > 5
