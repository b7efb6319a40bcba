"""torchvision as an oracle, also where its compiled operators are missing.

Its import registers shape rules for operators (nms and others) that a wheel built for another torch cannot bring along;
nothing compared here needs them, so those registrations are passed over while it is imported.
"""

from __future__ import annotations

from collections.abc import Callable
from types import ModuleType
from typing import Any


def torchvision() -> ModuleType:
    """The torchvision module; ModuleNotFoundError where it or torch is not installed."""
    import torch

    register = torch.library.register_fake

    def register_known(name: Any, *rest: Any, **options: Any) -> Callable[..., Any]:
        if isinstance(name, str) and name.startswith("torchvision::"):
            return lambda function: function
        return register(name, *rest, **options)

    torch.library.register_fake = register_known
    try:
        import torchvision as module
    finally:
        torch.library.register_fake = register
    return module
