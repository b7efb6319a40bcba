"""prepare(), what happens between a handler's initialize() and its first batch: plans are made, where that is possible.

The shapes of the inputs are those that the model's YAML declares (`engine.inputs`), or that its sample request has
(`engine.sample`), or that the handler knows by itself. Without any of these, the first request says them.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from .base import BaseHandler, Handler
from .context import Context
from .engine_options import EngineOptions
from .envelopes import EnvelopedHandler
from .errors import HandlerError

logger = logging.getLogger(__name__)

TEXTS = (".txt", ".csv", ".html", ".xml")


def prepare(handler: Handler, context: Context, options: EngineOptions | None = None) -> None:
    """Have a handler's model compiled before the first request, where its inputs are known by then.

    `options` stand in for those of the model's YAML.
    Raises: HandlerError where the `engine` section of the model's YAML is wrong; nothing for the model's sake.
    """
    options = options or EngineOptions.of(context)
    if options.sample:
        _send(handler, context, options.sample)
    base = with_model(handler)
    if base is None:
        return
    base.context = context
    declared = tuple(each.example() for each in options.inputs)
    base.fast_path.prepare(declared or _known(base, options), batches_of(options, context))
    if base.fast_path.problem and declared:
        logger.warning("engine.inputs: the model cannot be compiled for them: %s", base.fast_path.problem)


def batches_of(options: EngineOptions, context: Context) -> Sequence[int]:
    """The sizes of batches that plans are made for at the start: those named, or one row and a full batch."""
    return options.batches or sorted({1, int(context.system_properties["batch_size"] or 1)})


def engine_of(handler: Handler) -> dict[str, Any] | None:
    """What there is to tell about the engine's part in a handler; None where it has none."""
    base = with_model(handler)
    return base.fast_path.describe() if base else None


def _known(handler: BaseHandler, options: EngineOptions) -> tuple[Any, ...]:
    """What the handler knows of the model's inputs; nothing where it has seen some, or calls the model in its way."""
    if options.sample or type(handler).inference is not BaseHandler.inference:
        return ()
    return handler.example_inputs()


def with_model(handler: Handler) -> BaseHandler | None:
    """The handler inside its envelope, where it is one of ours and has a model."""
    inner = handler.handler if isinstance(handler, EnvelopedHandler) else handler
    return inner if isinstance(inner, BaseHandler) and getattr(inner, "model", None) is not None else None


def _send(handler: Handler, context: Context, name: str) -> None:
    """Answer the archive's sample as if it were a request; its answer and what it measures are dropped."""
    path = Path(context.system_properties["model_dir"], name)
    if not path.is_file():
        raise HandlerError(f"engine.sample: the archive does not hold {name}; pack it with --extra-files")
    context.begin(["sample"], [{}])
    try:
        handler.handle([{"body": _body(path)}], context)
    except Exception:  # a border: the user's code
        logger.exception("engine.sample: %s cannot be answered", name)
    finally:
        context.metrics.drain()


def _body(path: Path) -> Any:
    """What a handler gets for a request with this content: as for JSON, text and bytes."""
    if path.suffix == ".json":
        return json.loads(path.read_bytes())
    return path.read_text() if path.suffix in TEXTS else bytearray(path.read_bytes())
