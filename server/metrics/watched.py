"""What is asked of models when somebody scrapes: nothing is kept for it, of however many models."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from typing import Protocol

from .exposition import head_of, in_pieces, labels_of, line_of

MODEL = ("model_name", "model_version")
GAUGES = {
    "numserve_queue_depth": "Requests waiting for a worker",
    "numserve_queue_capacity": "Requests that may wait for a worker",
    "numserve_queue_expected_wait_seconds": (
        "What a request that came now would wait for a worker, at the pace of late"
    ),
    "numserve_batch_size_limit": "Requests that the next batch may have",
    "numserve_requests_in_flight": "Requests in the hands of workers",
    "numserve_model_ready": "Whether a worker of the model is ready, or will be for who asks",
}
WORKERS = "numserve_workers"
PAUSE = 64
"""Models after which who else has something to do may have his turn."""


class Watched(Protocol):
    """What a model tells of itself."""

    def gauges(self) -> Mapping[str, float]:
        """Values of GAUGES, those that mean anything."""

    def workers(self) -> Mapping[str, float]:
        """How many there are in each state."""


class WatchedModels:
    """The gauges of all models there are."""

    def __init__(self) -> None:
        """Watch none."""
        self._models: dict[tuple[str, str], Watched] = {}

    def add(self, name: str, version: str, model: Watched) -> None:
        """Ask a version of a model from now on."""
        self._models[name, version] = model

    def remove(self, name: str, version: str, model: Watched) -> None:
        """Ask this one no more."""
        if self._models.get((name, version)) is model:
            del self._models[name, version]

    def pieces(self, names: Collection[str] = ()) -> Iterator[str]:
        """All gauges as text; see exposition.Shown. Pieces before the first are empty."""
        found: dict[str, list[str]] = {name: [] for name in (*GAUGES, WORKERS)}
        for number, (key, model) in enumerate([*self._models.items()], 1):
            labels = labels_of(MODEL, key)
            for name, value in model.gauges().items():
                found[name].append(line_of(name, labels, value))
            for state, count in model.workers().items():
                found[WORKERS].append(line_of(WORKERS, f'{labels},state="{state}"', count))
            if number % PAUSE == 0:
                yield ""
        for name, lines in found.items():
            asked = lines if not names or name in names else []
            head = head_of(name, GAUGES.get(name, "Workers by state"), "gauge")
            yield from in_pieces(head, iter(asked), names)
