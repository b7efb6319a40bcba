"""A server that is told to stop, to stop at once, or to begin anew (rows 4, 5, 6, 8)."""

from __future__ import annotations

import contextlib
import signal
import threading
import time

import pytest


def test_told_to_stop_it_loses_no_request(own):
    """Row 4: clients that keep their connections, and try again only where nobody listens."""
    site = own("drain_delay=1\n").start()
    site.model("steady", "obey", workers=2)
    with site.traffic(probe=False) as traffic:
        traffic.more()
        code = site.ends()
        time.sleep(0.1)
    traffic.check()
    assert code == 0


@contextlib.contextmanager
def long_request(site):
    """A request of ten minutes is under way; in the end it must have been told that it is not answered."""
    site.model("steady", "obey", workers=1)
    answers = []
    asking = threading.Thread(target=lambda: answers.append(site.order("steady", sleep=600)))
    asking.start()
    site.eventually(lambda: site.metric("numserve_requests_in_flight", model_name="steady") == 1)
    yield
    asking.join()
    assert [answer.status for answer in answers] in ([500], [503], [504])


def test_a_request_that_outlasts_the_drain_is_told_so(own):
    """Row 5: and the end is an orderly one, at the limit."""
    site = own("drain_timeout=1\n").start()
    with long_request(site):
        began = time.monotonic()
        assert site.ends() == 0 and 1 <= time.monotonic() - began < 30


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT], ids=lambda number: number.name)
def test_told_twice_it_waits_for_nobody(own, number):
    """Row 6: but cleans up."""
    site = own("drain_timeout=600\n").start()
    with long_request(site):
        site.process.send_signal(number)
        site.lines("stopping")
        assert site.ends(number) == 0


def test_told_to_reload_it_loses_no_request(site):
    """Row 8: workers are replaced, one after the other, each when its successor has loaded the model."""
    with site.traffic() as traffic:
        before = set(site.workers("steady"))
        site.process.send_signal(signal.SIGHUP)
        site.eventually(lambda: len(site.workers("steady")) == 2 and not before & set(site.workers("steady")))
        traffic.more()
    traffic.check()
