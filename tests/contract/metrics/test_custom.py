"""Contract: metrics, sections 3 and 6: what handlers measure, and the file that declares it."""

from __future__ import annotations

import pytest

MODEL = {"ModelName": "measures", "Level": "Model"}
DIMENSIONS = {"dimensions": [["Room", "3"]]}
GAUGE, HISTOGRAM = {"kind": "GAUGE"}, {"kind": "HISTOGRAM"}


def labels(**named):
    return ",".join(f'{name}="{text}"' for name, text in named.items())


METHODS = {
    "a counter": (["add_counter", ["C1", 2], {}], "counter", "Count", "C1", 2.0, MODEL),
    "a time": (["add_time", ["T1", 12.5], {}], "gauge", "Milliseconds", "T1", 12.5, MODEL),
    "seconds": (["add_time", ["T2", 1.5], {"unit": "s"}], "gauge", "Seconds", "T2", 1.5, MODEL),
    "a size": (["add_size", ["S1", 3], {}], "gauge", "Megabytes", "S1", 3.0, MODEL),
    "kilobytes": (["add_size", ["S2", 3], {"unit": "kB"}], "gauge", "Kilobytes", "S2", 3.0, MODEL),
    "gigabytes": (["add_size", ["S3", 3], {"unit": "GB"}], "gauge", "Gigabytes", "S3", 3.0, MODEL),
    "bytes": (["add_size", ["S4", 3], {"unit": "B"}], "gauge", "Bytes", "S4", 3.0, MODEL),
    "a percentage": (["add_percent", ["P1", 80], {}], "gauge", "Percent", "P1", 80.0, MODEL),
    "an error": (["add_error", ["E1", 1], {}], "counter", "unit", "E1", 1.0, {"Level": "Error"}),
    "anything": (["add_metric", ["M1", 4, "K"], {}], "counter", "K", "M1", 4.0, MODEL),
    "a gauge": (["add_metric", ["M2", 4, "K"], {"metric_type": GAUGE}], "gauge", "K", "M2", 4.0, MODEL),
    "a histogram": (["add_time", ["H1", 0.03], {"metric_type": HISTOGRAM}], "histogram", "Milliseconds", "H1_sum", 0.03,
                    MODEL),
    "dimensions": (["add_counter", ["D1", 1], {"dimensions": DIMENSIONS}], "counter", "Count", "D1", 1.0,
                   {"Room": "3", **MODEL}),
}  # fmt: skip


@pytest.mark.parametrize("what", METHODS)
def test_a_method_of_context_metrics_has_its_type_unit_and_labels(scraped, what, deviates):
    order, kind, unit, sample, value, named = METHODS[what]
    scraped.measure(order)
    text = scraped.scrape()
    name = sample.removesuffix("_sum")
    assert f"# HELP {name} Measured by a handler (unit: {unit})\n# TYPE {name} {kind}\n" in text
    assert scraped.value(sample, **named) == value
    assert f"{sample}{{{labels(**named)},Hostname=" in text
    deviates("undeclared metrics of a handler")


def test_counters_add_up_gauges_are_set_and_histograms_observe(scraped):
    for value in (2, 3):
        scraped.measure(
            ["add_counter", ["Added", value], {}],
            ["add_percent", ["Shown", value], {}],
            ["add_time", ["Observed", value], {"metric_type": HISTOGRAM}],
        )
    assert [scraped.value(name) for name in ("Added", "Shown", "Observed_count", "Observed_sum")] == [5, 3, 2, 5]


def test_a_metric_may_be_made_first_and_has_just_its_own_labels(scraped):
    scraped.measure(["made", ["Made", "K", ["Room"]], {"values": [270, ["3"]]}])
    scraped.measure(["updated", ["Updated", "count"], {"dimensions": DIMENSIONS}])
    assert scraped.value("Made", Room="3") == 270
    assert scraped.scrape("Made").splitlines()[-1].startswith('Made{Room="3",Hostname="')
    assert scraped.value("Updated", Room="3") == 1


@pytest.mark.parametrize(
    ("order", "problem"),
    [
        (["made", ["Wrong1", "K", ["Room"]], {"values": [1, []]}], "0 label values [] for labels ['Room']"),
        (["add_counter", ["Wrong2", -1], {}], "a counter cannot take the negative value -1"),
    ],
)
def test_a_value_that_cannot_be_is_logged_and_dropped(scraped, order, problem):
    scraped.measure(order)
    [line] = scraped.contract.lines("model_log.log", problem)[:1]
    assert "the value is dropped" in line
    assert order[1][0] not in scraped.scrape(order[1][0])


