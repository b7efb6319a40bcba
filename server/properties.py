"""Java properties as TorchServe's config.properties uses them: text → entries that know their line."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

_ENTRY = re.compile(r"((?:\\.|[^\\=:\s])*)[ \t\f]*[=:]?[ \t\f]*(.*)", re.DOTALL)
_ESCAPE = re.compile(r"\\(?:u([0-9a-fA-F]{4})|(.))", re.DOTALL)
_VARIABLE = re.compile(r"\$\$([^$]+)\$\$")
_CONTROL = {"t": "\t", "n": "\n", "r": "\r", "f": "\f"}


class InvalidConfiguration(Exception):
    """The configuration cannot be used; the message names the key, where it stands and what was expected."""


@dataclass(frozen=True, slots=True)
class Entry:
    """One `key=value` and the line it starts on."""

    key: str
    value: str
    line: int


def parse(text: str, environment: Mapping[str, str], file: object = "") -> list[Entry]:
    """Read properties: `#` and `!` comments, `\\` continuation, escapes, `=` or `:`, $$NAME$$ from the environment.

    Raises: InvalidConfiguration where $$NAME$$ names a variable that is not set, with its line in `file`.
    """
    entries = []
    for line, logical in _logical_lines(text):
        match = _ENTRY.match(logical)
        assert match is not None  # every part of the pattern may be empty
        key, value = (_unescape(part) for part in match.groups())
        entries.append(Entry(key, _substitute(value, environment, f"{file} line {line}".lstrip()), line))
    return entries


def _logical_lines(text: str) -> Iterator[tuple[int, str]]:
    """Join continued lines; skip blank ones and comments."""
    lines = enumerate(re.split(r"\r\n|\r|\n", text), start=1)
    for number, line in lines:
        logical = line.lstrip(" \t\f")
        if not logical or logical[0] in "#!":
            continue
        while _continues(logical):
            logical = logical[:-1] + next(lines, (0, ""))[1].lstrip(" \t\f")
        yield number, logical


def _continues(line: str) -> bool:
    return (len(line) - len(line.rstrip("\\"))) % 2 == 1


def _unescape(text: str) -> str:
    return _ESCAPE.sub(lambda m: chr(int(m[1], 16)) if m[1] else _CONTROL.get(m[2], m[2]), text)


def _substitute(value: str, environment: Mapping[str, str], place: str) -> str:
    def look_up(match: re.Match[str]) -> str:
        if match[1] not in environment:
            raise InvalidConfiguration(f"Invalid Environment Variable {match[1]} ({place}: it is not set)")
        return environment[match[1]]

    return _VARIABLE.sub(look_up, value)
