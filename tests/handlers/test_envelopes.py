import json
from base64 import b64encode
from typing import Any

import numpy as np
import pytest
from numserve.handlers import Context, HandlerError, wrap_envelope
from numserve.handlers.envelopes import ENVELOPES

B64 = b64encode(b"cat").decode()


class Recorder:
    """A handler that keeps what it was given and answers with what the test wants, or with the same."""

    def __init__(self, answer: Any = None) -> None:
        self.given: Any = None
        self.answer = answer
        self.initialized_with: Any = None

    def initialize(self, context: Context) -> None:
        self.initialized_with = context

    def handle(self, rows: Any, context: Context) -> Any:
        self.given = rows
        return rows if self.answer is None else self.answer


def through(name: str, rows: list[Any], context: Context, answer: Any = None) -> tuple[Any, Any]:
    """What the handler gets and what comes out."""
    handler = Recorder(answer)
    return wrap_envelope(name, handler).handle(rows, context), handler.given


@pytest.mark.parametrize(
    ("rows", "given"),
    [
        ([{"data": 1}, {"body": "b"}], [1, "b"]),
        ([{"data": None, "body": [2]}], [[2]]),
        ([{"other": 1}], [None]),
    ],
)
def test_body_hands_on_the_values(context, rows, given) -> None:
    assert through("body", rows, context, answer=["x"]) == (["x"], given)


@pytest.mark.parametrize(
    ("rows", "given"),
    [
        ([{"body": {"instances": [1, 2]}}, {"data": {"instances": [3]}}], [1, 2, 3]),
        ([{"instances": ["a"]}], ["a"]),
        ([{"body": b'{"instances": [[1.5]]}'}], [[1.5]]),
        ([{"body": {"instances": [{"b64": B64}]}}], [b"cat"]),
        (
            [{"body": {"instances": [{"image": {"b64": B64}, "n": 1}, {"b64": B64}]}}],
            [{"image": b"cat", "n": 1}, b"cat"],
        ),
        ([{"body": {"instances": ["x", {"b64": B64}]}}], ["x", {"b64": B64}]),
        ([{"body": {"instances": [{"b64": B64, "n": 1}]}}], [{"b64": B64, "n": 1}]),
    ],
)
def test_json_gives_the_instances_of_all_requests(context, rows, given) -> None:
    assert through("json", rows, context, answer=list(range(len(given))))[1] == given


def test_json_shares_the_results_out_as_text(context) -> None:
    rows = [{"body": {"instances": [1, 2]}}, {"body": {"instances": [3]}}]

    answers, _ = through("json", rows, context, answer=[{"a": 1}, "b", 0.5])

    assert answers == ['{"predictions": [{"a": 1}, "b"]}', '{"predictions": [0.5]}']


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ([{"body": {"inputs": [1]}}], r"request 0 has the keys \['inputs'\]; expected \"instances\""),
        ([{"body": {"instances": []}}], "a list of some items"),
        ([{"body": b"{"}], "the body is not JSON"),
        ([{"body": [1]}], "the body is a list; expected a JSON object"),
        ([{"body": {"instances": [{"b64": B64}, 3]}}], "another is a int"),
    ],
)
def test_json_refuses_what_has_no_instances(context, rows, message) -> None:
    with pytest.raises(HandlerError, match=message):
        through("json", rows, context)


def test_json_notices_a_wrong_number_of_results(context) -> None:
    with pytest.raises(HandlerError, match="3 results for 2 instances"):
        through("json", [{"body": {"instances": [1, 2]}}], context, answer=[1, 2, 3])


@pytest.mark.parametrize("row", [{"body": {"instances": [1, 2]}}, {"data": b'{"instances": [1, 2]}'}])
def test_kserve_gives_the_instances_of_the_only_request(context, row) -> None:
    assert through("kserve", [row], context) == ([{"predictions": [1, 2]}], [1, 2])


