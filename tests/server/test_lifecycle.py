"""The pid file's lock and the state file."""

from __future__ import annotations

import subprocess
import sys

import pytest
from numserve.server import lifecycle
from numserve.server.lifecycle import AlreadyRunning, Lock, State
from numserve.server.properties import InvalidConfiguration

STATE = State(1, "http://127.0.0.1:1", "http://127.0.0.1:2", None, None)
HOLD = """
import sys
from pathlib import Path
from numserve.server.lifecycle import Lock, State
with Lock(Path(sys.argv[1])) as lock:
    lock.publish(State(1, "http://127.0.0.1:1", "http://127.0.0.1:2", None, None))
    print("held", flush=True)
    sys.stdin.read()
"""


@pytest.fixture
def holder(tmp_path):
    """Another process that holds the lock until its input ends."""
    command = [sys.executable, "-c", HOLD, str(tmp_path)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout.readline() == "held\n"
        yield process
        process.kill()


def test_a_running_server_is_found(tmp_path, holder):
    assert lifecycle.running_pid(tmp_path) == holder.pid
    assert lifecycle.running(tmp_path) == STATE
    assert not lifecycle.orphaned(tmp_path)


def test_there_is_one_server_a_folder(tmp_path, holder):
    with pytest.raises(AlreadyRunning), Lock(tmp_path):
        pass
    assert lifecycle.running_pid(tmp_path) == holder.pid


def test_a_server_that_ends_leaves_nothing(tmp_path, holder):
    holder.communicate()
    assert list(tmp_path.iterdir()) == []
    assert lifecycle.running(tmp_path) is None


def test_a_server_that_was_killed_lets_go(tmp_path, holder):
    holder.kill()
    holder.wait()
    assert lifecycle.running_pid(tmp_path) is None
    assert lifecycle.orphaned(tmp_path)
    lifecycle.remove_orphans(tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_a_file_of_a_crash_is_no_obstacle(tmp_path):
    (tmp_path / lifecycle.PID_FILE).write_text("1\n")
    with Lock(tmp_path) as lock:
        lock.publish(STATE)
        assert (tmp_path / lifecycle.STATE_FILE).exists()
    assert list(tmp_path.iterdir()) == []


def test_a_link_in_place_of_the_pid_file_is_not_followed(tmp_path):
    (tmp_path / lifecycle.PID_FILE).symlink_to(tmp_path / "target")
    with pytest.raises(InvalidConfiguration, match="Set TEMP to a folder of your own"), Lock(tmp_path):
        pass
    assert not (tmp_path / "target").exists()
