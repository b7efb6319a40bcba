"""Where tensors live: always in main memory, under PyTorch's names for it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from .errors import DeviceError


@dataclass(frozen=True, slots=True, init=False, repr=False)
class device:
    """A device by name, as "cpu" or "cuda:0"; tensors can be on "cpu" alone. Source: torch.device."""

    type: str
    index: int | None

    def __init__(self, type: str | device, index: int | None = None) -> None:
        name, _, number = str(type).partition(":")
        object.__setattr__(self, "type", name)
        object.__setattr__(self, "index", int(number) if number else index)

    def __str__(self) -> str:
        return self.type if self.index is None else f"{self.type}:{self.index}"

    def __repr__(self) -> str:
        return (
            f"device(type='{self.type}')" if self.index is None else f"device(type='{self.type}', index={self.index})"
        )


CPU = device("cpu")


def require_cpu(where: Any) -> None:
    """Refuse every device but the CPU; None stands for it."""
    if where is not None and device(where).type != "cpu":
        raise DeviceError(f"device {str(where)!r}: this engine computes on the CPU alone; use 'cpu'")
