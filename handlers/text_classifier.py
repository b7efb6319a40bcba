"""TextClassifier: a text in, the probability of each class out."""

from __future__ import annotations

from itertools import accumulate
from typing import Any, NamedTuple

from . import text_cleaning as cleaning
from .context import Context
from .engine_options import AUTO, EngineOptions
from .errors import PredictionException
from .explaining import bag_gradients
from .labels import map_class_to_label
from .library import library_of
from .text import TextHandler, numbers_of, text_in
from .timing import timed


class Texts(NamedTuple):
    """The texts of a batch as the model gets them: all numbers (T) in a line, and where each text begins (N)."""

    numbers: Any
    offsets: Any
    words: list[list[str]]
    """What each number stands for: words and pairs of them."""


class TextClassifier(TextHandler):
    """Answers each text with {label: probability} of all classes, in their order.

    The model is called with the numbers of the words, and of up to `ngrams` in a row, and with offsets, as
    torch.nn.EmbeddingBag takes them; it gives scores (N, classes).
    """

    takes_views = True
    ngrams = 2

    def initialize(self, context: Context) -> None:
        """Load the model and the vocabulary; the model runs eager unless the model's YAML names an executor."""
        super().initialize(context)
        self.context = context
        if EngineOptions.of(context).executor == AUTO:
            self.fast_path.reason = "texts differ in length, and each length would take a plan of its own"

    @timed
    def preprocess(self, data: Any) -> Texts:
        """The numbers of the words of each text."""
        found = [numbers_of(self.tokens(text_in(number, row)), self.source_vocab) for number, row in enumerate(data)]
        library = self.library
        starts = [0, *accumulate(map(len, found))][:-1]
        return Texts(
            library.as_tensor([number for each in found for _, number in each], dtype=library.int64),
            library.as_tensor(starts, dtype=library.int64),
            [[word for word, _ in each] for each in found],
        )

    def tokens(self, text: str) -> list[str]:
        """The words of a text, made plain, and up to `ngrams` of them in a row."""
        plain = self._remove_html_tags(text).lower()
        plain = self._remove_accented_characters(self._expand_contractions(plain))
        return list(cleaning.ngrams(self._tokenize(self._remove_punctuation(plain)), self.ngrams))

    @timed
    def inference(self, data: Texts, *args: Any, **kwargs: Any) -> Any:
        """The scores of the classes."""
        return super().inference(data.numbers, data.offsets, *args, **kwargs)

    @timed
    def postprocess(self, data: Any) -> list[Any]:
        """The scores as probabilities."""
        return map_class_to_label(library_of(data).softmax(data, dim=1).tolist(), self.mapping)

    def get_insights(self, tensor_data: Texts, raw_data: Any, target: Any = 0) -> list[Any]:
        """How much each word, and pair of words, counted for the class `target`: a number from -1 to 1 for each."""
        if getattr(self.model, "embedding", None) is None:
            raise PredictionException("explaining a text takes a model whose first layer is its `embedding`", 501)
        stops = [*tensor_data.offsets.tolist()[1:], len(tensor_data.numbers)]
        parts = zip(tensor_data.offsets.tolist(), stops, tensor_data.words, strict=True)
        return [
            {"importances": bag_gradients(self.model, tensor_data.numbers[start:stop], target).tolist(), "words": words}
            for start, stop, words in parts
        ]
