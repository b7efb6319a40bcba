"""Reading the text of a program: Python's parser gives the tree, and nothing of it ever becomes Python's code."""

from __future__ import annotations

import ast
import re
import warnings

from ..errors import FormatError
from ..formats.limits import quote

MOST_TEXT = 1 << 20  # bytes of one archive's code; a large detection model has 0.5 MB
_MOST_WORDS = 150_000  # names and numbers in one file; each takes about a kilobyte as a tree
DEEPEST = 100  # brackets and blocks within one another


def parse(text: bytes, name: str) -> list[ast.stmt]:
    """The statements of one file. Raises: FormatError where it is no program."""
    try:
        source = text.decode("utf-8")
    except UnicodeDecodeError as error:
        raise FormatError(f"{name} is not UTF-8: {error}") from error
    _check_depth(source, name)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return ast.parse(source, "<archive>").body
    except (SyntaxError, ValueError, RecursionError, MemoryError, OverflowError) as error:
        raise FormatError(f"{name} is not a program: {quote(str(error) or type(error).__name__)}") from error


_WORD = re.compile(r"\w+")
_MARKS = re.compile(r"(?:\b\w+)?(?:'(?:[^'\\\n]|\\.)*'|\"(?:[^\"\\\n]|\\.)*\")|[\[({\])}]")
_OPENING, _CLOSING = frozenset("([{"), frozenset(")]}")
_CHAIN = re.compile(r"(?:\.\w+){200}|[-+~]{200}|(?:\bnot\s+){200}|(?:\*\*\s*\w+\s*){200}")


def _check_depth(source: str, name: str) -> None:
    """Refuse what would exhaust the parser's stack before it is given to it."""
    if "\0" in source:
        raise FormatError(f"{name} is not a program: it holds a zero byte")
    if len(_WORD.findall(source)) > _MOST_WORDS:
        raise FormatError(f"{name} has more than {_MOST_WORDS} names and numbers; no model's code has")
    depth = 0
    for match in _MARKS.finditer(source):
        mark = match.group()
        if mark in _OPENING:
            depth += 1
            if depth > DEEPEST:
                raise FormatError(f"{name} nests brackets more than {DEEPEST} deep")
        elif mark in _CLOSING:
            depth = max(depth - 1, 0)
        elif mark[0] not in "'\"":
            raise FormatError(f"{name} has text with a prefix ({quote(mark[:8])}), which is no part of TorchScript")
    if _CHAIN.search(source):
        raise FormatError(f"{name} has an expression that is far too long")
    indents = max((len(line) - len(line.lstrip(" \t")) for line in source.splitlines()), default=0)
    if indents > 4 * DEEPEST:
        raise FormatError(f"{name} nests blocks more than {DEEPEST} deep")


def chain(node: ast.expr) -> list[str] | None:
    """The names of a.b.c; None where it does not begin with a name."""
    names: list[str] = []
    while isinstance(node, ast.Attribute):
        names.append(node.attr)
        node = node.value
    if not isinstance(node, ast.Name):
        return None
    return [node.id, *reversed(names)]
