"""prepare(), what happens between a handler's initialize() and its first batch: plans are made, where that is possible.

The shapes of the inputs are those that the model's YAML declares (`engine.inputs`), or that its sample request has
(`engine.sample`), or that the handler knows by itself. Without any of these, the first request says them.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Sequence
from math import inf
from pathlib import Path
from typing import Any

from ..engine import formats, nn
from ..engine.batches import powers_of_two
from ..engine.sharing import share_in
from .base import BaseHandler, Handler
from .context import Context
from .engine_options import EngineOptions
from .envelopes import EnvelopedHandler
from .errors import HandlerError
from .fast_forward import FastForward, attach
from .fast_path import FastPath, stored_choices

logger = logging.getLogger(__name__)

SECONDS = 20.0
"""What making plans may take where the model's YAML does not say for which batches."""
SHARED = ".numserve-weights"
"""Where the workers of a model keep what they have in common."""
TEXTS = (".txt", ".csv", ".html", ".xml")


def prepare(handler: Handler, context: Context, options: EngineOptions | None = None) -> None:
    """Have a handler's model compiled before the first request, where its inputs are known by then.

    `options` stand in for those of the model's YAML.
    Raises: HandlerError where the `engine` section of the model's YAML is wrong; nothing for the model's sake.
    """
    options = options or EngineOptions.of(context)
    inner = inside(handler)
    path = path_of(inner, context)
    if options.sample:
        _send(handler, context, options.sample)
    if path is None:
        return
    path.format = _format_of(context)
    declared = tuple(each.example() for each in options.inputs)
    seconds = inf if options.batches else SECONDS
    path.prepare(declared or _known(inner, options), batches_of(options, context), seconds)
    if path.problem and declared:
        logger.warning("engine.inputs: the model cannot be compiled for them: %s", path.problem)


def share_weights(model_dir: Path, several: bool = True) -> None:
    """Have what the engine makes of the weights in common with other processes that serve the model of this folder.

    Where there are not `several` at once, the one after this finds what is known of the files alone: it takes no space.
    """
    share_in(model_dir / SHARED, arrays=several)


def batches_of(options: EngineOptions, context: Context) -> Sequence[int]:
    """The sizes of batches that plans are made for at the start: those named, or 1, 2, 4, … up to a full batch."""
    full = int(context.system_properties["batch_size"] or 1)
    return options.batches or sorted({*powers_of_two(full), full})


def engine_of(handler: Handler) -> dict[str, Any] | None:
    """What there is to tell about the engine's part in a handler; None where it has none."""
    path = path_of(inside(handler))
    return path.describe() if path else None


def inside(handler: Handler) -> Handler:
    """The handler inside its envelope, if it is in one."""
    return handler.handler if isinstance(handler, EnvelopedHandler) else handler


def path_of(handler: Handler, context: Context | None = None) -> FastPath | None:
    """What runs the `model` of a handler, of whatever class; with a context made where there is none yet."""
    model = getattr(handler, "model", None)
    if isinstance(handler, BaseHandler) and model is not None:
        handler.context = context or handler.context
        return handler.fast_path
    if not isinstance(model, nn.Module):
        return None
    forward = FastForward.of(model)
    if forward is None and context is not None:
        return attach(FastPath(model, EngineOptions.of(context), stored_choices(context)))
    return forward.path if forward else None


def require_path(handler: Handler, context: Context) -> FastPath:
    """What runs the model of a handler. Raises: HandlerError where it has none."""
    path = path_of(inside(handler), context)
    if path is None:
        raise HandlerError("the handler has no attribute `model` with a model of the engine's")
    return path


def run_by(handler: Handler, path: FastPath) -> None:
    """Have a handler's model run by this path instead of its own."""
    if isinstance(handler, BaseHandler):
        handler.fast_path = path
    else:
        attach(path)


def _format_of(context: Context) -> str:
    """What the archive's serialized file is, as the engine's readers call it; "" where it has none."""
    name = ((context.manifest or {}).get("model") or {}).get("serializedFile")
    path = Path(context.system_properties["model_dir"], name or "")
    return formats.detect(path) if name and path.is_file() and path.stat().st_size else ""


def _known(handler: Handler, options: EngineOptions) -> tuple[Any, ...]:
    """What the handler knows of the model's inputs; nothing where it has seen some, or calls the model in its way."""
    own = not isinstance(handler, BaseHandler) or type(handler).inference is not BaseHandler.inference
    return () if own or options.sample else handler.example_inputs()  # type: ignore[attr-defined]


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
