"""Reading the text of a program: Python's parser gives the tree, and nothing of it ever becomes Python's code."""

from __future__ import annotations

import ast
import re
import warnings

import numpy as np

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
    _check_depth(text, name)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return ast.parse(source, "<archive>").body
    except (SyntaxError, ValueError, RecursionError, MemoryError, OverflowError) as error:
        raise FormatError(f"{name} is not a program: {quote(str(error) or type(error).__name__)}") from error


_NUMBER = re.compile(rb"  \w+ : Final\[int\] = (0|[1-9]\d{,17})")
_OWN = re.compile(
    rb"(\n  (?:(?:\w+ : |def \w+\(self: )(?=__torch__)|\w+ : Final\[int\] = (?=\d)))"
    rb"(?:__torch__\.[\w.]+|(?:0|[1-9]\d{,17})(?=\n))"
)
_OTHERWISE = (b"\ndef ", b"\nasync ", b'"""', b"'''", b"\\\n", b"\r", b"\f")


def outline(text: bytes) -> bytes:
    """The text of a class's file without the names of classes that its attributes and self are of, and its numbers.

    PyTorch writes a file for each class that it has met, many alike but for these. Where outlines are equal, so are the
    trees of the files, line by line, but for the numbers, which number_on() tells.
    """
    if not text.startswith(b"class ") or any(sign in text for sign in _OTHERWISE):
        return text
    return _OWN.sub(rb"\1", text)


def number_on(line: bytes) -> int | None:
    """The number that a line of a class declares, where an outline leaves it out."""
    match = _NUMBER.fullmatch(line)
    return int(match[1]) if match else None


_WORD = re.compile(r"\w+")
_QUOTED = re.compile(rb"'(?:[^'\\\n]|\\.)*'|\"(?:[^\"\\\n]|\\.)*\"")
_CHAIN = re.compile(r"(?:\.\w+){200}|[-+~]{200}|(?:\bnot\s+){200}|(?:\*\*\s*\w+\s*){200}")
_LONG = 200  # parts of a chain, and so the least bytes of a line that holds one of names or signs
_STEPS = np.zeros(256, np.int32)
_STEPS[list(b"([{")], _STEPS[list(b")]}")] = 1, -1
_NO_BRACKETS = bytes(byte for byte in range(256) if not _STEPS[byte])


def _check_depth(text: bytes, name: str) -> None:
    """Refuse what would exhaust the parser's stack before it is given to it.

    Programs come in hundreds of files, nearly all of which show by a few counts that nothing in them is deep.
    """
    if b"\0" in text:
        raise FormatError(f"{name} is not a program: it holds a zero byte")
    if len(text) > 2 * _MOST_WORDS and len(_WORD.findall(text.decode())) > _MOST_WORDS:
        raise FormatError(f"{name} has more than {_MOST_WORDS} names and numbers; no model's code has")
    if _depth(_unquoted(text, name).translate(None, _NO_BRACKETS)) > DEEPEST:
        raise FormatError(f"{name} nests brackets more than {DEEPEST} deep")
    long = [line for line in text.splitlines() if len(line) >= _LONG]
    spread = max(text.count(b"not"), text.count(b"**")) >= _LONG  # chains that go on from line to line
    if (long or spread) and _CHAIN.search((text if spread else b"\n".join(long)).decode()):
        raise FormatError(f"{name} has an expression that is far too long")
    if any(len(line) - len(line.lstrip(b" \t\f")) > 4 * DEEPEST for line in long):
        raise FormatError(f"{name} nests blocks more than {DEEPEST} deep")


def _unquoted(text: bytes, name: str) -> bytes:
    """The program without what is in quotes."""
    if b'"' not in text and b"'" not in text:
        return text
    pieces = _QUOTED.split(text)
    for piece in pieces[:-1]:
        last = piece[-1:]
        if last.isalnum() or last == b"_":
            prefix = quote(piece[-8:].decode(errors="replace"))
            raise FormatError(f"{name} has text with a prefix (… {prefix}), which is no part of TorchScript")
    return b"".join(pieces)


def _depth(brackets: bytes) -> int:
    """How deep brackets are within one another, or how many there are where that is few; a closing one may be alone."""
    if len(brackets) <= DEEPEST:
        return len(brackets)
    height = np.cumsum(_STEPS[np.frombuffer(brackets, np.uint8)])
    return int((height - np.minimum(np.minimum.accumulate(height), 0)).max())


def chain(node: ast.expr) -> list[str] | None:
    """The names of a.b.c; None where it does not begin with a name."""
    names: list[str] = []
    while isinstance(node, ast.Attribute):
        names.append(node.attr)
        node = node.value
    if not isinstance(node, ast.Name):
        return None
    return [node.id, *reversed(names)]
