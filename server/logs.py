"""Logging: text or JSON lines, to the terminal or to files, and one buffered line per request."""

from __future__ import annotations

import asyncio
import logging
import logging.config
import re
import sys
import time
from collections.abc import Callable, Mapping
from functools import lru_cache
from logging.handlers import RotatingFileHandler
from pathlib import Path
from random import getrandbits
from typing import Any, TextIO

import orjson

from .messages import Trace
from .properties import InvalidConfiguration
from .yaml_files import read_named

ROOT = "numserve"
ACCESS = "numserve.access"
MODEL = "numserve.model"
TS_METRICS = "numserve.ts_metrics"
MODEL_METRICS = "numserve.model_metrics"
FILES = {
    "ts_log.log": (ROOT, "uvicorn", "asyncio"),
    "access_log.log": (ACCESS,),
    "model_log.log": (MODEL,),
    "ts_metrics.log": (TS_METRICS,),
    "model_metrics.log": (MODEL_METRICS,),
}
"""Which loggers write to which file, where they write to files."""
OF_LOG4J = {".xml", ".properties"}
"""Endings of TorchServe's files, which are not read."""
FINISHED = {ACCESS, TS_METRICS, MODEL_METRICS}
"""Loggers whose messages are finished lines."""
ROTATE_BYTES = 100 << 20
ROTATE_KEEP = 5
FLUSH_SECONDS = 0.25
FLUSH_LINES = 500
VARIANT = {digit: "89ab"[int(digit, 16) & 3] for digit in "0123456789abcdef"}
_CONTROL = re.compile(r"[\x00-\x08\x0a-\x1f\x7f-\x9f\u2028\u2029]")
_LEVELS = {"WARNING": "WARN", "CRITICAL": "FATAL"}
_STANDARD = set(logging.makeLogRecord({}).__dict__) | {"message", "asctime", "taskName", "rendered"}


def escape(text: str) -> str:
    """The text on one line: control characters as \\xNN, so that nobody forges a log line."""
    if text.isprintable():
        return text
    return _CONTROL.sub(lambda m: f"\\x{ord(m[0]):02x}" if ord(m[0]) < 256 else f"\\u{ord(m[0]):04x}", text)


def stamp(seconds: float) -> str:
    """TorchServe's time: 2026-11-23T05:50:21,871."""
    return _stamp(int(seconds * 1000))


@lru_cache(2)
def _stamp(milliseconds: int) -> str:
    seconds, rest = divmod(milliseconds, 1000)
    return f"{_second(seconds)},{rest:03d}"


@lru_cache(2)
def _second(seconds: int) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%S", time.localtime(seconds))


class TextFormatter(logging.Formatter):
    """`<time> [LEVEL] <thread> <logger> - <message>`; a traceback follows, indented.

    What a worker has written bears the worker's name as its thread, as in TorchServe.
    """

    def format(self, record: logging.LogRecord) -> str:
        """The record as one line, and its traceback if there is one."""
        level = _LEVELS.get(record.levelname, record.levelname)
        worker: str | None = getattr(record, "worker", None)
        source = f"{escape(worker)}-stdout MODEL_LOG" if worker else f"{_thread(record)} {record.name}"
        line = f"{stamp(record.created)} [{level:<5}] {source} - {escape(record.getMessage())}"
        if record.exc_info:
            line += "\n    " + "\n    ".join(map(escape, self.formatException(record.exc_info).splitlines()))
        return line


class JsonFormatter(logging.Formatter):
    """One JSON object a line: time, level, logger, message, and whatever `extra` held."""

    def format(self, record: logging.LogRecord) -> str:
        """The record as one JSON object."""
        found = {"time": stamp(record.created), "level": record.levelname, "logger": record.name}
        found["message"] = record.getMessage()
        if record.exc_info:
            found["traceback"] = self.formatException(record.exc_info)
        extra = {key: value for key, value in record.__dict__.items() if key not in _STANDARD}
        return orjson.dumps(found | extra, default=str).decode()


def _thread(record: logging.LogRecord) -> str:
    """The thread's name without blanks, so that lines can be cut at them."""
    return "main" if record.threadName == "MainThread" else (record.threadName or "-").replace(" ", "_")


