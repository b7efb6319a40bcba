"""What the Open Inference Protocol tells of the server and of a model, by HTTP and by gRPC."""

from __future__ import annotations

from typing import Any

from ... import __version__
from ..registry import ModelRegistry

EXTENSIONS = ["binary_tensor_data", "classification"]
PLATFORM = "numserve_handler"


def server_metadata() -> dict[str, Any]:
    """What serves here, and which extensions of the protocol it has."""
    return {"name": "numserve", "version": __version__, "extensions": EXTENSIONS}


def model_metadata(registry: ModelRegistry, name: str, version: str | None) -> dict[str, Any]:
    """A model's versions, inputs and outputs. Raises: ModelNotFound, ModelVersionNotFound."""
    model = registry.get(name, version)
    versions = [each.version for each in registry.versions(name)]
    return {"name": name, "versions": versions, "platform": PLATFORM, **model.signature()}
