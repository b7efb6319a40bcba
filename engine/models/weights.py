"""What the model functions do when asked for trained weights: nothing is downloaded."""

from __future__ import annotations

from typing import Any

from ..errors import EngineError


def refuse_weights(name: str, weights: Any, pretrained: Any) -> None:
    """Raise EngineError where a model was asked for with trained weights."""
    asked = weights or pretrained
    if asked:
        raise EngineError(
            f"{name}: asked for the weights {asked!r}, but nothing is downloaded; build the model without them and "
            "give it a checkpoint file: model.load_state_dict(numserve.engine.load(path))"
        )


def refuse_both(
    name: str,
    weights: Any,
    weights_backbone: Any = None,
    pretrained: Any = False,
    pretrained_backbone: Any = False,
) -> None:
    """Raise EngineError where a model, or its backbone, was asked for with trained weights."""
    refuse_weights(name, weights, pretrained)
    refuse_weights(f"the backbone of {name}", weights_backbone, pretrained_backbone)
