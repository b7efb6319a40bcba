"""Tethers: processes that the kernel ends with the server, however it ends.

    python -m numserve.server.workers.tether PARENT COMMAND …

runs a command that ends with its parent, and all that it has started with it, unless that has left its session.
"""

from __future__ import annotations

import ctypes
import os
import signal
import subprocess
import sys

PR_SET_PDEATHSIG = 1  # linux/prctl.h


def die_with(parent: int, by: signal.Signals = signal.SIGKILL) -> None:
    """Have the kernel send this process a signal when the server's process ends, however it ends."""
    ctypes.CDLL(None, use_errno=True).prctl(PR_SET_PDEATHSIG, by, 0, 0, 0)
    if os.getppid() != parent:
        raise SystemExit("the server has ended already")


def main() -> None:
    """Run the command, as the leader of a session, and end as it does."""
    parent, *command = sys.argv[1:]
    signal.signal(signal.SIGTERM, lambda *_: os.killpg(0, signal.SIGKILL))
    die_with(int(parent), signal.SIGTERM)
    code = subprocess.run(command).returncode
    sys.exit(code if code >= 0 else 128 - code)


if __name__ == "__main__":
    main()
