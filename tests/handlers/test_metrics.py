import logging

import pytest
from numserve.handlers.metrics import (
    Dimension,
    Emitted,
    MetricsCache,
    MetricsCacheKeyError,
    MetricsCacheTypeError,
    MetricsCacheValueError,
    MetricTypes,
)

DEFAULTS = {"ModelName": "m", "Level": "Model"}


@pytest.fixture
def metrics() -> MetricsCache:
    return MetricsCache("m")


@pytest.mark.parametrize(
    ("call", "expected"),
    [
        (lambda m: m.add_counter("N", 2), ("N", "counter", 2.0, "count")),
        (lambda m: m.add_time("N", 1.5), ("N", "gauge", 1.5, "ms")),
        (lambda m: m.add_time("N", 1, None, "s"), ("N", "gauge", 1.0, "s")),
        (lambda m: m.add_time("N", 1, metric_type=MetricTypes.HISTOGRAM), ("N", "histogram", 1.0, "ms")),
        (lambda m: m.add_size("N", 3), ("N", "gauge", 3.0, "MB")),
        (lambda m: m.add_size("N", 3, unit="B"), ("N", "gauge", 3.0, "B")),
        (lambda m: m.add_percent("N", 50), ("N", "gauge", 50.0, "percent")),
        (lambda m: m.add_metric("N", 4, "apples"), ("N", "counter", 4.0, "apples")),
        (lambda m: m.add_metric("N", -4, "C", metric_type=MetricTypes.GAUGE), ("N", "gauge", -4.0, "C")),
    ],
)
def test_what_the_helpers_emit(metrics, call, expected) -> None:
    call(metrics)

    assert metrics.drain() == [Emitted(*expected, DEFAULTS)]


def test_errors_carry_only_the_level_error(metrics) -> None:
    metrics.add_error("E", 1)

    assert metrics.drain() == [Emitted("E", "counter", 1.0, "unit", {"Level": "Error"})]


def test_own_labels_come_before_the_usual_ones_and_are_not_changed(metrics) -> None:
    own = [Dimension("Kind", "cat"), Dimension("Level", "Mine")]
    metrics.add_counter("N", 1, None, own)

    assert list(metrics.drain()[0].labels.items()) == [("Kind", "cat"), ("Level", "Mine"), ("ModelName", "m")]
    assert len(own) == 2


def test_draining_forgets(metrics) -> None:
    metrics.add_counter("N", 1)

    assert len(metrics.drain()) == 1
    assert metrics.drain() == []


@pytest.mark.parametrize(
    ("call", "error"),
    [
        (lambda m: m.add_time("N", 1, None, "h"), MetricsCacheValueError),
        (lambda m: m.add_size("N", 1, None, "TB"), MetricsCacheValueError),
        (lambda m: m.get_metric("N"), MetricsCacheKeyError),
        (lambda m: m.get_metric("HandlerTime"), MetricsCacheKeyError),
        (lambda m: m.get_metric(3), MetricsCacheTypeError),
        (lambda m: m.add_metric_to_cache("N", 3), MetricsCacheTypeError),
        (lambda m: m.add_metric_to_cache("N", "ms", "Level"), MetricsCacheTypeError),
        (lambda m: m.add_metric("N", 1, "ms", metric_type="counter"), MetricsCacheTypeError),
    ],
)
def test_what_is_refused(metrics, call, error) -> None:
    with pytest.raises(error):
        call(metrics)


def test_a_metric_of_ones_own_has_just_its_labels(metrics) -> None:
    metric = metrics.add_metric_to_cache("Depth", "count", ["Queue"], MetricTypes.HISTOGRAM)
    metric.add_or_update(7, ["front"])

    assert metrics.get_metric("Depth", MetricTypes.HISTOGRAM) is metric
    assert metrics.drain() == [Emitted("Depth", "histogram", 7.0, "count", {"Queue": "front"})]


def test_the_older_update_replaces_the_label_names(metrics) -> None:
    metrics.get_metric("HandlerTime", MetricTypes.GAUGE).update(1, "", [Dimension("Step", 2)])

    assert metrics.drain() == [Emitted("HandlerTime", "gauge", 1.0, "ms", {"Step": "2"})]


@pytest.mark.parametrize(
    ("kind", "value", "labels", "reason"),
    [
        (MetricTypes.COUNTER, -1, ["x"], "negative"),
        (MetricTypes.GAUGE, "seven", ["x"], "not a number"),
        (MetricTypes.GAUGE, 1, [], "0 label values"),
        (MetricTypes.GAUGE, 1, ["x", "y"], "2 label values"),
    ],
)
def test_a_wrong_value_is_logged_and_dropped(metrics, caplog, kind, value, labels, reason) -> None:
    metric = metrics.add_metric_to_cache("N", "ms", ["Level"], kind)
    with caplog.at_level(logging.ERROR):
        metric.add_or_update(value, labels)

    assert reason in caplog.text
    assert metrics.drain() == []
