"""Contract: configuration, section 10: which file holds what, and how a line looks."""

from __future__ import annotations

import json
import re

import pytest

TIME = r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d,\d{3}"


def test_each_request_is_a_line_of_the_access_log(text):
    answer = text.contract.post("/predictions/talks?a=b%20c", b"hello")
    [line] = text.contract.lines("access_log.log", "a=b%20c")
    assert re.fullmatch(
        rf'{TIME} - /127\.0\.0\.1:\d+ "POST /predictions/talks\?a=b%20c HTTP/1\.1" 200 \d+ '
        rf"id={answer['x-request-id']} model=talks version=1\.0 batch=1 queue=[\d.]+ inference=[\d.]+",
        line,
    )


@pytest.mark.parametrize(
    ("listener", "path", "status"),
    [("inference", "/ping", 200), ("management", "/models/nobody", 404), ("metrics", "/metrics", 200)],
)
def test_all_listeners_write_to_it(text, listener, path, status):
    text.contract.request("GET", path, listener=listener)
    line = text.contract.lines("access_log.log", f'"GET {path} HTTP/1.1"')[-1]
    assert re.fullmatch(rf'{TIME} - /127\.0\.0\.1:\d+ "GET {path} HTTP/1\.1" {status} \d+ id=\S+', line)


@pytest.mark.parametrize("said", ["printed", "complained", "logged"])
def test_what_a_handler_says_bears_its_worker(text, deviates, said):
    text.contract.post("/predictions/talks", f"{said}-by-me".encode())
    [line] = text.contract.lines("model_log.log", f"{said} {said}-by-me")
    assert re.fullmatch(rf"{TIME} \[INFO \] W-9\d+-talks_1\.0-stdout MODEL_LOG - .*{said} {said}-by-me", line)
    deviates("| log lines | each in `ts_log.log`")


@pytest.mark.parametrize(
    "message",
    [
        r"numserve \S+, .*job_queue_size=77.*",
        r"Inference API bind to: http://127\.0\.0\.1:\d+",
        r"Management API bind to: http://127\.0\.0\.1:\d+",
        r"Metrics API bind to: http://127\.0\.0\.1:\d+",
        r"Model talks loaded\.",
        r"W-9\d+-talks_1\.0 has loaded its model in \d+\.\d\d s",
    ],
)
def test_what_the_server_does_is_a_line_of_its_log(text, message):
    pattern = re.compile(rf"{TIME} \[INFO \] main numserve\.\S+ - {message}")
    lines = (text.folder / "ts_log.log").read_text().splitlines()
    assert [line for line in lines if pattern.fullmatch(line)]


def test_metrics_have_a_folder_of_their_own(text):
    text.contract.post("/predictions/talks", b"x")
    elsewhere = text.folder.parent / "elsewhere"
    text.contract.eventually((elsewhere / "model_metrics.log").is_file)
    assert (elsewhere / "ts_metrics.log").is_file()
    assert not (text.folder / "ts_metrics.log").exists()


def test_nobody_forges_a_line(text):
    text.contract.post("/predictions/talks", b"innocent\n2026-01-01T00:00:00,000 [ERROR] forged\x1b[31m")
    for line in text.contract.lines("model_log.log", "[ERROR] forged"):
        assert re.match(rf"{TIME} \[INFO \] W-9\d+-talks_1\.0-stdout MODEL_LOG - ", line) and "\x1b" not in line


def test_with_log_format_json_each_line_is_an_object(objects):
    answer = objects.contract.post("/predictions/talks", b"json")
    [line] = objects.contract.lines("access_log.log", answer["x-request-id"])
    told = json.loads(line)
    assert (told["status"], told["model"], told["batch_size"]) == (200, "talks", 1)
    assert told["request"] == "POST /predictions/talks HTTP/1.1"
    lines = [json.loads(line) for line in (objects.folder / "ts_log.log").read_text().splitlines()]
    assert {"time", "level", "logger", "message"} <= set.intersection(*map(set, lines))


def test_a_file_of_ones_own_decides_for_the_loggers_it_names(objects):
    objects.contract.post("/predictions/talks", b"mine")
    told = json.loads(objects.contract.lines("mine.log", "printed mine")[0])
    assert (told["logger"], told["message"], told["worker"][:3]) == ("numserve.model", "printed mine", "W-9")
    assert not (objects.folder / "model_log.log").exists()
