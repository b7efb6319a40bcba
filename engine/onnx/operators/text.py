"""Operators on texts, which no graph can hold: they run eager."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from ...errors import FormatError
from ..calls import Call
from ..items import Item, known
from .table import operator


def _texts(values: list[Any], shape: tuple[int, ...]) -> np.ndarray:
    result = np.empty(len(values), object)
    result[:] = values
    return result.reshape(shape)


@operator("StringConcat")
def string_concat(at: Call, a: Item, b: Item) -> Item:
    """Texts joined one by one."""

    def joined(first: np.ndarray, second: np.ndarray) -> np.ndarray:
        pairs = np.broadcast(first, second)
        return _texts([str(x) + str(y) for x, y in pairs], pairs.shape)

    return known(at.hosted(joined, a, b))


@operator("StringSplit")
def string_split(at: Call, x: Item) -> tuple[Item, Item]:
    """Texts cut at a delimiter, or at white space; each row filled up with empty ones."""
    delimiter, most = at.text("delimiter", "") or None, at.integer("maxsplit", -1)

    def cut(values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        rows = [str(v).split(delimiter, most) if delimiter or str(v) else [] for v in values.reshape(-1)]
        longest = max(map(len, rows), default=0)
        filled = [part for row in rows for part in (*row, *[""] * (longest - len(row)))]
        return _texts(filled, (*values.shape, longest)), np.array([len(r) for r in rows]).reshape(values.shape)

    parts, counts = at.hosted(cut, x)
    return known(parts), at.constant(counts.astype(np.int64))


_CASES: dict[str, Callable[[str], str]] = {"NONE": str, "LOWER": str.lower, "UPPER": str.upper}


@operator("StringNormalizer")
def string_normalizer(at: Call, x: Item) -> Item:
    """Texts without stop words, in lower or upper case."""
    change = at.text("case_change_action", "NONE")
    if change not in _CASES:
        raise FormatError(f"case_change_action {change!r}; expected one of {', '.join(_CASES)}")
    exact, stops = at.flag("is_case_sensitive"), at.texts("stopwords", ())
    same: Callable[[str], str] = str if exact else str.lower
    gone = {same(word) for word in stops}

    def normal(values: np.ndarray) -> np.ndarray:
        rows = values.reshape(-1, values.shape[-1]) if values.ndim else values.reshape(1, 1)
        kept = [_CASES[change](str(v)) for v in rows.reshape(-1) if same(str(v)) not in gone] or [""]
        return _texts(kept, (*values.shape[:-1], -1) if values.ndim < 2 else (1, len(kept)))

    return known(at.hosted(normal, x))


@operator("TfIdfVectorizer")
def tf_idf_vectorizer(at: Call, x: Item) -> Item:
    """How often each of a list of phrases stands in a row, counted, marked or weighed."""
    mode, skips = at.text("mode"), at.integer("max_skip_count")
    shortest, longest = at.integer("min_gram_length"), at.integer("max_gram_length")
    starts, places = at.integers("ngram_counts"), at.integers("ngram_indexes")
    pool = at.integers("pool_int64s", None) or at.texts("pool_strings")
    weights = at.numbers("weights", None) or (1.0,) * len(places)
    phrases: dict[tuple[Any, ...], int] = {}
    for length, (start, end) in enumerate(zip(starts, (*starts[1:], len(pool)), strict=True), 1):
        for n in range(start, end, length):
            phrases[tuple(pool[n : n + length])] = len(phrases)

    def counted(values: np.ndarray) -> np.ndarray:
        rows = values.reshape(-1, values.shape[-1]) if values.ndim > 1 else values.reshape(1, -1)
        out = np.zeros((len(rows), max(places, default=-1) + 1), np.float32)
        for row, words in zip(out, rows.tolist(), strict=True):
            for length in range(shortest, longest + 1):
                for gap in range(1, skips + 2 if length > 1 else 2):
                    for first in range(len(words) - gap * (length - 1)):
                        found = phrases.get(tuple(words[first : first + gap * (length - 1) + 1 : gap]))
                        if found is not None:
                            row[places[found]] += 1
        factors = np.zeros(out.shape[1], np.float32)
        factors[list(places)] = weights
        if mode == "IDF":
            out = (out > 0) * factors
        elif mode == "TFIDF":
            out = out * factors
        return np.asarray(out, np.float32).reshape(*values.shape[:-1], -1)

    return at.constant(at.hosted(counted, x))
