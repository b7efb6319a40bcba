"""More requests than can be served, and less time than they take (rows 43, 44)."""

from __future__ import annotations

import time
from statistics import median

import pytest

STEP = 0.02
WORKING = f"""
import time


def handle(rows, context):
    time.sleep({STEP})
    return rows and [row["body"] for row in rows]
"""


ROUNDS = 5
"""The best of them counts, as others use the machine too."""


@pytest.mark.parametrize(("seconds", "share"), [(1, 0.5), pytest.param(60, 0.8, marks=pytest.mark.slow)])
def test_overload_is_refused_at_once_and_what_is_taken_is_served(site, seconds, share):
    """Row 43: ten times as much as can be served, and as much is served as without it; when it ends, it has ended."""
    assert site.register("working", WORKING, jobQueueSize=20).status == 200
    kept = []
    while len(kept) < ROUNDS and max(kept, default=0) < share:
        with site.traffic(model="working", clients=8, pause=0) as calm:
            peak = rate(calm, min(seconds, 5))
        calm.check()
        with site.traffic(model="working", clients=40, pause=0.03) as flood:
            flood.more(100, "503")
            refusals = [site.post("/predictions/working", b"x", "text/plain") for _ in range(10)]
            kept.append(rate(flood, seconds) / peak)
        flood.check({"503"})
        began = time.monotonic()
        assert site.post("/predictions/working", b"after", "text/plain").body == b"after"
        assert time.monotonic() - began < 6
        assert median(flood.seconds["503"]) < median(flood.seconds["200"]) / 2
        waits = [int(refusal["retry-after"]) for refusal in refusals if refusal.status == 503]
        assert waits and all(1 <= wait <= 60 for wait in waits)
    assert max(kept) >= share, kept


def rate(traffic, seconds):
    """Requests that are served in a second."""
    at, began = traffic.outcomes["200"], time.monotonic()
    time.sleep(seconds)
    return (traffic.outcomes["200"] - at) / (time.monotonic() - began)


def test_a_deadline_ends_the_wait_and_what_is_late_is_never_run(site):
    """Row 44: 50 ms for what takes longer, and for what would have had to wait for it."""
    site.obey()
    limit = {"X-Request-Timeout": "0.05"}
    with site.traffic() as traffic:
        began = time.monotonic()
        late, *never = site.at_once(
            lambda: site.order(sleep=1, answer="late", headers=limit),
            *[lambda: time.sleep(0.3) or site.order(answer="never", headers=limit)] * 3,
        )
        took = time.monotonic() - began
        seen = site.order(tell="seen").json()
    traffic.check()
    assert [each.error[:2] for each in (late, *never)] == [(504, "RequestTimeoutException")] * 4
    assert "late" in seen and "never" not in seen
    assert 0.05 <= took < 30
