"""Build the native kernels beside their sources: python -m numserve.engine.executors.native.build, for clones."""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

SOURCES = ("library.c", "pool.c", "kernels_avx512.c", "kernels_avx2.c", "kernels_portable.c")
FLAGS = ("-std=gnu11", "-O3", "-ffp-contract=fast", "-fno-math-errno", "-fvisibility=hidden", "-pthread")


def build(into: Path, extra: Sequence[str] = (), compiler: str | None = None) -> Path:
    """Compile the kernels to a library in a folder, with the compiler of $CC unless one is named.

    Raises: OSError where there is no compiler, CalledProcessError where it fails.
    """
    here = Path(__file__).parent
    target = into / "_kernels.so"
    partial = target.with_suffix(f".{os.getpid()}.part")
    command = [*shlex.split(compiler or os.environ.get("CC", "cc")), *FLAGS, *extra, "-fPIC", "-shared"]
    subprocess.run([*command, "-o", str(partial), *(str(here / name) for name in SOURCES), "-lm"], check=True)
    os.replace(partial, target)  # at once, as another process may be loading it
    return target


def main() -> int:
    """Build beside the sources; without a compiler say so and leave the NumPy executor to serve."""
    try:
        print(build(Path(__file__).parent))
    except (OSError, subprocess.CalledProcessError) as error:
        print(f"native kernels not built, the NumPy executor will serve: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
