"""Logs: lines nobody can forge, in text and in JSON, to the terminal and to files."""

from __future__ import annotations

import io
import json
import logging

import pytest
from numserve.server import logs
from numserve.server.properties import InvalidConfiguration


@pytest.fixture
def set_up():
    undo = []

    def start(*args, **kwargs):
        undo.append(logs.set_up(*args, **kwargs))

    yield start
    for step in undo:
        step()


def test_a_text_line_has_torchserves_layout(set_up):
    out = io.StringIO()
    set_up("text", "INFO", None, out)
    logging.getLogger("numserve.server.x").warning("odd\nthing\x1b[0m")
    assert out.getvalue()[23:] == " [WARN ] main numserve.server.x - odd\\x0athing\\x1b[0m\n"


def test_what_a_worker_says_bears_its_name(set_up):
    out = io.StringIO()
    set_up("text", "INFO", None, out)
    logging.getLogger(logs.MODEL).info("hello", extra={"worker": "W-9000-m_1.0"})
    assert out.getvalue()[23:] == " [INFO ] W-9000-m_1.0-stdout MODEL_LOG - hello\n"


def test_a_traceback_follows_indented(set_up):
    out = io.StringIO()
    set_up("text", "INFO", None, out)
    try:
        raise ValueError("two\nlines")
    except ValueError:
        logging.getLogger("numserve").exception("failed")
    first, *rest = out.getvalue().splitlines()
    assert first.endswith("failed")
    assert all(line.startswith("    ") for line in rest)


def test_a_json_line_has_the_extras(set_up):
    out = io.StringIO()
    set_up("json", "INFO", None, out)
    logging.getLogger("numserve.model").info("said", extra={"worker": "m-1"})
    line = json.loads(out.getvalue())
    assert (line["logger"], line["message"], line["worker"]) == ("numserve.model", "said", "m-1")


def test_the_level_holds(set_up):
    out = io.StringIO()
    set_up("text", "WARNING", None, out)
    logging.getLogger("numserve.x").info("quiet")
    assert out.getvalue() == ""


def test_files_have_torchserves_names(set_up, tmp_path):
    set_up("text", "INFO", tmp_path)
    for name in ("numserve", logs.ACCESS, logs.MODEL, "uvicorn.error"):
        logging.getLogger(name).warning("from %s", name)
    assert "from numserve\n" in (tmp_path / "ts_log.log").read_text()
    assert "from uvicorn.error\n" in (tmp_path / "ts_log.log").read_text()
    assert (tmp_path / "access_log.log").read_text() == f"from {logs.ACCESS}\n"
    assert f"from {logs.MODEL}\n" in (tmp_path / "model_log.log").read_text()


def access_line(style, out, set_up, exchange, request="GET /ping HTTP/1.1"):
    set_up(style, "INFO", None, out)
    log = logs.AccessLog(style)
    log.note("127.0.0.1:5", request, 200, 0.0364, exchange)
    log.flush()
    return out.getvalue()


async def test_an_access_line_begins_as_torchserves_does(set_up):
    line = access_line("text", io.StringIO(), set_up, logs.Exchange("some-id"))
    assert line[23:] == ' - /127.0.0.1:5 "GET /ping HTTP/1.1" 200 36 id=some-id\n'


def answered():
    exchange = logs.Exchange("i", "m", "1.0")
    exchange.batch_size, exchange.queue, exchange.inference = 4, 0.0012, 0.0034
    return exchange


async def test_an_access_line_tells_what_the_batch_was(set_up):
    line = access_line("text", io.StringIO(), set_up, answered())
    assert line.endswith(" id=i model=m version=1.0 batch=4 queue=1.200 inference=3.400\n")


async def test_an_access_line_in_json(set_up):
    line = json.loads(access_line("json", io.StringIO(), set_up, answered()))
    assert line["batch_size"] == 4
    assert (line["queue_ms"], line["ms"], line["status"], line["client"]) == (1.2, 36.4, 200, "127.0.0.1:5")


async def test_nobody_forges_an_access_line(set_up):
    line = access_line("text", io.StringIO(), set_up, logs.Exchange("i", "a\nb", "1"), "GET /x\n200 HTTP/1.1")
    assert line.count("\n") == 1


async def test_lines_go_out_in_bunches(set_up):
    out = io.StringIO()
    set_up("text", "INFO", None, out)
    log = logs.AccessLog("text")
    for _ in range(logs.FLUSH_LINES - 1):
        log.note("c", "r", 200, 0, logs.Exchange("i"))
    assert out.getvalue() == ""
    log.note("c", "r", 200, 0, logs.Exchange("i"))
    assert out.getvalue().count("\n") == logs.FLUSH_LINES


def test_a_file_decides_for_the_loggers_that_it_names(set_up, tmp_path):
    (tmp_path / "log.yaml").write_text(
        f"""
        formatters: {{json: {{(): numserve.server.logs.JsonFormatter}}}}
        handlers: {{mine: {{class: logging.FileHandler, filename: {tmp_path}/mine.log, formatter: json}}}}
        loggers: {{numserve.model: {{handlers: [mine], level: INFO, propagate: false}}}}
        """
    )
    set_up("text", "INFO", tmp_path, config=logs.read_config(tmp_path / "log.yaml"))
    logging.getLogger(logs.MODEL).info("from the model")
    logging.getLogger("numserve").info("from the server")
    assert json.loads((tmp_path / "mine.log").read_text())["message"] == "from the model"
    assert "from the server" in (tmp_path / "ts_log.log").read_text()
    assert not (tmp_path / "model_log.log").exists()
    for handler in logging.getLogger(logs.MODEL).handlers[:]:
        logging.getLogger(logs.MODEL).removeHandler(handler)
        handler.close()


def test_a_handler_of_a_file_that_cannot_write_is_told_of_once(set_up, tmp_path, capsys):
    (tmp_path / "log.yaml").write_text(
        f"""
        handlers: {{syslog: {{class: logging.handlers.SysLogHandler, address: {tmp_path}/none}}}}
        loggers: {{numserve.model: {{handlers: [syslog], level: INFO, propagate: false}}}}
        """
    )
    dropped = []
    set_up("text", "INFO", tmp_path, config=logs.read_config(tmp_path / "log.yaml"), dropped=dropped.append)
    model = logging.getLogger(logs.MODEL)
    model.info("one")
    model.info("two\nthree")
    said = "log_config: SysLogHandler cannot write: FileNotFoundError: [Errno 2] No such file or directory\n"
    assert (capsys.readouterr().err, dropped) == (said, [1, 2])
    [handler] = model.handlers
    model.removeHandler(handler)
    handler.close()


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("[", "cannot be read"),
        ("- 1", "expected a mapping"),
        ("handlers: {a: {class: no.such.Handler}}", "Unable to configure handler 'a'"),
        ("version: 2", "Unsupported version: 2"),
    ],
)
def test_a_file_that_cannot_be_used_says_why(tmp_path, text, says):
    (tmp_path / "log.yaml").write_text(text)
    with pytest.raises(InvalidConfiguration, match=says):
        logs.set_up("text", "INFO", None, config=logs.read_config(tmp_path / "log.yaml"))


def test_a_file_of_log4j_is_not_read(tmp_path):
    assert logs.read_config(tmp_path / "log4j2.xml") == {}
