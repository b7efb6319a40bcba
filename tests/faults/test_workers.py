"""Workers that die, hang, or never come up (rows 1, 2, 26, 27, 29, 30, 37)."""

from __future__ import annotations

import os
import signal
import time

import psutil
import pytest

DEATHS = {
    "abort": "SIGABRT", "exit": "exited with code 3", "exit 0": "exited with code 0", "interrupt": "KeyboardInterrupt",
    "kill": "SIGKILL", "segfault": "SIGSEGV", "sys.exit": "SystemExit", "SystemExit": "SystemExit",
}  # fmt: skip
"""What an operator must read about each."""


def test_a_killed_worker_takes_only_its_batch_along(own):
    """Row 1: under 200 requests a second, four workers."""
    site = own("job_queue_size=1000\n").start()
    site.model("steady", "obey", workers=4)
    with site.traffic() as traffic:
        victim, *others = site.workers("steady")
        os.kill(victim, signal.SIGKILL)
        site.eventually(lambda: len(set(site.workers("steady")) - {victim}) == 4)
        traffic.more()
    traffic.check({"500", "503"})
    assert traffic.outcomes.total() - traffic.outcomes["200"] <= 1
    assert set(others) <= set(site.workers("steady"))


def test_killed_at_once_they_all_come_back(site):
    """Row 2: who waits is served by those that come after."""
    with site.traffic() as traffic:
        victims = site.workers("steady")
        for worker in victims:
            os.kill(worker, signal.SIGKILL)
        site.eventually(lambda: len(set(site.workers("steady")) - {*victims}) == 2)
        traffic.more()
    traffic.check({"500", "503"})
    assert traffic.outcomes.total() - traffic.outcomes["200"] <= 2
    assert site.request("GET", "/v2/health/ready").status == 200


def test_workers_come_back_though_what_they_are_forked_from_was_stopped(site):
    """Row 1, with the process that others come from stopped before: it is replaced, too."""
    [victim, other] = site.workers("steady")
    [zygote] = [each for each in psutil.Process(site.pid).children() if each.pid not in (victim, other)]
    with site.traffic() as traffic:
        zygote.suspend()
        os.kill(victim, signal.SIGKILL)
        site.eventually(lambda: len(set(site.workers("steady")) - {victim}) == 2)
        traffic.more()
    traffic.check({"500", "503"})
    assert traffic.outcomes.total() - traffic.outcomes["200"] <= 1
    assert other in site.workers("steady") and not zygote.is_running()


def test_a_handler_that_never_loads_is_ended_while_others_load(site):
    """Row 26: its caller is told why."""
    with site.traffic() as traffic:
        endless, beside = site.at_once(
            lambda: site.register("endless", "while True:\n    pass\n", startupTimeout=1),
            lambda: site.register("beside", "def handle(rows, context):\n    return rows and ['fine'] * len(rows)\n"),
        )
        traffic.more()
    traffic.check()
    assert endless.status in (500, 504) and "not loaded within 1 seconds" in endless.json()["detail"]
    assert beside.status == 200 and site.post("/predictions/beside", b"x").body == b"fine"
    assert site.management("GET", "/models/endless").status == 404


def test_a_handler_that_never_returns_is_ended_and_replaced(site):
    """Row 27: it holds the interpreter's lock, so that nothing in its process can help."""
    site.obey(responseTimeout=1)
    [before] = site.workers("obey")
    with site.traffic() as traffic:
        answer = site.order(**{"break": "endless C"})
        assert site.order(answer="back").body == b"back"
        traffic.more()
    traffic.check()
    assert answer.status == 504, answer.body
    assert not psutil.pid_exists(before) and site.workers("obey") != [before]


def test_more_memory_than_there_is(site):
    """Row 29: the request fails, the worker stays."""
    site.obey()
    before = site.workers("obey")
    with site.traffic() as traffic:
        assert site.order(**{"break": "memory"}).error[0] == 507
        assert site.order(answer="fine").body == b"fine"
    traffic.check()
    assert site.workers("obey") == before


def test_the_kernel_ends_a_worker_for_want_of_memory(own, cgroup):
    """Row 29: the client, and whoever runs the server, learn that it was memory."""
    within = cgroup(memory=300 << 20)
    site = own(within=within).start()
    site.model("steady", "obey", workers=1)
    site.register("greedy", "def handle(rows, context):\n    return rows and [str(len(b'x' * (1 << 33)))]\n")
    with site.traffic() as traffic:
        answer = site.post("/predictions/greedy", b"x")
        traffic.more()
    assert answer.status == 507, answer.body
    told = site.lines("as memory had run out")
    assert any("-greedy_1.0" in line for line in told), told
    traffic.check({"500", "503"})


@pytest.mark.parametrize("death", DEATHS)
def test_a_death_is_told_to_the_client_and_decoded_for_the_operator(site, death):
    """Row 30: also an orderly exit is the death of a worker."""
    site.obey()
    with site.traffic() as traffic:
        answer = site.order(**{"break": death})
        site.eventually(lambda: len(site.workers("obey")) == 1)
        assert site.order(answer="back").body == b"back"
    traffic.check()
    assert answer.status == 500
    assert any(DEATHS[death] in line for line in site.lines("-obey_1.0")), site.lines("-obey_1.0")


def test_a_model_that_never_loads_burns_no_cpu(site):
    """Row 37: the second attempt waits longer than the first; the description says what happens."""
    site.register("flaky", FLAKY)
    with site.traffic(clients=1, pause=0.2) as traffic:
        site.server.folder.joinpath("broken").touch()
        site.post("/predictions/flaky", b"die")
        site.eventually(lambda: "is started again in 2 s" in _said_of(site, "flaky"))
        busy, began = site.cpu(), time.monotonic()
        time.sleep(1)
        share = (site.cpu() - busy) / (time.monotonic() - began)
        told = site.described("flaky")
    site.server.folder.joinpath("broken").unlink()
    traffic.check()
    assert share < 0.5
    assert told["state"] == "failing" and "as it is broken" in str(told["workers"])


FLAKY = """
import os, pathlib

class Flaky:
    def initialize(self, context):
        if (pathlib.Path(os.environ["LOG_LOCATION"]).parent / "broken").exists():
            raise RuntimeError("as it is broken")

    def handle(self, rows, context):
        os._exit(1)
"""


def _said_of(site, model):
    return "\n".join(line for line in site.said().splitlines() if f"-{model}_" in line)
