"""Text made plain, as TorchServe's text handlers do it: no tags, contractions, accents, punctuation."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator, Sequence
from string import punctuation

_TAG = re.compile(r"<[^>]*>")
_PUNCTUATION = str.maketrans("", "", punctuation)
_APOSTROPHES = str.maketrans({"’": "'", "ʼ": "'", "＇": "'"})

WHOLE = {
    "ain't": "is not", "can't": "cannot", "'cause": "because", "how'd": "how did", "how'd'y": "how do you",
    "let's": "let us", "ma'am": "madam", "o'clock": "of the clock", "shan't": "shall not", "sha'n't": "shall not",
    "won't": "will not", "y'all": "you all",
}  # fmt: skip
"""Contractions that are not what their parts say."""
ENDINGS = {"n't": " not", "'ve": " have", "'re": " are", "'ll": " will", "'d": " would", "'m": " am"}
IS = (
    "he",
    "she",
    "it",
    "that",
    "there",
    "here",
    "this",
    "what",
    "when",
    "where",
    "who",
    "why",
    "how",
    "so",
    "everyone",
)
"""Words after which 's means "is", and no owner."""

_WORD = re.compile(r"(?<!\w)'?\w+(?:'\w+)*(?!\w)")


def without_tags(text: str) -> str:
    """The text without HTML's tags."""
    return _TAG.sub("", text)


def expanded(text: str) -> str:
    """The text with contractions written out: "they don't" → "they do not"."""
    return _WORD.sub(lambda found: _written_out(found[0]), text.translate(_APOSTROPHES))


def _written_out(word: str) -> str:
    key = word.lower()
    if key in WHOLE:
        return WHOLE[key]
    if key.endswith("'s") and key[:-2] in IS:
        return f"{word[:-2]} is"
    ending = next((each for each in ENDINGS if key.endswith(each) and len(key) > len(each)), None)
    return _written_out(word[: -len(ending)]) + ENDINGS[ending] if ending else word


def without_accents(text: str) -> str:
    """The text in ASCII: letters without their accents, and nothing that has no letter in it."""
    return unicodedata.normalize("NFKD", text).encode("ascii", "ignore").decode()


def without_punctuation(text: str) -> str:
    """The text without punctuation marks."""
    return text.translate(_PUNCTUATION)


def words_of(text: str) -> list[str]:
    """The words of a plain text."""
    return text.split()


def ngrams(words: Sequence[str], most: int) -> Iterator[str]:
    """All words, then all pairs of neighbours, and so on up to `most` words in a row, joined by blanks."""
    for count in range(1, most + 1):
        yield from (" ".join(words[start : start + count]) for start in range(len(words) - count + 1))
