import builtins
import sys
from pathlib import Path

import pytest
from numserve.handlers import BUILTIN, BaseHandler, HandlerError, load_handler
from numserve.handlers.loading import NOT_YET, FunctionHandler
from numserve.plugins import load

from .conftest import write

ECHO = """
class Echo:
    def initialize(self, context): self.context = context
    def handle(self, data, context): return data
"""
FUNCTION = "calls = []\ndef handle(data, context):\n    calls.append(data)\n    return data\n"


@pytest.mark.parametrize(
    "text", ["handler", "handler.py", "handler:handle", "handler.py:handle", "some/where/handler.py"]
)
def test_a_function_is_called_with_none_and_then_with_batches(tmp_path, context, text) -> None:
    handler = load_handler(text, write(tmp_path, handler=FUNCTION))
    handler.initialize(context)

    assert handler.handle([{"body": 1}], context) == [{"body": 1}]
    assert isinstance(handler, FunctionHandler)
    assert handler.function.__globals__["calls"] == [None, [{"body": 1}]]


def test_a_function_of_another_name(tmp_path, context) -> None:
    folder = write(tmp_path, handler="def entry(data, context): return [1]")

    assert load_handler("handler:entry", folder).handle([{}], context) == [1]


def test_a_class_is_made_without_arguments(tmp_path, context) -> None:
    handler = load_handler("handler.py", write(tmp_path, handler=ECHO))
    handler.initialize(context)

    assert handler.handle([{"body": 1}], context) == [{"body": 1}]
    assert handler.context is context


def test_a_function_named_handle_wins_over_classes(tmp_path, context) -> None:
    folder = write(tmp_path, handler=ECHO + "class Other: pass\ndef handle(data, context): return ['function']")

    assert load_handler("handler", folder).handle([{}], context) == ["function"]


def test_imported_classes_do_not_count(tmp_path, context) -> None:
    folder = write(
        tmp_path, helper="class Helper: pass", handler="from helper import Helper\nfrom pathlib import Path\n" + ECHO
    )

    assert load_handler("handler", folder).handle([1], context) == [1]


def test_a_folder_in_the_text_is_looked_into_first(tmp_path, context) -> None:
    (tmp_path / "src").mkdir()
    write(tmp_path, handler="def handle(data, context): return ['root']")
    write(
        tmp_path / "src",
        handler="from helper import NAME\ndef handle(data, context): return [NAME]",
        helper="NAME = 'src'",
    )

    assert load_handler("src/handler.py:handle", tmp_path).handle([{}], context) == ["src"]


def test_packages_of_the_archive(tmp_path, context) -> None:
    (tmp_path / "parts").mkdir()
    write(
        tmp_path / "parts",
        __init__="",
        steps="from . import more\ndef handle(data, context): return [more.X]",
        more="X = 5",
    )

    assert load_handler("parts.steps", tmp_path).handle([{}], context) == [5]


@pytest.mark.parametrize("name", BUILTIN)
def test_built_in_handlers(tmp_path, name) -> None:
    handler = load_handler(name, tmp_path)

    assert type(handler) is load(BUILTIN[name])
    assert isinstance(handler, BaseHandler)


def test_the_archives_file_wins_over_a_built_in(tmp_path, context) -> None:
    folder = write(tmp_path, image_classifier=FUNCTION)

    assert load_handler("image_classifier", folder).handle([7], context) == [7]


def test_an_installed_module_can_be_the_handler(tmp_path, context, monkeypatch) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (tmp_path / "archive").mkdir()
    monkeypatch.syspath_prepend(write(elsewhere, handler_installed_once=FUNCTION))

    assert load_handler("handler_installed_once", tmp_path / "archive").handle([7], context) == [7]


HERE = "handler.py:1"
MISSING = ModuleNotFoundError
NO_METHOD = "class A:\n    def {}(self, *given): ..."
REFUSED = [  # (files, text, message, cause, where, hint)
    ({"handler": "import transformers"}, "handler", "No module named 'transformers'", MISSING, HERE, "pip install"),
    ({"handler": "import a", "a": "\nimport b"}, "handler", "No module named 'b'", MISSING, "a.py:2", "--extra-files"),
    ({"handler": "from pathlib import Nothing"}, "handler", "cannot import name 'Nothing'", ImportError, HERE, None),
    ({"handler": "\n\ndef handle(:"}, "handler", "SyntaxError", SyntaxError, "handler.py:3", "not valid Python"),
    ({"handler": "def f():\n    1 / 0\nf()"}, "handler", "by zero", ZeroDivisionError, "handler.py:2", None),
    ({"handler": "open('vocab.txt')"}, "handler", "FileNotFoundError", FileNotFoundError, HERE, "vocab.txt is not in"),
    ({"handler": "raise SystemExit(3)"}, "handler", "SystemExit: 3", SystemExit, HERE, None),
    ({"handler": "raise MemoryError"}, "handler", "MemoryError", MemoryError, HERE, "too little memory"),
    ({"handler": "class A: ...\nclass B: ..."}, "handler", r"2 classes \(A, B\)", None, "handler.py", "move the other"),
    ({"handler": "x = 1"}, "handler", "no class and no function 'handle'", None, "handler.py", "write handle(data"),
    ({"handler": "def go(d, c): ..."}, "handler", "no function 'handle'", None, "handler.py", "handler.py:go"),
    ({"handler": "def handle(d): ..."}, "handler", r"handler:handle\(d\) cannot be called with \(data, context\)", None,
     HERE, "called with its context"),
    ({"handler": "class A:\n    def initialize(self): ...\n    def handle(self, d, c): ..."}, "handler",
     r"A.initialize\(\) cannot be called with \(context\)", None, "handler.py:2", "called with its context"),
    ({"handler": "x = 1"}, "handler:run", "no function 'run'", None, "handler.py", None),
    ({"handler": "handle = 3"}, "handler", "handler:handle is a int", None, None, None),
    ({"handler": NO_METHOD.format("handle")}, "handler", "has no method 'initialize'", None, "handler.py", "Base"),
    ({"handler": NO_METHOD.format("initialize")}, "handler", "has no method 'handle'", None, "handler.py", None),
    ({"handler": "class A:\n    def __init__(self, x): ..."}, "handler", "missing 1 required", TypeError, None, None),
    ({"handler": "class A:\n    def __init__(self): self.y"}, "handler", "no attribute 'y'", AttributeError,
     "handler.py:2", None),
    ({"my_handler": "x = 1"}, "my_handlr", "no handler is called 'my_handlr'", None, None, "mean 'my_handler'"),
    ({}, "image_clasifier", "the archive holds no Python files", None, None, "mean 'image_classifier'"),
    ({"json": "def handle(d, c): ..."}, "json", "rename the file", ImportError, None, None),
]  # fmt: skip


