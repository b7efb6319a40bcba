"""The soak (row 50), in short: that it ends well, and so that it can be trusted in full."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

SOAK = Path(__file__).parents[2] / "benchmarks" / "soak.py"


@pytest.mark.slow
def test_a_short_soak_is_clean():
    """Row 50: half a minute of mixed traffic with faults."""
    command = [sys.executable, str(SOAK), "--minutes", "0.5", "--clients", "8"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stdout + done.stderr