def test_kserve_gives_none_where_there_are_no_instances(context) -> None:
    assert through("kserve", [{"body": {"x": 1}}], context, answer=[0]) == ([{"predictions": [0]}], None)


def test_kserve_names_explanations(context) -> None:
    context.begin(["id0"], [{"explain": "True"}])

    assert through("kserve", [{"body": {"instances": [1]}}], context)[0] == [{"explanations": [1]}]


def test_kserve_shares_a_batch_out(context) -> None:
    context.begin(["a", "b"], [{"explain": "True"}, {}])
    rows = [{"body": {"instances": [1, 2]}}, {"body": {"instances": [3]}}]
    answers, given = through("kserve", rows, context)
    assert (answers, given) == ([{"explanations": [1, 2]}, {"predictions": [3]}], [1, 2, 3])


def test_kservev2_shares_a_batch_out(context) -> None:
    context.begin(["a", "b"], [{}, {}])
    rows = [
        {"body": {"id": "7", "inputs": [v2("INT64", [1], [1], "x"), v2("INT64", [2], [1], "y")]}},
        {"body": {"inputs": [v2("INT64", [3], [1], "z")]}},
    ]
    answers, _ = through("kservev2", rows, context, answer=[10, 20, 30])
    assert [(each["id"], [(o["name"], o["data"]) for o in each["outputs"]]) for each in answers] == [
        ("7", [("x", [10]), ("y", [20])]),
        ("b", [("z", [30])]),
    ]


@pytest.mark.parametrize(
    ("name", "good"),
    [
        ("json", {"instances": [1]}),
        ("kserve", {"instances": [1]}),
        ("kservev2", {"inputs": [{"name": "x", "shape": [1], "datatype": "INT64", "data": [1]}]}),
    ],
)
def test_a_request_that_cannot_be_read_fails_alone(context, name, good) -> None:
    context.begin(["a", "b"], [{}, {}])
    answers, given = through(name, [{"body": {"wrong": 1}}, {"body": good}], context)
    assert answers[0].error_code == 503 and "has the keys ['wrong']" in answers[0].message
    assert not isinstance(answers[1], Exception) and len(given) == 1
    answers, given = through(name, [{"body": {"wrong": 1}}] * 2, context)
    assert [each.error_code for each in answers] == [503, 503] and given is None


@pytest.mark.parametrize(("name", "called"), [("kserve", "instances"), ("kservev2", "inputs")])
def test_a_wrong_number_of_results_for_a_batch_is_noticed(context, name, called) -> None:
    context.begin(["a", "b"], [{}, {}])
    body = {"instances": [1], "inputs": [{"name": "x", "shape": [1], "datatype": "INT64", "data": [1]}]}
    with pytest.raises(HandlerError, match=f"3 results for 2 {called}"):
        through(name, [{"body": body}] * 2, context, answer=[1, 2, 3])


def test_kservev2_nests_bytes_as_it_nests_json(context) -> None:
    described = [
        {"name": "x", "shape": [1, 2], "datatype": "FP32", "parameters": {"binary_data_size": 8}},
        {"name": "t", "shape": [1], "datatype": "BYTES", "parameters": {"binary_data_size": 7}},
    ]
    text = json.dumps({"id": "7", "inputs": described}).encode()
    body = text + np.float32([1, 2]).tobytes() + b"\x03\0\0\0cat"
    context.begin(["a"], [{"inference-header-content-length": str(len(text))}])
    answers, given = through("kservev2", [{"body": bytearray(body)}], context, answer=[5])
    assert [each["data"] for each in given] == [[[1.0, 2.0]], "cat"]
    assert answers[0]["id"] == "7"


@pytest.mark.parametrize("name", ENVELOPES)
def test_a_description_is_not_wrapped(context, name) -> None:
    context.begin(["a"], [{"describe": "True"}])
    assert through(name, [{}], context, answer=[{"told": 1}]) == ([{"told": 1}], [{}])


