import signal

import pytest
from numserve.server.workers.deaths import OomKills, death_of


class Kernel:
    """A control group whose processes are ended for want of memory when a test says so."""

    def __init__(self) -> None:
        self.kills: int | None = 0

    def oom_kills(self):
        return self.kills


@pytest.fixture
def kernel():
    return Kernel()


@pytest.fixture
def oom_kills(kernel):
    return OomKills(kernel)


@pytest.mark.parametrize(
    ("code", "how", "cause"),
    [
        (0, "exited with code 0, though nobody had asked it to", "exited"),
        (3, "exited with code 3", "exited"),
        (137, "exited with code 137, like SIGKILL", "exited"),
        (-signal.SIGKILL, "was killed by SIGKILL", "killed"),
        (-signal.SIGTERM, "was killed by SIGTERM", "killed"),
        (-signal.SIGSEGV, "was killed by SIGSEGV", "crashed"),
        (-signal.SIGABRT, "was killed by SIGABRT", "crashed"),
        (-signal.SIGBUS, "was killed by SIGBUS", "crashed"),
    ],
)
def test_a_death_has_words_and_a_cause(oom_kills, code, how, cause):
    assert death_of(code, oom_kills) == (how, cause)


def test_who_is_killed_while_the_kernel_counts_one_is_out_of_memory(kernel, oom_kills):
    kernel.kills = 1
    assert death_of(-signal.SIGSEGV, oom_kills).cause == "crashed"
    how, cause = death_of(-signal.SIGKILL, oom_kills)
    assert cause == "out_of_memory" and "memory had run out" in how
    assert death_of(-signal.SIGKILL, oom_kills).cause == "killed", "each of them is one worker's"


def test_two_workers_that_are_ended_at_once_are_both_out_of_memory(kernel, oom_kills):
    kernel.kills = 2
    assert [death_of(-signal.SIGKILL, oom_kills).cause for _ in range(3)] == ["out_of_memory"] * 2 + ["killed"]


def test_what_was_before_a_worker_started_is_not_its_own(kernel, oom_kills):
    kernel.kills = 7
    oom_kills.look()
    assert death_of(-signal.SIGKILL, oom_kills).cause == "killed"


def test_where_the_kernel_tells_nothing_nobody_is_out_of_memory(kernel, oom_kills):
    kernel.kills = None
    oom_kills.look()
    assert death_of(-signal.SIGKILL, oom_kills).cause == "killed"
