"""What a worker sees of the server's environment."""

from __future__ import annotations

import re
from collections.abc import Mapping

THREAD_VARIABLES = (
    "OMP_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "MKL_NUM_THREADS",
    "BLIS_NUM_THREADS",
    "VECLIB_MAXIMUM_THREADS",
    "NUMEXPR_NUM_THREADS",
)
"""Read by numeric libraries once, when they are loaded."""

SECRETS = {"NUMSERVE_TOKEN", "NUMSERVE_TOKENS"}
"""Variables that no worker sees."""


def environment_of(environment: Mapping[str, str], hidden: str | None, threads: int = 1) -> dict[str, str]:
    """What a worker sees of `environment`, and how many threads its libraries use unless that says so already.

    `hidden` is a pattern of names that it does not see.
    """
    pattern = re.compile(hidden or r"(?!)")
    seen = {n: value for n, value in environment.items() if n not in SECRETS and not pattern.fullmatch(n)}
    return dict.fromkeys(THREAD_VARIABLES, str(threads)) | seen