def test_a_handler_that_opens_envelopes_itself_gets_none() -> None:
    handler = Recorder()
    handler.opens_envelopes = True  # type: ignore[attr-defined]
    assert wrap_envelope("kserve", handler) is handler


def v2(kind: str, data: Any, shape: list[int], name: str = "in") -> dict[str, Any]:
    return {"name": name, "shape": shape, "datatype": kind, "data": data}


@pytest.mark.parametrize(
    ("given", "nested"),
    [
        (v2("INT64", [1, 2, 3, 4], [2, 2]), [[1, 2], [3, 4]]),
        (v2("FP32", [0.1, 0.2], [1, 2]), [[0.1, 0.2]]),
        (v2("INT64", [[1, 2]], [1, 2]), [[1, 2]]),
        (v2("BYTES", ["aGk=", "b"], [2]), "aGk="),
        (v2("BOOL", [True], [1]), [True]),
    ],
)
def test_kservev2_nests_the_data(context, given, nested) -> None:
    row = {"body": {"id": "7", "inputs": [given]}}

    assert through("kservev2", [row], context)[1] == [{**given, "data": nested}]


@pytest.mark.parametrize(
    ("result", "datatype", "data"),
    [
        (3, "INT64", [3]),
        ([[1, 2], [3, 4]], "INT64", [1, 2, 3, 4]),
        (0.5, "FP64", [0.5]),
        (np.float32([1, 2]), "FP32", [1.0, 2.0]),
        (True, "BOOL", [True]),
        ("cat", "BYTES", ["cat"]),
        ({"cat": 0.5}, "BYTES", [{"cat": 0.5}]),
    ],
)
def test_kservev2_types_the_results(context, result, datatype, data) -> None:
    row = {"body": {"inputs": [v2("INT64", [1], [1], "first")]}}

    assert through("kservev2", [row], context, answer=[result])[0] == [
        {
            "id": "id0",
            "model_name": "m",
            "model_version": "1.0",
            "outputs": [{"name": "first", "datatype": datatype, "data": data, "shape": [len(data)]}],
        }
    ]


def test_kservev2_keeps_the_clients_id_and_order(context) -> None:
    row = {
        "body": json.dumps({"id": "abc", "inputs": [v2("INT64", [1], [1], "a"), v2("INT64", [2], [1], "b")]}).encode()
    }

    answer = through("kservev2", [row], context, answer=[10])[0][0]

    assert list(answer) == ["id", "model_name", "model_version", "outputs"]
    assert answer["id"] == "abc"
    assert [output["name"] for output in answer["outputs"]] == ["a"]


@pytest.mark.parametrize(
    ("body", "answer", "message"),
    [
        ({"instances": [1]}, None, 'expected "inputs"'),
        ({"inputs": [3]}, None, "input 0 is 3"),
        ({"inputs": [v2("INT64", [1, 2, 3], [2, 2])]}, None, r"do not fill the shape \[2, 2\]"),
        ({"inputs": [v2("INT64", [1], [1])]}, [1, 2], "2 results for 1 inputs"),
    ],
)
def test_kservev2_refuses(context, body, answer, message) -> None:
    with pytest.raises(HandlerError, match=message):
        through("kservev2", [{"body": body}], context, answer)


@pytest.mark.parametrize("name", ENVELOPES)
@pytest.mark.parametrize("empty", [[], None])
def test_no_data_and_no_results_are_left_alone(context, name, empty) -> None:
    handler = Recorder()

    assert wrap_envelope(name, handler).handle(empty, context) == empty
    assert handler.given == empty


def test_loading_does_not_pass_the_envelope(context) -> None:
    handler = Recorder()
    wrap_envelope("json", handler).initialize(context)

    assert handler.initialized_with is context


def test_an_unknown_envelope_is_refused() -> None:
    with pytest.raises(
        HandlerError, match="no service envelope is called 'xml'; there are: body, json, kserve, kservev2"
    ):
        wrap_envelope("xml", Recorder())
