"""What a server says and shows of itself while it is under load: its metrics, and the CPU time of its processes."""

from __future__ import annotations

import contextlib
import re

import psutil

from .. import client
from .point import Spent

_SAMPLE = re.compile(r"^numserve_(queue|inference)_duration_seconds_(sum|count)\{([^}]*)\} (\S+)$", re.MULTILINE)
_MODEL = re.compile(r'model_name="((?:[^"\\]|\\.)*)"')


class Observer:
    """Reads both; what is not given is not read."""

    def __init__(self, metrics: client.Place | None = None, model: str | None = None, pid: int | None = None) -> None:
        """Read the metrics at an address, of one model; and the process with its descendants."""
        self._metrics, self._model, self._pid = metrics, model, pid

    def read(self) -> Spent:
        """What has been spent until now."""
        found = self._scrape() if self._metrics else {}
        return Spent(
            found.get(("queue", "sum")),
            found.get(("queue", "count"), 0),
            found.get(("inference", "sum")),
            found.get(("inference", "count"), 0),
            cpu_of(self._pid) if self._pid else None,
        )

    @staticmethod
    def between(before: Spent, after: Spent) -> Spent:
        """What was spent from one reading to the other."""

        def spent(first: float | None, last: float | None) -> float | None:
            return None if first is None or last is None else last - first

        return Spent(
            spent(before.queue, after.queue),
            after.queued - before.queued,
            spent(before.inference, after.inference),
            after.batches - before.batches,
            spent(before.cpu, after.cpu),
        )

    def _scrape(self) -> dict[tuple[str, str], float]:
        assert self._metrics is not None
        try:
            status, text = client.ask(self._metrics, "GET", "/metrics")
        except client.Refused:
            return {}
        return sums(text.decode(), self._model) if status == 200 else {}


def sums(text: str, model: str | None) -> dict[tuple[str, str], float]:
    """The sums and counts of the two histograms, over all versions of a model, or of all models."""
    found: dict[tuple[str, str], float] = {}
    for name, kind, labels, value in _SAMPLE.findall(text):
        named = _MODEL.search(labels)
        if model is None or (named and named[1] == model):
            found[name, kind] = found.get((name, kind), 0.0) + float(value)
    return found


def cpu_of(pid: int) -> float | None:
    """Seconds of CPU time that a process, its descendants and those who have ended have taken; None: it is gone."""
    total = 0.0
    try:
        root = psutil.Process(pid)
        family = [root, *root.children(recursive=True)]
    except psutil.Error:
        return None
    for process in family:
        with contextlib.suppress(psutil.Error):
            times = process.cpu_times()
            total += times.user + times.system + times.children_user + times.children_system
    return total
