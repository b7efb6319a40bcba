import json
import logging

import pytest
from numserve.handlers.errors import HandlerError
from numserve.handlers.labels import load_label_mapping, map_class_to_label


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        ({"0": "cat", "1": "dog"}, {"0": "cat", "1": "dog"}),
        ({"0": ["n02123045", "tabby"]}, {"0": "tabby"}),
        ({"0": ["tabby"], "1": "dog"}, {"0": "tabby", "1": "dog"}),
        ({"object_type_names": ["a", "b"]}, {"0": "a", "1": "b"}),
        ({}, {}),
    ],
)
def test_every_form_of_the_label_file(tmp_path, content, expected) -> None:
    file = tmp_path / "index_to_name.json"
    file.write_text(json.dumps(content))

    assert load_label_mapping(str(file)) == expected


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('["a"]', "holds a list; expected an object"),
        ('{"0": 1}', "label of class 0 is 1"),
        ('{"0": []}', r"label of class 0 is \[\]"),
        ('{"0": ["a", 2]}', "expected a text or a list of texts"),
        ('{"object_type_names": [3]}', "label of class 0 is 3"),
        ("{", "index_to_name.json is not JSON"),
    ],
)
def test_other_content_is_refused(tmp_path, text, message) -> None:
    file = tmp_path / "index_to_name.json"
    file.write_text(text)

    with pytest.raises(HandlerError, match=message):
        load_label_mapping(file)


def test_a_missing_file_is_a_warning(tmp_path, caplog) -> None:
    with caplog.at_level(logging.WARNING):
        assert load_label_mapping(tmp_path / "index_to_name.json") is None

    assert "is missing. Inference output will not include class name." in caplog.text


@pytest.mark.parametrize(
    ("probs", "mapping", "classes", "expected"),
    [
        ([[0.7, 0.3]], {"3": "cat", "1": "dog"}, [[3, 1]], [{"cat": 0.7, "dog": 0.3}]),
        ([[0.7, 0.3]], None, [[3, 1]], [{"3": 0.7, "1": 0.3}]),
        ([[0.7, 0.3], [0.2, 0.8]], None, None, [{"0": 0.7, "1": 0.3}, {"0": 0.2, "1": 0.8}]),
        ([[0.7, 0.3]], {"3": "cat", "1": "cat"}, [[3, 1]], [{"cat": 0.3}]),
        ([], None, None, []),
    ],
)
def test_probabilities_get_their_names(probs, mapping, classes, expected) -> None:
    assert map_class_to_label(probs, mapping, classes) == expected


@pytest.mark.parametrize(
    ("probs", "mapping", "message"),
    [
        ([[1.0]], {"1": "dog"}, "class 0 has no name"),
        ([[1.0]], ["dog"], "mapping must be a dict, not list"),
        (((1.0,),), None, "call .tolist"),
    ],
)
def test_names_that_are_not_there(probs, mapping, message) -> None:
    with pytest.raises(HandlerError, match=message):
        map_class_to_label(probs, mapping, [[0]])