@pytest.mark.parametrize(("files", "text", "message", "cause", "where", "hint"), REFUSED)
def test_a_handler_that_cannot_be_loaded_says_why(tmp_path, files, text, message, cause, where, hint) -> None:
    with pytest.raises(HandlerError, match=message) as caught:
        load_handler(text, write(tmp_path, **files))

    error = caught.value
    assert error.phase == "import"
    assert isinstance(error.cause, cause or HandlerError)
    assert error.where == where
    assert (hint or "") in (error.hint or "")


def test_a_decorator_may_take_what_the_function_does_not(tmp_path, context) -> None:
    source = """
import functools
def rows_alone(function):
    @functools.wraps(function)
    def called(data, context):
        return function(data)
    return called
@rows_alone
def handle(data):
    return data
"""
    assert load_handler("handler", write(tmp_path, handler=source)).handle([7], context) == [7]


@pytest.mark.parametrize("name", NOT_YET)
def test_default_handlers_of_later_releases_name_themselves(tmp_path, name) -> None:
    with pytest.raises(HandlerError, match=f"{name} is not available in this release"):
        load_handler(name, tmp_path)


def test_archives_do_not_see_each_others_files(tmp_path, context) -> None:
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        write(
            tmp_path / name,
            handler="from helper import X\ndef handle(data, context): return [X]",
            helper=f"X = {name!r}",
        )

    answers = [load_handler("handler", tmp_path / name).handle([{}], context) for name in ("a", "b", "a")]

    assert answers == [["a"], ["b"], ["a"]]


def test_leaving_a_directory_leaves_nothing_behind(tmp_path) -> None:
    from numserve.handlers.modules import ModelDirectory

    before = list(sys.path), list(sys.path_hooks)
    load_handler("handler", write(tmp_path, handler=FUNCTION))
    assert "handler" in sys.modules
    ModelDirectory.leave()

    assert (list(sys.path), list(sys.path_hooks)) == before
    assert "handler" not in sys.modules
    assert not any(Path(entry).is_relative_to(tmp_path) for entry in sys.path_importer_cache)


def test_the_text_cannot_leave_the_model_directory(tmp_path) -> None:
    (tmp_path / "archive").mkdir()
    write(tmp_path, outside=FUNCTION)

    with pytest.raises(HandlerError, match="no handler is called"):
        load_handler("../outside.py", tmp_path / "archive")


def test_a_folder_outside_is_not_searched(tmp_path, context) -> None:
    (tmp_path / "archive").mkdir()
    write(tmp_path, secret="X = 1")
    write(tmp_path / "archive", handler="def handle(data, context):\n    import secret\n")

    with pytest.raises(ModuleNotFoundError, match="secret"):
        load_handler("../handler.py", tmp_path / "archive").handle([{}], context)


def test_pythons_own_import_stays_as_it_is(tmp_path) -> None:
    before = builtins.__import__
    load_handler("handler", write(tmp_path, handler="import ts\n" + FUNCTION))

    assert builtins.__import__ is before
    assert "ts" not in sys.modules


ASYNC_CLASS = """
import asyncio

class Slow:
    async def initialize(self, context):
        self.loop = asyncio.get_running_loop()

    async def handle(self, data, context):
        assert asyncio.get_running_loop() is self.loop
        return await asyncio.gather(*[self.one(row) for row in data])

    async def one(self, row):
        await asyncio.sleep(0)
        return row
"""


@pytest.mark.parametrize(
    "source",
    [
        ASYNC_CLASS,
        "async def handle(data, context):\n    return data\n",
        "class Half:\n    def initialize(self, context): ...\n    async def handle(self, data, context): return data\n",
    ],
)
def test_an_async_handler_is_waited_for(tmp_path, context, source) -> None:
    handler = load_handler("handler", write(tmp_path, handler=source))
    handler.initialize(context)
    assert [handler.handle(["a", "b"], context) for _ in range(2)] == [["a", "b"]] * 2


def test_an_async_handlers_exception_is_its_own(tmp_path, context) -> None:
    handler = load_handler("handler", write(tmp_path, handler="async def handle(data, context): return data['x']\n"))
    with pytest.raises(KeyError):
        handler.handle({}, context)
