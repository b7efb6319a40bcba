"""Contract: metrics, sections 2 and 7: where the values go, and how they are written."""

from __future__ import annotations

import json
import re
import socket
import time

HOSTNAME = re.escape(socket.gethostname())
TIME = r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d,\d{3}"
FRONTEND = {
    "Requests2XX.Count": "Level:Host",
    "ts_inference_requests_total.Count": "model_name:measures,model_version:default",
    "ts_inference_latency_microseconds.Microseconds": "model_name:measures,model_version:default",
    "ts_queue_latency_microseconds.Microseconds": "model_name:measures,model_version:default",
    "QueueTime.Milliseconds": "Level:Host",
    "WorkerThreadTime.Milliseconds": "Level:Host",
    "WorkerLoadTime.Milliseconds": r"WorkerName:W-\d+-measures_1\.0,Level:Host",
    "CPUUtilization.Percent": "Level:Host",
    "MemoryUsed.Megabytes": "Level:Host",
    "MemoryAvailable.Megabytes": "Level:Host",
    "MemoryUtilization.Percent": "Level:Host",
    "DiskUsage.Gigabytes": "Level:Host",
    "DiskAvailable.Gigabytes": "Level:Host",
    "DiskUtilization.Percent": "Level:Host",
}


def test_in_mode_log_each_value_of_the_server_is_a_line(logged):
    logged.measure()
    for name, labels in FRONTEND.items():
        line = logged.contract.lines("ts_metrics.log", f"- {name}:")[-1]
        assert re.fullmatch(
            rf"{TIME} - {re.escape(name)}:[\d.e-]+\|#{labels}\|#hostname:{HOSTNAME},timestamp:\d{{10}}", line
        ), line


def test_in_mode_log_each_value_of_a_handler_is_a_line_with_its_requests(logged):
    answer = logged.measure(["add_time", ["Decode", 12.5], {"dimensions": {"dimensions": [["Room", "3"]]}}])
    identity = answer["x-request-id"]
    [line] = logged.contract.lines("model_metrics.log", "Decode.Milliseconds")
    told = rf"{TIME} - Decode\.Milliseconds:12\.5\|#Room:3,ModelName:measures,Level:Model"
    assert re.fullmatch(rf"{told}\|#hostname:{HOSTNAME},requestID:{identity},timestamp:\d{{10}}", line), line
    assert f"requestID:{identity}," in logged.contract.lines("model_metrics.log", "- PredictionTime.ms:")[-1]


def test_a_value_about_one_request_names_that_one(logged):
    answer = logged.measure(["add_counter", ["Mine", 1], {"idx": 0}])
    assert f"requestID:{answer['x-request-id']}," in logged.contract.lines("model_metrics.log", "- Mine.Count:1.0|")[0]


def test_in_mode_log_the_endpoint_has_our_own_metrics_alone(logged, deviates):
    text = logged.scrape()
    families = re.findall(r"^# TYPE (\w+)", text, re.M)
    assert families and all(name.startswith(("numserve_", "process_", "python_")) for name in families)
    deviates("`metrics_mode=log`, `legacy`")


def test_in_mode_prometheus_there_are_no_files_of_metrics(scraped):
    scraped.measure(["add_counter", ["Filed", 1], {}])
    scraped.contract.lines("access_log.log", "/predictions/measures")
    assert not [file for file in scraped.logs.iterdir() if "metrics" in file.name]


def test_in_mode_legacy_three_counters_are_scraped_and_the_rest_is_lines(legacy):
    legacy.measure(["add_counter", ["Old", 1], {}])
    text = legacy.scrape()
    theirs = [
        name for name in re.findall(r"^# TYPE (\w+)", text, re.M) if not re.match("numserve|process|python", name)
    ]
    assert theirs == [
        "ts_inference_requests_total", "ts_inference_latency_microseconds", "ts_queue_latency_microseconds",
    ]  # fmt: skip
    assert legacy.value("ts_inference_requests_total", model_name="measures", model_version="default") > 0
    assert legacy.contract.lines("ts_metrics.log", '"MetricName":"QueueTime"')
    assert legacy.contract.lines("model_metrics.log", '"MetricName":"Old"')


def test_with_log_format_json_a_value_is_an_object(legacy):
    answer = legacy.measure(["add_size", ["Picture", 3], {}])
    found = json.loads(legacy.contract.lines("model_metrics.log", '"MetricName":"Picture"')[-1])
    assert abs(found.pop("Timestamp") - time.time()) < 60
    assert found == {
        "MetricName": "Picture",
        "Value": 3.0,
        "Unit": "Megabytes",
        "Dimensions": [{"Name": "ModelName", "Value": "measures"}, {"Name": "Level", "Value": "Model"}],
        "HostName": socket.gethostname(),
        "RequestId": answer["x-request-id"],
    }