class _Ready(logging.Formatter):
    """For records whose message is finished lines."""

    def format(self, record: logging.LogRecord) -> str:
        return record.getMessage()


def read_config(path: Path | None) -> dict[str, Any]:
    """A file for `logging.config.dictConfig`, as YAML or JSON; nothing where there is none, or one of log4j2.

    Raises: InvalidConfiguration where it cannot be read.
    """
    if path is None or path.suffix in OF_LOG4J:
        return {}
    return {"version": 1, "disable_existing_loggers": False} | read_named("log_config", path)


def set_up(
    style: str,
    level: str,
    folder: Path | None,
    terminal: TextIO | None = None,
    of_metrics: Path | None = None,
    config: Mapping[str, Any] | None = None,
    dropped: Callable[[int], None] = lambda lines: None,
) -> Callable[[], None]:
    """Send our loggers to files in `folder`, or to the terminal where it is None; returns what undoes it.

    The files of metrics are in `of_metrics`, where that is given. Loggers that `config` names are as it says, which is
    for `logging.config.dictConfig`. `dropped` is told how many lines could not be written, as on a full disk.
    Raises: InvalidConfiguration where that refuses the configuration, or a folder cannot be made.
    """
    if config:
        try:
            logging.config.dictConfig(dict(config))
        except (ValueError, TypeError, AttributeError, ImportError) as error:
            reason = f"{error}: {error.__cause__}" if error.__cause__ else str(error)
            raise InvalidConfiguration(f"Invalid configuration: log_config: {reason}") from error
    theirs = (config or {}).get("loggers") or {}
    for handler in {handler for name in theirs for handler in logging.getLogger(name).handlers}:
        handler.handleError = _Complaint(handler, dropped)  # type: ignore[method-assign]
    formatter = JsonFormatter() if style == "json" else TextFormatter()
    undoing = []
    for file, names in FILES.items():
        place = of_metrics if of_metrics and "metrics" in file else folder
        handler = _file(place / file) if folder and place else _Terminal(terminal or sys.stdout)
        handler.dropped = dropped
        handler.setFormatter(_Ready() if FINISHED.issuperset(names) else formatter)
        undoing += [
            _attach(logging.getLogger(name), handler, level if name == ROOT else _least(name))
            for name in names
            if name not in theirs
        ]

    def undo_all() -> None:
        for undo in undoing:
            undo()

    return undo_all


def reopen() -> None:
    """Go on in the files that bear the names now: the old ones may have been moved away."""
    for names in FILES.values():
        for handler in logging.getLogger(names[0]).handlers:
            if isinstance(handler, RotatingFileHandler):
                handler.close()  # the next line opens it


def _attach(logger: logging.Logger, handler: logging.Handler, level: str) -> Callable[[], None]:
    before = (logger.propagate, logger.level)
    logger.addHandler(handler)
    logger.propagate = False
    logger.setLevel(level)

    def undo() -> None:
        logger.removeHandler(handler)
        logger.propagate = before[0]
        logger.setLevel(before[1])
        handler.close()

    return undo


def _least(name: str) -> str:
    """Ours tell all they have; the libraries only what is wrong."""
    return "INFO" if name.startswith(ROOT) else "WARNING"


class _Dropping(logging.Handler):
    """Counts the lines that it cannot write, where others print a traceback for each."""

    dropped: Callable[[int], None]

    def handleError(self, record: logging.LogRecord) -> None:
        if isinstance(sys.exc_info()[1], OSError):
            self.dropped(self.format(record).count("\n") + 1)
        else:
            super().handleError(record)


class _Complaint:
    """What a configuration's handler does with lines that it cannot write: the first time it says why, on the terminal
    or what stands for it; all are counted."""

    def __init__(self, handler: logging.Handler, dropped: Callable[[int], None]) -> None:
        self._name = type(handler).__name__
        self._dropped = dropped
        self._told = False

    def __call__(self, record: logging.LogRecord) -> None:
        if not self._told:
            self._told = True
            kind, error, _ = sys.exc_info()
            reason = f"{kind.__name__ if kind else 'unknown'}: {error}"
            print(f"log_config: {self._name} cannot write: {reason}", file=sys.stderr, flush=True)
        self._dropped(record.getMessage().count("\n") + 1)


