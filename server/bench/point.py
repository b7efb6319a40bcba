"""What one point of load showed: counts, latencies, and what the server and the generator spent on it."""

from __future__ import annotations

import math
from array import array
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

SHARES = {"p50": 0.5, "p90": 0.9, "p99": 0.99, "p99.9": 0.999, "max": 1.0}
CURVE = (0.0, *(tenth / 10 for tenth in range(1, 10)), 0.95, 0.975, 0.99, 0.995, 0.999, 0.9995, 0.9999, 0.99999, 1.0)
"""The shares whose latencies are kept of each point."""
SATURATED = 0.9
"""The share of a core from which the generator itself is what limits."""


class Record:
    """Counts answers while they come."""

    def __init__(self) -> None:
        self.latencies = array("d")
        """Seconds from the intended send time to the whole answer, of each answer 2xx."""
        self.delays = array("d")
        """Seconds by which the generator itself began too late, of each request in open loop."""
        self.errors: Counter[str] = Counter()
        """Other answers by status, and requests without one by what has happened."""
        self.resent = 0
        """Requests sent again, as their connection was closed while it was idle."""

    def answered(self, status: int, seconds: float) -> None:
        """A whole answer has come."""
        if 200 <= status < 300:
            self.latencies.append(seconds)
        else:
            self.errors[str(status)] += 1

    def failed(self, reason: str) -> None:
        """A request gets no answer."""
        self.errors[reason] += 1


def quantile(ordered: Sequence[float], share: float) -> float:
    """The least value that `share` of all do not exceed (nearest rank); NaN of nothing."""
    if not ordered:
        return math.nan
    return ordered[max(0, math.ceil(share * len(ordered) - 1e-9) - 1)]


@dataclass(frozen=True, slots=True)
class Spent:
    """What a server has spent until now; a figure is None where nobody tells it."""

    queue: float | None = None
    """Seconds that requests have waited for a batch."""
    queued: float = 0
    inference: float | None = None
    """Seconds that batches have been in the handler."""
    batches: float = 0
    cpu: float | None = None
    """Seconds of CPU time of all its processes."""


@dataclass(frozen=True, slots=True)
class Point:
    """A point of load, in seconds."""

    loop: str
    """`closed`, by so many clients; `open`, at such a rate."""
    level: float
    arrivals: str | None
    seconds: float
    answered: int
    """Answers 2xx."""
    errors: dict[str, int]
    resent: int
    throughput: float
    """Answers 2xx a second."""
    latency: dict[str, float | None]
    curve: list[tuple[float, float]]
    """Shares of the answers, and the latency that they do not exceed."""
    server: dict[str, float | None]
    generator: dict[str, float | bool | None] = field(default_factory=dict)

    @property
    def name(self) -> str:
        """The load in few letters."""
        return f"c={self.level:g}" if self.loop == "closed" else f"{self.level:g}/s"

    @property
    def failed(self) -> int:
        """Requests that were not answered 2xx."""
        return sum(self.errors.values())

    @property
    def saturated(self) -> bool:
        """Whether the generator was the limit."""
        return bool(self.generator["saturated"])


def summarize(
    loop: str, level: float, arrivals: str | None, record: Record, seconds: float, own_cpu: float, spent: Spent
) -> Point:
    """The point of a record; `own_cpu` and `spent` are what generator and server took for it."""
    ordered = sorted(record.latencies)
    count = len(ordered)
    latency = {name: quantile(ordered, share) if count else None for name, share in SHARES.items()}
    shares = [share for share in CURVE if share == 1 or count * (1 - share) >= 1] if count else []
    share = own_cpu / seconds
    return Point(
        loop,
        level,
        arrivals,
        seconds,
        count,
        dict(sorted(record.errors.items())),
        record.resent,
        count / seconds,
        {"mean": sum(ordered) / count if count else None, **latency},
        [(share, quantile(ordered, share)) for share in shares],
        _of_server(spent, count + sum(record.errors.values())),
        {
            "cpu": share,
            "late_p99": quantile(sorted(record.delays), 0.99) if record.delays else None,
            "saturated": share > SATURATED,
        },
    )


def _of_server(spent: Spent, requests: int) -> dict[str, float | None]:
    """The server's figures for a request or a batch."""
    told: dict[str, Any] = {
        "queue": spent.queue / spent.queued if spent.queue is not None and spent.queued else None,
        "inference": spent.inference / spent.batches if spent.inference is not None and spent.batches else None,
        "batch": spent.queued / spent.batches if spent.batches else None,
        "cpu": spent.cpu / requests if spent.cpu is not None and requests else None,
    }
    return told
