"""Machines with little of something (row 42): descriptors, processes, memory, processor."""

from __future__ import annotations

import pytest

FORKS = """
import os, time


def handle(rows, context):
    for number in range(400 * len(rows or [])):
        if not os.fork():
            time.sleep(600)
            os._exit(0)
    return rows and ["all of them"] * len(rows)
"""


def test_few_descriptors_are_enough(own):
    """Row 42: ulimit -n 256, for the workers too."""
    site = own(within=("sh", "-c", 'ulimit -n 256 && exec "$@"', "sh")).start()
    site.model("steady", "obey", workers=4)
    with site.traffic() as traffic:
        for _ in range(5):
            site.obey()
            assert site.order(answer="x").body == b"x"
            site.remove()
        traffic.more()
    traffic.check()


def test_a_fork_bomb_ends_at_the_limit_and_with_its_model(own, cgroup):
    """Row 42: its request fails, or is answered; the others are served."""
    site = own(within=cgroup(pids=150)).start()
    site.model("steady", "obey", workers=2)
    assert site.register("bomb", FORKS).status == 200
    with site.traffic() as traffic:
        assert site.post("/predictions/bomb", b"x").status in (500, 503)
        traffic.more()
        before = len(site.now().processes)
        site.remove()
        site.eventually(lambda: len(site.now().processes) < before - 90)
        assert site.register("bomb", FORKS.replace("400", "0")).status == 200
        assert site.post("/predictions/bomb", b"x").body == b"all of them"
    traffic.check()


def test_a_quarter_of_a_gigabyte_is_enough(own, cgroup):
    """Row 42: for the server with two small workers."""
    site = own(within=cgroup(memory=256 << 20)).start()
    site.model("steady", "obey", workers=2)
    with site.traffic() as traffic:
        traffic.more(200)
    traffic.check()


@pytest.mark.slow
def test_a_tenth_of_a_core_is_slow_and_correct(own, cgroup):
    """Row 42."""
    site = own(within=cgroup(cpu=10_000)).start()
    site.model("steady", "obey", workers=1)
    with site.traffic(clients=2, pause=0.5) as traffic:
        traffic.more(20)
    traffic.check()