class _File(_Dropping, RotatingFileHandler):
    """A file that is turned over."""


class _Terminal(_Dropping, logging.StreamHandler[TextIO]):
    """Standard output, or what stands for it."""


def _file(path: Path) -> _File:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InvalidConfiguration(
            f"Invalid configuration: the folder {path.parent} cannot be made: {error.strerror}; log_location and "
            "metrics_location name others"
        ) from error
    return _File(path, maxBytes=ROTATE_BYTES, backupCount=ROTATE_KEEP, encoding="utf-8", delay=True)


class Exchange(Trace):
    """What the access log tells of one request; what is None did not happen. It began by `time.perf_counter`."""

    __slots__ = ("began", "id", "model", "version")

    def __init__(self, identity: str, model: str | None = None, version: str | None = None) -> None:
        """Begin now."""
        self.began = time.perf_counter()
        self.id, self.model, self.version = identity, model, version
        self.batch_size = self.queue = self.inference = None


def new_id() -> str:
    """A request's id: a UUID of version 4, quickly made, and so no secret: whoever knows many may guess the next."""
    digits = f"{getrandbits(128):032x}"
    return f"{digits[:8]}-{digits[8:12]}-4{digits[13:16]}-{VARIANT[digits[16]]}{digits[17:20]}-{digits[20:]}"


class Bunch:
    """Lines of one logger, written together: formatting is cheap, the write is what costs."""

    def __init__(self, logger: str) -> None:
        """Write to the logger of this name."""
        self._logger = logging.getLogger(logger)
        self._lines: list[str] = []
        self._timer: asyncio.TimerHandle | None = None

    def add(self, line: str) -> None:
        """Keep a line; it is out a quarter of a second later at the latest."""
        self._lines.append(line)
        if len(self._lines) >= FLUSH_LINES:
            self.flush()
        elif self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(FLUSH_SECONDS, self.flush)

    def flush(self) -> None:
        """Write what was kept."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._lines:
            lines, self._lines = self._lines, []
            self._logger.info("%s", "\n".join(lines))


class AccessLog(Bunch):
    """One line per request."""

    def __init__(self, style: str) -> None:
        """Write `text` or `json` lines to the access logger."""
        super().__init__(ACCESS)
        self._line = _json_line if style == "json" else _text_line

    def note(self, client: str, request: str, status: int, seconds: float, exchange: Exchange) -> None:
        """Keep the line of a request that was answered, or left."""
        self.add(self._line(time.time(), client, request, status, seconds, exchange))


def _text_line(now: float, client: str, request: str, status: int, seconds: float, exchange: Exchange) -> str:
    """TorchServe's line, then `key=value` for what it does not say."""
    line = f'{_stamp(int(now * 1000))} - /{client} "{request}" {status} {seconds * 1000:.0f} id={exchange.id}'
    if exchange.model is not None:
        line += f" model={exchange.model} version={exchange.version or ''}"
        if exchange.batch_size is not None and exchange.queue is not None and exchange.inference is not None:
            queue, inference = exchange.queue * 1000, exchange.inference * 1000
            line += f" batch={exchange.batch_size} queue={queue:.3f} inference={inference:.3f}"
    return escape(line)


def _json_line(now: float, client: str, request: str, status: int, seconds: float, exchange: Exchange) -> str:
    found = {
        "time": stamp(now),
        "client": client,
        "request": request,
        "status": status,
        "ms": _ms(seconds),
        "id": exchange.id,
        "model": exchange.model,
        "version": exchange.version,
        "batch_size": exchange.batch_size,
        "queue_ms": _ms(exchange.queue),
        "inference_ms": _ms(exchange.inference),
    }
    return orjson.dumps({key: value for key, value in found.items() if value is not None}).decode()


def _ms(seconds: float | None) -> float | None:
    return None if seconds is None else round(seconds * 1000, 3)
