import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numserve import engine
from numserve.engine import formats
from numserve.engine.models.text_classification import TextClassificationModel
from numserve.handlers import HandlerError, PredictionException, load_handler
from numserve.handlers import text_cleaning as cleaning
from numserve.handlers.text import load_vocabulary, numbers_of

from .conftest import context_for, write

MODEL = """
from numserve.engine.models.text_classification import TextClassificationModel

class Small(TextClassificationModel):
    def __init__(self):
        super().__init__(5, 2, 2)
"""
VOCABULARY = {"<unk>": 0, "good": 1, "bad": 2, "not": 3, "not good": 4}
# The first of a row's two numbers speaks for the class "bad", the second for "good".
TABLE = [[0.0, 0.0], [0.0, 2.0], [2.0, 0.0], [0.5, 0.0], [4.0, 0.0]]


def archive(folder: Path, vocabulary: Any = VOCABULARY, **entries: str) -> Any:
    write(folder, model=MODEL)
    weights = {"embedding.weight": TABLE, "fc.weight": [[1.0, 0.0], [0.0, 1.0]], "fc.bias": [0.0, 0.0]}
    formats.save({name: engine.tensor(values) for name, values in weights.items()}, folder / "weights.pth")
    (folder / "index_to_name.json").write_text(json.dumps({"0": "bad", "1": "good"}))
    if vocabulary is not None:
        formats.save(vocabulary, folder / entries.get("sourceVocab", "source_vocab.pt"))
    return context_for(folder, modelFile="model.py", serializedFile="weights.pth", **entries)


def served(folder: Path, **entries: str) -> Any:
    context = archive(folder, **entries)
    handler = load_handler("text_classifier", folder)
    handler.initialize(context)
    return handler, context


def expected(*numbers: int) -> dict[str, Any]:
    powers = np.exp(np.mean([TABLE[n] for n in numbers], axis=0) if numbers else [0, 0])
    return {name: pytest.approx(p / powers.sum(), rel=1e-5) for name, p in zip(("bad", "good"), powers, strict=True)}


def test_every_class_has_its_probability_in_the_order_of_the_classes(tmp_path: Path) -> None:
    handler, context = served(tmp_path)

    (answer,) = handler.handle([{"data": bytearray(b"Good!")}], context)

    assert list(answer) == ["bad", "good"]
    assert answer == expected(1)


def test_texts_of_a_batch_are_answered_each(tmp_path: Path) -> None:
    handler, context = served(tmp_path)
    rows = [{"body": "Good"}, {"body": "<b>It isn't good</b>"}, {"body": "..."}, {"body": {"data": "bad, bad"}}]

    answers = handler.handle(rows, context)

    assert answers == [expected(1), expected(0, 0, 3, 1, 0, 0, 4), expected(), expected(2, 2, 0)]


def test_pairs_of_words_count_too_up_to_ngrams(tmp_path: Path) -> None:
    handler, context = served(tmp_path)
    handler.ngrams = 1

    assert handler.handle([{"data": "not good"}], context) == [expected(3, 1)]


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ({"data": b"\xff\xfe"}, "request 0 holds no text in UTF-8"),
        ({"body": [1, 2]}, r"request 0: expected a text under 'data' or 'body', met \['body'\]"),
        ({}, r"expected a text under 'data' or 'body', met \[\]"),
    ],
)
def test_what_is_no_text_is_refused_alone(tmp_path: Path, row: Any, message: str) -> None:
    handler, context = served(tmp_path)

    with pytest.raises(PredictionException, match=message):
        handler.handle([row], context)
    refused, answered = handler.handle([row, {"data": "good"}], context)
    assert refused.error_code == 503 and answered == expected(1)


def test_the_words_are_explained_by_their_share_in_the_score(tmp_path: Path) -> None:
    handler, context = served(tmp_path)
    context.begin(["id"], [{"explain": "True"}])

    (explained,) = handler.handle([{"data": "not good", "target": "0"}], context)

    assert explained["words"] == ["not", "good", "not good"]
    shares = np.array([0.5, 0.0, 4.0]) / np.linalg.norm([0.5, 0.0, 4.0])
    assert explained["importances"] == pytest.approx(shares, rel=1e-5)


