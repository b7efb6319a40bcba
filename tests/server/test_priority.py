"""Priorities: how a request says which it has."""

import orjson
import pytest
from numserve.server.batching.priority import LONGEST, NONE, Priorities
from numserve.server.errors import InvalidRequest
from numserve.server.messages import InferenceRequest, Part
from numserve.server.model_config import ModelConfig

LEVELS = Priorities(3, 2)


def asked(body=b"", **headers):
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return InferenceRequest("a", (Part("body", None, body),), named)


@pytest.mark.parametrize(("said", "level"), [("1", 1), ("3", 3), ("0", 2), (" 2", 2)])
def test_the_header_says_it(said, level):
    assert LEVELS.of(asked(x_request_priority=said)) == level


def test_who_says_nothing_has_the_default():
    assert LEVELS.of(asked()) == 2 and LEVELS.of(InferenceRequest("a", (), {})) == 2


@pytest.mark.parametrize("said", ["4", "-1", "high", "", "1.5"])
def test_any_other_word_is_refused(said):
    with pytest.raises(InvalidRequest, match=r"expected 1, which goes first, to 3, or 0"):
        LEVELS.of(asked(x_request_priority=said))


def test_where_all_are_alike_nobody_looks():
    assert NONE.of(asked(x_request_priority="high")) == 1


@pytest.mark.parametrize(("priority", "level"), [(1, 1), ("3", 3), (0, 2), (None, 2)])
def test_the_parameter_says_it(priority, level):
    body = orjson.dumps({"parameters": {"priority": priority}, "inputs": []})
    assert LEVELS.of(asked(body)) == level
    assert LEVELS.of(asked(memoryview(body + bytes(8)), inference_header_content_length=str(len(body)))) == level
    assert LEVELS.of(asked(body, x_request_priority="1")) == 1, "the header goes before"


@pytest.mark.parametrize(
    "body", [b'["priority"]', b'{"priority": 1}', b'{"parameters": ["priority"]}', b'"priority" 1']
)
def test_a_body_without_the_parameter_says_nothing(body):
    assert LEVELS.of(asked(body)) == 2


def test_a_length_without_end_is_none():
    body = orjson.dumps({"parameters": {"priority": 1}})
    assert LEVELS.of(asked(body, inference_header_content_length="9" * 5000)) == 1


@pytest.mark.parametrize("said", [b"9", b"[1]"])
def test_a_parameter_that_is_no_level_is_refused(said):
    with pytest.raises(InvalidRequest, match="expected 1, which goes first, to 3, or 0"):
        LEVELS.of(asked(b'{"parameters": {"priority": %b}}' % said))


def test_a_long_body_is_not_looked_at():
    body = orjson.dumps({"parameters": {"priority": 1}, "inputs": "x" * LONGEST})
    assert LEVELS.of(asked(body)) == 2


@pytest.mark.parametrize(
    ("levels", "default", "found"), [(1, 0, 1), (2, 0, 1), (3, 0, 2), (4, 0, 2), (3, 3, 3), (2, 9, 2)]
)
def test_the_default_is_the_middle_unless_it_is_set(levels, default, found):
    config = ModelConfig(priority_levels=levels, default_priority=default)
    assert (config.priorities.levels, config.priorities.default) == (levels, found)
