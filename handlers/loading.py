"""From the manifest's handler text to a handler: the archive's file, an installed module, or a built-in."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from difflib import get_close_matches
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

from ..plugins import PluginNotFound, resolve
from .context import Context
from .errors import HandlerError
from .modules import ModelDirectory, list_classes_from_module

if TYPE_CHECKING:
    from .base import Handler
    from .waiting import EventLoop

BUILTIN = {
    "base_handler": "numserve.handlers.base:BaseHandler",
    "image_classifier": "numserve.handlers.image_classifier:ImageClassifier",
    "image_segmenter": "numserve.handlers.image_segmenter:ImageSegmenter",
    "object_detector": "numserve.handlers.object_detector:ObjectDetector",
    "tensor": "numserve.handlers.tensor:TensorHandler",
    "text_classifier": "numserve.handlers.text_classifier:TextClassifier",
}
NOT_YET = (
    "dali_image_classifier",
    "densenet_handler",
    "text_handler",
    "trt_llm_handler",
    "vllm_handler",
)


class FunctionHandler:
    """A module's function as a handler: called with None once, then with each batch."""

    def __init__(self, function: Callable[[Any, Context], Any]) -> None:
        self.function = function

    def initialize(self, context: Context) -> None:
        """Call the function without data, so that it can load its model."""
        self.function(None, context)

    def handle(self, rows: list[dict[str, Any]], context: Context) -> Any:
        """Call the function with a batch."""
        return self.function(rows, context)


def load_handler(text: str, model_dir: Path) -> Handler:
    """Return the handler that a manifest's text names; its modules are those of `model_dir`.

    "file.py", "file" and "folder/file.py" name a file of the archive, or else an installed module or a built-in
    handler; ":function" behind it chooses a function, `handle` otherwise. A module without that function must define
    exactly one class.

    Raises: HandlerError with the original exception, and with the user's file and line.
    """
    module_part, _, function = text.partition(":")
    folder, _, name = module_part.removesuffix(".py").rpartition("/")
    try:
        module = _module(name, folder, ModelDirectory.enter(model_dir))
        handler = _builtin(text, model_dir) if module is None else _handler(module, function or "handle")
    except (Exception, SystemExit) as error:
        raise HandlerError.wrap(error, "import", model_dir) from error
    return handler


def _module(name: str, folder: str, directory: ModelDirectory) -> ModuleType | None:
    if directory.find(name, folder) or directory.find(name):
        return directory.load(name, folder)
    return import_module(name) if name not in BUILTIN and _installed(name) else None


def _installed(name: str) -> bool:
    try:
        return find_spec(name) is not None
    except (ImportError, ValueError):
        return False


def _handler(module: ModuleType, function: str) -> Handler:
    entry = getattr(module, function, None)
    if entry is not None:
        usable = _usable(entry, f"{module.__name__}:{function}")
        return FunctionHandler(_event_loop().plain(usable) if inspect.iscoroutinefunction(usable) else usable)
    classes = list_classes_from_module(module)
    if len(classes) != 1:
        raise _no_entry(module, function, classes)
    return _instance(classes[0], module)


def _no_entry(module: ModuleType, function: str, classes: list[type[Any]]) -> HandlerError:
    """Why a module gives no handler, and how it would."""
    name = _file(module)
    found = f"{len(classes)} classes ({', '.join(kind.__name__ for kind in classes)})" if classes else "no class"
    own = [entry for entry, value in vars(module).items() if inspect.isfunction(value) and _is_own(value, module)]
    advice = [f"name the function: {name}:{own[0]}"] if own else []
    advice += ["move the other classes to a file of their own"] if classes else ["write handle(data, context) in it"]
    return HandlerError(
        f"{name} defines {found} and no function {function!r}; expected such a function, or exactly one class",
        where=name,
        hint=", or ".join(advice),
    )


def _is_own(function: Any, module: ModuleType) -> bool:
    return bool(function.__module__ == module.__name__)


def _instance(kind: type[Any], module: ModuleType) -> Handler:
    handler: Handler = kind()
    for method in ("initialize", "handle"):
        if not hasattr(handler, method):
            raise HandlerError(
                f"class {kind.__name__} has no method {method!r}; a handler has initialize(context) and"
                f" handle(data, context)",
                where=_file(module),
                hint="derive it from BaseHandler, or write the method",
            )
    _usable(handler.handle, f"{kind.__name__}.handle")
    _takes(handler.initialize, f"{kind.__name__}.initialize", "context")
    awaited = [name for name in ("initialize", "handle") if inspect.iscoroutinefunction(getattr(handler, name))]
    if awaited:
        loop = _event_loop()
        for name in awaited:
            setattr(handler, name, loop.plain(getattr(handler, name)))
    return handler


def _usable(entry: Any, name: str) -> Callable[[Any, Context], Any]:
    if not callable(entry):
        raise HandlerError(f"{name} is a {type(entry).__name__}; expected a function of (data, context)")
    function: Callable[[Any, Context], Any] = entry
    _takes(function, name, "data", "context")
    return function


def _takes(function: Callable[..., Any], name: str, *arguments: str) -> None:
    """Refuse a function that cannot be called with so many arguments; a decorator's own signature is what counts."""
    try:
        signature = inspect.signature(function, follow_wrapped=False)
    except (TypeError, ValueError):
        return  # one of C, say, which tells nothing of its arguments
    try:
        signature.bind(*arguments)
    except TypeError as error:
        code = getattr(inspect.unwrap(function), "__code__", None)
        raise HandlerError(
            f"{name}{signature} cannot be called with ({', '.join(arguments)}): {error}",
            where=code and f"{Path(code.co_filename).name}:{code.co_firstlineno}",
            hint="a handler is called with its context, and handle with the rows before it",
        ) from None


def _event_loop() -> EventLoop:
    from .waiting import EventLoop  # asyncio is slow to import, and few handlers need it

    return EventLoop()


def _builtin(text: str, model_dir: Path) -> Handler:
    if text in NOT_YET:
        raise HandlerError(
            f"the default handler {text} is not available in this release; there are: {', '.join(BUILTIN)}",
            hint="pack a handler of your own with the archive, or derive one from BaseHandler",
        )
    try:
        handler: Handler = resolve("handlers", text, BUILTIN)()
    except PluginNotFound as error:
        raise HandlerError(
            f"no handler is called {text!r}: the archive holds {_listing(model_dir)}; the default handlers are"
            f" {', '.join(BUILTIN)}",
            hint=_suggestion(text, model_dir),
        ) from error
    return handler


def _suggestion(text: str, model_dir: Path) -> str:
    known = [*BUILTIN, *(path.stem for path in model_dir.glob("*.py"))]
    near = get_close_matches(text.partition(":")[0].removesuffix(".py"), known, n=1)
    return f"did you mean {near[0]!r}?" if near else "pack the handler's file with the archive: --handler my_handler.py"


def _listing(model_dir: Path) -> str:
    return ", ".join(sorted(path.name for path in model_dir.glob("*.py"))) or "no Python files"


def _file(module: ModuleType) -> str:
    return Path(module.__file__).name if module.__file__ else module.__name__
