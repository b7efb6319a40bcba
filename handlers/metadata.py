"""metadata_of(): what a handler, or its model's YAML file, says of the tensors that come and go."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

SECTION = "signature"


def metadata_of(handler: Any, document: Mapping[Any, Any]) -> dict[str, Any] | None:
    """The tensors that a handler takes and gives, by its own tensor_metadata(), else by the YAML's `signature`."""
    inner = getattr(handler, "handler", handler)
    tell: Any = getattr(inner, "tensor_metadata", None)
    if callable(tell):
        told: dict[str, Any] = tell()
        return told
    if SECTION not in document:
        return None
    from .engine_options import EngineOptions  # the engine, which few others need that ask this
    from .signature import Signature

    return Signature.of(None, document, EngineOptions()).describe()