def test_a_histogram_has_the_buckets_of_prometheus_java_client(scraped):
    scraped.measure(["add_time", ["Bucketed", 0.3], {"metric_type": HISTOGRAM}])
    lines = [line for line in scraped.scrape("Bucketed_bucket").splitlines() if not line.startswith("#")]
    bounds = " ".join(line.split('le="')[1].split('"')[0] for line in lines)
    assert bounds == "0.005 0.01 0.025 0.05 0.075 0.1 0.25 0.5 0.75 1.0 2.5 5.0 7.5 10.0 +Inf"
    assert [line.rsplit(" ", 1)[1] for line in lines[6:8]] == ["0.0", "1.0"]


@pytest.mark.parametrize(
    "order",
    [["add_time", ["X", 1], {"unit": "h"}], ["add_size", ["X", 1], {"unit": "TB"}], ["get_metric", ["X"], {}]],
)
def test_a_wrong_unit_and_an_unknown_metric_are_the_handlers_errors(scraped, order):
    answer = scraped.contract.json("/predictions/measures", [order])
    assert answer.error == (503, "InternalServerException", "Prediction failed")


def test_every_answered_batch_shows_the_prediction_time(scraped):
    scraped.measure()
    assert scraped.value("PredictionTime", ModelName="measures", Level="Model") > 0


def test_a_declared_metric_is_there_before_its_first_value(declared):
    text = declared.scrape()
    assert "# HELP Width Measured by a handler (unit: Pixels)\n# TYPE Width histogram\n" in text
    assert "# TYPE Pictures counter\n" in text


def test_a_handler_finds_what_is_declared(declared):
    declared.measure(
        ["declared", ["Width", 640, ["left"]], {"metric_type": HISTOGRAM}],
        ["declared", ["Pictures", 2, ["measures", "Model"]], {"metric_type": {"kind": "COUNTER"}}],
        ["add_counter", ["Pictures", 1], {}],
    )
    assert declared.value("Width_sum", Camera="left") == 640
    assert declared.value("Pictures", **MODEL) == 3


def test_what_is_not_declared_is_dropped_and_named(declared):
    declared.measure(["add_counter", ["Undeclared", 1], {}])
    assert "Undeclared" not in declared.scrape()
    [line] = declared.contract.lines("ts_log.log", "metric Undeclared of a handler is dropped")
    assert line.endswith("metrics_config does not declare it, and model_metrics_auto_detect is off")


def test_a_frontend_metric_that_is_not_declared_is_off_and_labels_bear_the_declared_names(declared):
    text = declared.scrape()
    assert "# TYPE Requests4XX" not in text and "# TYPE ts_inference_requests_total" not in text
    assert 'Requests2XX{Level="Host",Host="' in text
    assert "# TYPE numserve_queue_depth gauge" in text


def test_a_frontend_metric_is_of_the_type_that_it_is_declared_with(declared):
    before = declared.value("QueueTime_count")
    declared.measure()
    assert declared.value("QueueTime_count") == before + 1
    assert "# TYPE QueueTime histogram" in declared.scrape()


def test_what_the_server_does_not_measure_is_named(declared):
    assert declared.contract.lines("ts_log.log", "ts_metrics: Mine is nothing that the server measures")
    assert "Mine" not in declared.scrape()


BROKEN = {
    "ts_metrics: {counter: [{name: Requests2XX, unit: Count}]}": "a list of dimensions",
    "ts_metrics: {gauge: [{name: QueueTime, unit: ms, dimensions: [Level]}]}": "QueueTime has \\['Level'\\]; expected",
    "model_metrics: {meter: []}": "'meter' is no type of metric",
    "model_metrics: {counter: [{name: '', unit: Count, dimensions: []}]}": "expected name, unit",
    "model_metrics: {counter: [{name: numserve_x, unit: Count, dimensions: []}]}": "the name is the server's own",
    "model_metrics: [": "cannot be read: line 1: ",
    "- 1": "expected a mapping",
    "ts_metrics: 1": "expected a mapping",
}


@pytest.mark.parametrize("text", BROKEN)
def test_a_file_that_cannot_be_used_is_refused_with_the_reason(tmp_path, text, deviates):
    from numserve.server.metrics.metrics import Metrics, choice_of
    from numserve.server.properties import InvalidConfiguration
    from numserve.server.settings import Settings

    (tmp_path / "metrics.yaml").write_text(text)
    with pytest.raises(InvalidConfiguration, match=BROKEN[text]):
        Metrics(choice=choice_of(Settings(metrics_config=tmp_path / "metrics.yaml")))
    deviates("a `metrics_config` that cannot be read")