def test_the_explained_model_stays_as_it_was(tmp_path: Path) -> None:
    handler, context = served(tmp_path)
    context.begin(["id"], [{"explain": "True"}])
    handler.handle([{"data": "not good"}], context)
    context.begin(["id"], [{"explain": "False"}])

    assert handler.handle([{"data": "good"}], context) == [expected(1)]
    assert not handler.model.embedding._forward_hooks and handler.model.fc.weight.grad is None


def test_a_model_without_an_embedding_explains_nothing(tmp_path: Path) -> None:
    handler, context = served(tmp_path)
    handler.model = engine.nn.Sequential()
    context.begin(["id"], [{"explain": "True"}])

    with pytest.raises(PredictionException, match="takes a model whose first layer is its `embedding` : 501"):
        handler.handle([{"data": "good"}], context)


def test_the_manifest_may_name_the_vocabulary(tmp_path: Path) -> None:
    handler, _ = served(tmp_path, sourceVocab="words.pt")

    assert handler.source_vocab == VOCABULARY


def test_without_a_vocabulary_nothing_is_loaded(tmp_path: Path) -> None:
    context = archive(tmp_path, vocabulary=None)

    with pytest.raises(HandlerError, match=r"the archive does not hold the vocabulary source_vocab.pt"):
        load_handler("text_classifier", tmp_path).initialize(context)


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("v.json", '{"a": 0, "b": 1}'),
        ("v.json", '["a", "b"]'),
        ("v.txt", "a\nb\n"),
    ],
)
def test_vocabularies_may_be_plain_files(tmp_path: Path, name: str, content: str) -> None:
    (tmp_path / name).write_text(content)

    assert load_vocabulary(tmp_path / name) == {"a": 0, "b": 1}


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"\x80\x02}q\x00.", r"the vocabulary v.pt cannot be read: "),
        (b"[", r"the vocabulary v.json cannot be read: "),
        (b'{"a": "b"}', r"the vocabulary v.json is a dict; expected \{token: number\}"),
    ],
)
def test_other_vocabularies_are_refused(tmp_path: Path, content: bytes, message: str) -> None:
    path = tmp_path / ("v.pt" if content.startswith(b"\x80") else "v.json")
    path.write_bytes(content)

    with pytest.raises(HandlerError, match=message):
        load_vocabulary(path)


def test_unknown_words_have_the_number_of_the_unknown_or_none() -> None:
    assert numbers_of(["a", "x"], {"a": 3, "<unk>": 7}) == [("a", 3), ("x", 7)]
    assert numbers_of(["a", "x"], {"a": 3}) == [("a", 3)]


@pytest.mark.parametrize(
    ("text", "plain"),
    [
        ("they don't", "they do not"),
        ("It's John's", "It is John's"),
        ("I'd've gone; we'll, you’re", "I would have gone; we will, you are"),
        ("can't won't shan't ain't let's", "cannot will not shall not is not let us"),
        ("o'clock y'all ma'am", "of the clock you all madam"),
        ("rock 'n' roll", "rock 'n' roll"),
    ],
)
def test_contractions_are_written_out(text: str, plain: str) -> None:
    assert cleaning.expanded(text) == plain


def test_text_is_made_plain() -> None:
    assert cleaning.without_tags("a<br/> <b>bold</b> < 3") == "a bold < 3"
    assert cleaning.without_accents("Crème brûlée – ½") == "Creme brulee  12"
    assert cleaning.without_punctuation("well-known: (a) b!") == "wellknown a b"
    assert list(cleaning.ngrams(["a", "b", "c"], 2)) == ["a", "b", "c", "a b", "b c"]


def test_the_tutorials_model_takes_texts_in_a_line_or_in_rows() -> None:
    model = TextClassificationModel(7, 3, 4).eval()
    line = model(engine.tensor([1, 2, 3, 4]), engine.tensor([0, 2]))

    assert list(model.state_dict()) == ["embedding.weight", "fc.weight", "fc.bias"]
    assert np.allclose(line.detach().numpy(), model(engine.tensor([[1, 2], [3, 4]])).detach().numpy())
