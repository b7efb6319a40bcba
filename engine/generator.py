"""Generator, a source of random numbers, and the one that a process uses unless told otherwise."""

from __future__ import annotations

from typing import Any

import numpy as np

from .device import require_cpu


class Generator:
    """A source of random numbers; the numbers are NumPy's, not PyTorch's. Source: torch.Generator."""

    def __init__(self, device: Any = None) -> None:
        require_cpu(device)
        self.numpy = np.random.default_rng()

    def manual_seed(self, seed: int) -> Generator:
        """Begin anew from a seed. Source: torch.Generator.manual_seed."""
        self.numpy = np.random.default_rng(seed % 2**64)
        return self


default_generator = Generator()


def numbers(generator: Generator | None) -> np.random.Generator:
    """NumPy's end of a generator, the process's where there is none."""
    return (generator or default_generator).numpy
