"""Texts out of rows: TextHandler, the base of the handlers that are given text, and its vocabulary."""

from __future__ import annotations

import json
import reprlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ..engine import formats
from ..engine.errors import EngineError
from . import text_cleaning as cleaning
from .context import Context
from .errors import HandlerError, PredictionException
from .rowwise import RowwiseHandler

VOCABULARY = "source_vocab.pt"
UNKNOWN = "<unk>"
_KEYS = ("data", "body")


class TextHandler(RowwiseHandler):
    """Has `source_vocab`, {token: number}, from the file that the manifest names as sourceVocab, or source_vocab.pt."""

    def __init__(self) -> None:
        super().__init__()
        self.source_vocab: Mapping[str, int] = {}

    def initialize(self, context: Context) -> None:
        """Load the model and the vocabulary. Raises: HandlerError where there is none."""
        super().initialize(context)
        self.source_vocab = load_vocabulary(Path(self.get_source_vocab_path(context)))

    def get_source_vocab_path(self, context: Context) -> str:
        """Where the vocabulary is."""
        entry = (context.manifest or {}).get("model") or {}
        return str(Path(context.system_properties["model_dir"], entry.get("sourceVocab") or VOCABULARY))

    def _remove_html_tags(self, text: str) -> str:
        return cleaning.without_tags(text)

    def _expand_contractions(self, text: str) -> str:
        return cleaning.expanded(text)

    def _remove_accented_characters(self, text: str) -> str:
        return cleaning.without_accents(text)

    def _remove_punctuation(self, text: str) -> str:
        return cleaning.without_punctuation(text)

    def _tokenize(self, text: str) -> list[str]:
        return cleaning.words_of(text)


def load_vocabulary(path: Path) -> Mapping[str, int]:
    """{token: number} from a file of torch.save, a .json file, or a .txt file with a token a line.

    It may hold a list of tokens instead, which are numbered from 0.
    Raises: HandlerError where there is no such file, or it holds anything else.
    """
    if not path.is_file():
        raise HandlerError(
            f"the archive does not hold the vocabulary {path.name}", hint="pack it with --extra-files"
        )  # fmt: skip
    try:
        content = _read(path)
    except (EngineError, ValueError) as error:
        raise HandlerError(
            f"the vocabulary {path.name} cannot be read: {error}",
            hint=f"save its plain dict: torch.save(vocab.get_stoi(), '{VOCABULARY}')",
        ) from error
    if isinstance(content, (list, tuple)):
        content = {token: number for number, token in enumerate(content)}
    if not isinstance(content, Mapping) or not all(isinstance(number, int) for number in content.values()):
        raise HandlerError(f"the vocabulary {path.name} is a {type(content).__name__}; expected {{token: number}}")
    return dict(content)


def _read(path: Path) -> Any:
    if path.suffix == ".json":
        return json.loads(path.read_bytes())
    return path.read_text().splitlines() if path.suffix == ".txt" else formats.load(path)


def numbers_of(tokens: Sequence[str], vocabulary: Mapping[str, int]) -> list[tuple[str, int]]:
    """Each token with its number; unknown ones have that of "<unk>", and are left out where there is no such token."""
    unknown = vocabulary.get(UNKNOWN)
    found = ((token, vocabulary.get(token, unknown)) for token in tokens)
    return [(token, number) for token, number in found if number is not None]


def text_in(number: int, row: Any) -> str:
    """The text of a row, under `data` or `body`. Raises: PredictionException, 503, where there is none."""
    value = row
    while isinstance(value, Mapping):
        value = next((value[key] for key in _KEYS if value.get(key)), None)
    if isinstance(value, (bytes, bytearray, memoryview)):
        try:
            value = bytes(value).decode()
        except UnicodeDecodeError as error:
            raise PredictionException(f"request {number} holds no text in UTF-8: {error}", 503) from error
    if not isinstance(value, str):
        held = reprlib.repr(sorted(row)) if isinstance(row, Mapping) else type(row).__name__
        raise PredictionException(f"request {number}: expected a text under 'data' or 'body', met {held}", 503)
    return value
