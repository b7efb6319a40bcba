"""Private folders: nobody sweeps one that is in use, and somebody does when its server is gone."""

import os
import subprocess
import sys

import pytest
from numserve.server import scratch
from numserve.server.scratch import PREFIX, Scratch, sweep

HOLD = """
import sys, time
from pathlib import Path
from numserve.server.scratch import Scratch
print(Scratch(Path(sys.argv[1])).path, flush=True)
time.sleep(60)
"""


def test_a_folder_in_use_stays_and_one_of_a_killed_process_goes(tmp_path):
    ours = Scratch(tmp_path)
    with subprocess.Popen([sys.executable, "-c", HOLD, str(tmp_path)], stdout=subprocess.PIPE, text=True) as other:
        theirs = tmp_path / other.stdout.readline().strip()
        (theirs / "model").mkdir()
        (theirs / "model" / "weights").write_bytes(b"x")
        assert sweep(tmp_path) == 0 and theirs.is_dir()
        other.kill()
    assert sweep(tmp_path) == 1
    assert [*tmp_path.iterdir()] == [ours.path]
    ours.close()
    assert not ours.path.exists()


def test_a_folder_is_private_and_leaves_no_descriptor(tmp_path):
    before = len(os.listdir("/proc/self/fd"))
    ours = Scratch(tmp_path)
    assert ours.path.stat().st_mode & 0o777 == 0o700
    ours.close()
    ours.close()
    assert len(os.listdir("/proc/self/fd")) == before


def test_what_is_no_folder_of_ours_stays(tmp_path, monkeypatch):
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / f"{PREFIX}link").symlink_to(tmp_path / "elsewhere")
    (tmp_path / f"{PREFIX}file").touch()
    (tmp_path / "numserve-doctor-1").mkdir()
    (tmp_path / f"{PREFIX}other").mkdir()
    monkeypatch.setattr(os, "geteuid", lambda: os.getuid() + 1)
    assert sweep(tmp_path) == 0
    assert len([*tmp_path.iterdir()]) == 5


@pytest.mark.parametrize("when", ["mkdtemp", "flock"])
def test_one_that_is_swept_before_it_is_locked_is_made_again(tmp_path, monkeypatch, when):
    """Another server starts at that very moment."""
    module = scratch.tempfile if when == "mkdtemp" else scratch.fcntl
    original, swept = getattr(module, when), []

    def interrupted(*given, **named):
        if when == "mkdtemp":
            made = original(*given, **named)
            if not swept:
                swept.append(os.rmdir(made))
            return made
        if not swept:
            swept.append(os.rmdir(os.readlink(f"/proc/self/fd/{given[0]}")))
        return original(*given, **named)

    monkeypatch.setattr(module, when, interrupted)
    ours = Scratch(tmp_path)
    assert swept and ours.path.is_dir()
    ours.close()
