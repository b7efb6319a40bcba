"""The runtime in this process: values in, answers out, failures as data (contract: inference API, sections 4 to 6)."""

import json
import os
import textwrap

import pytest
from numserve.engine import formats
from numserve.handlers.loading import BUILTIN
from numserve.plugins import resolve
from numserve.server.messages import Failure, InferenceRequest, LoadFailure, LoadReport, ModelSpec, Part
from numserve.server.workers import runtime as runtime_module
from numserve.server.workers.runtime import Runtime


@pytest.fixture
def load(tmp_path):
    """Load a handler's source; keywords are the specification's."""

    def load(source: str, **spec) -> Runtime:
        (tmp_path / "handler.py").write_text(textwrap.dedent(source))
        runtime = Runtime(ModelSpec("m", "1.0", str(tmp_path), "handler", **spec))
        assert isinstance(runtime.load(), LoadReport)
        return runtime

    return load


def raw(body: bytes, content_type: str | None = None, name: str = "body", **headers: str) -> InferenceRequest:
    return InferenceRequest("id", (Part(name, content_type, body),), headers)


SEEN = """
    def handle(data, context):
        return [[[key, type(value).__name__, repr(value)] for key, value in row.items()] for row in data or []]
"""


@pytest.mark.parametrize(
    ("content_type", "body", "kind", "value"),
    [
        ("application/json", b'{"a": 1}', "dict", "{'a': 1}"),
        ("application/json; charset=utf-8", b"[1, 2]", "list", "[1, 2]"),
        ("application/json", b"[NaN, Infinity]", "list", "[nan, inf]"),
        ("application/json", b"{a: 1}", "bytearray", "bytearray(b'{a: 1}')"),
        ("application/json", b"[" * 100_000, "bytearray", None),
        ("application/json", b"", "bytearray", "bytearray(b'')"),
        ("application/vnd.api+json", b"{}", "bytearray", "bytearray(b'{}')"),
        ("text/plain", "ü".encode(), "str", "'ü'"),
        ("text/csv", b"\xff", "bytearray", "bytearray(b'\\xff')"),
        ("image/png", b"\x89", "bytearray", "bytearray(b'\\x89')"),
        ("", b"x", "bytearray", "bytearray(b'x')"),
        (None, b"[1]", "bytearray", "bytearray(b'[1]')"),
    ],
)
def test_a_body_becomes_what_its_type_says(load, content_type, body, kind, value):
    (answer,), _ = load(SEEN).infer([raw(body, content_type)])
    ((key, met, shown),) = json.loads(answer.body)
    assert (key, met) == ("body", kind)
    assert value is None or shown == value


def test_decoding_can_be_switched_off(load):
    (answer,), _ = load(SEEN, decode_input_request=False).infer([raw(b"{}", "application/json")])
    assert json.loads(answer.body)[0][1] == "bytearray"


def test_of_parts_with_one_name_the_last_wins_and_no_parts_are_an_empty_row(load):
    parts = (Part("a", None, b"1"), Part("b", None, b"2"), Part("a", None, b"3"))
    answers, _ = load(SEEN).infer([InferenceRequest("1", parts, {}), InferenceRequest("2", (), {})])
    assert [key for key, *_ in json.loads(answers[0].body)] == ["a", "b"]
    assert "3" in json.loads(answers[0].body)[0][2]
    assert answers[1].body == b"[]"


@pytest.mark.parametrize(
    ("returned", "body", "content_type"),
    [
        ("b'x'", b"x", None),
        ("bytearray(b'x')", b"x", None),
        ("'ü'", "ü".encode(), None),
        ("{'ü': [1, 2.5]}", b'{\n  "\\u00fc": [\n    1,\n    2.5\n  ]\n}', "application/json"),
        ("float('nan')", b"NaN", "application/json"),
        ("None", b"null", "application/json"),
        ("{1: (2,)}", b'{\n  "1": [\n    2\n  ]\n}', "application/json"),
    ],
)
def test_an_answer_is_encoded_by_its_type(load, returned, body, content_type):
    (answer,), _ = load(f"def handle(data, context):\n    return [{returned}]\n").infer([raw(b"")])
    assert (answer.status, answer.phrase, answer.content_type, answer.body) == (200, "", content_type, body)


def test_a_tensor_goes_out_as_torch_saves_it(load, tmp_path):
    source = "import torch\ndef handle(data, context):\n    return [torch.tensor([1.5, 2.0])] * len(data or [])\n"
    (answer,), _ = load(source).infer([raw(b"")])
    (tmp_path / "answer.pt").write_bytes(answer.body)
    assert formats.load(tmp_path / "answer.pt").tolist() == [1.5, 2.0]
    assert answer.content_type is None


@pytest.mark.parametrize(
    ("code", "message", "status", "detail"),
    [
        ("return (1, 2)", "Invalid model predict output", 503, "returned a tuple"),
        ("return None", "Invalid model predict output", 503, "returned a NoneType"),
        ("return (x for x in data)", "Invalid model predict output", 503, "returned a generator"),
        ("return [1]", "number of batch response mismatched", 503, "1 answers to 2 requests"),
        ("return [object(), 1]", "Unsupported model output data type.", 503, "object is not JSON serializable"),
        ("import numpy; return [numpy.ones(3), 1]", "Unsupported model output data type.", 503, "call .tolist()"),
        ("a = []; a.append(a); return [a, 1]", "Unsupported model output data type.", 503, "Circular"),
        ("return ['\\udc80', 1]", "Unsupported model output data type.", 503, "surrogates"),
        (
            "return ['x' * 600, 'x' * 600]",
            "Model output is too large.",
            500,
            "1200 bytes; max_response_size allows 1000",
        ),
        ("raise ValueError('no \\udc80')", "Prediction failed", 503, "ValueError: no ? at handler.py:4"),
        ("raise MemoryError", "Out of resources", 507, "MemoryError"),
        ("raise RuntimeError('CUDA out of memory')", "Out of resources", 507, "CUDA"),
        ("raise Own('too hot', 418)", "too hot", 418, ""),
        ("raise Own('odd', 99)", "odd", 500, ""),
    ],
)
def test_what_goes_wrong_becomes_the_failure_of_all(load, code, message, status, detail):
    source = f"from ts.utils.util import PredictionException as Own\n\ndef handle(data, context):\n    {code}\n"
    runtime = load(
        source.replace("\n    ", "\n    if data is None: return\n    ", 1).replace("\n\n", "\n"), max_response_size=1000
    )
    outcome, report = runtime.infer([raw(b"1"), raw(b"2")])
    assert isinstance(outcome, Failure)
    assert (outcome.message, outcome.code) == (message, status)
    assert detail in outcome.detail
    assert not runtime.leaving
    assert "PredictionTime" not in {emitted.name for emitted in report.emitted}


@pytest.mark.parametrize("code", ["raise SystemExit(3)", "raise KeyboardInterrupt"])
def test_a_handler_that_wants_to_exit_is_let_go(load, code):
    runtime = load(f"def handle(data, context):\n    if data: {code}\n")
    outcome, _ = runtime.infer([raw(b"")])
    assert (outcome.kind, outcome.message, outcome.code) == ("WorkerDied", "Worker died.", 500)
    assert runtime.leaving


def test_the_handler_decides_about_each_response(load):
    source = """
        def handle(data, context):
            for index, _ in enumerate(data or []):
                context.set_response_status(200 + index, f"phrase {index}", index)
                context.set_response_content_type(index, "text/x")
                context.set_response_header(index, "x-n", str(index))
            return ["a"] * len(data or [])
    """
    runtime = load(source)
    for _ in range(2):
        answers, _ = runtime.infer([raw(b""), raw(b"")])
        assert [(a.status, a.phrase, a.content_type, a.headers) for a in answers] == [
            (200, "phrase 0", "text/x", {"x-n": "0"}),
            (201, "phrase 1", "text/x", {"x-n": "1"}),
        ]


def test_the_handler_sees_headers_ids_and_part_types(load):
    source = """
        def handle(data, context):
            if data is None: return
            header = context.get_request_header
            return [[context.get_request_id(0), header(0, "explain"), header(0, "data"), header(0, "body")]]
    """
    request = InferenceRequest("id-1", (Part("data", "image/png", b""), Part("body", None, b"")), {"explain": "False"})
    (answer,), _ = load(source).infer([request])
    assert json.loads(answer.body) == ["id-1", "False", {"content-type": "image/png"}, {"content-type": ""}]


def test_what_the_handler_measures_comes_with_the_report(load):
    source = """
        def handle(data, context):
            context.metrics.add_counter("rows", len(data or []))
            return [1] * len(data or [])
    """
    _, report = load(source).infer([raw(b""), raw(b"")])
    assert [(e.name, e.kind) for e in report.emitted] == [("rows", "counter"), ("PredictionTime", "gauge")]
    assert report.emitted[0].value == 2
    assert report.emitted[1].value == pytest.approx(report.seconds * 1000)
    assert report.memory_bytes > 1 << 20


def test_an_envelope_wraps_the_handler(load):
    runtime = load("def handle(data, context):\n    return data\n", envelope="json")
    (answer,), _ = runtime.infer([raw(b'{"instances": [1, 2]}', "application/json")])
    assert json.loads(answer.body) == {"predictions": [1, 2]}


@pytest.mark.parametrize(
    ("source", "phase", "exception", "where"),
    [
        ("import no_such_package\n", "import", "ModuleNotFoundError", "handler.py:1"),
        (
            "class A:\n    def handle(self, d, c): pass\n    def initialize(self, c): 1 / 0\n",
            "initialize",
            "ZeroDivisionError",
            "handler.py:3",
        ),
    ],
)
def test_a_load_failure_says_where_and_why(tmp_path, source, phase, exception, where):
    (tmp_path / "handler.py").write_text(source)
    failure = Runtime(ModelSpec("m", "1.0", str(tmp_path), "handler")).load()
    assert isinstance(failure, LoadFailure)
    assert (failure.phase, failure.exception, failure.where) == (phase, exception, where)


def test_a_load_failure_calls_the_models_files_as_its_archive_does(tmp_path):
    (tmp_path / "h.py").write_text(
        "def handle(data, context):\n    open(context.system_properties['model_dir'] + '/vocab.txt')\n"
    )
    failure = Runtime(ModelSpec("m", "1.0", str(tmp_path), "h.py")).load()
    assert failure.message == "[Errno 2] No such file or directory: 'vocab.txt'"


def test_loading_does_not_change_the_servers_directory(load):
    before = os.getcwd()
    load(SEEN)
    assert os.getcwd() == before


def test_an_exception_in_the_list_is_the_failure_of_its_request_alone(load):
    runtime = load("""
        from ts.utils.util import PredictionException

        def handle(data, context):
            return [PredictionException("not this one", 422), "fine"] if data else None
    """)
    (failure, response), _ = runtime.infer([raw(b"a"), raw(b"b")])
    assert (failure.kind, failure.message, failure.code) == ("InferenceFailed", "not this one", 422)
    assert response.body == b"fine"


@pytest.mark.parametrize("several", [True, False])
def test_weights_are_shared_only_where_there_may_be_other_workers(several, tmp_path, monkeypatch):
    named = []
    monkeypatch.setattr(runtime_module.handlers, "share_weights", lambda *given: named.append(given))
    Runtime(ModelSpec("m", "1.0", str(tmp_path), "handler", several=several)).share()
    assert named == [(tmp_path, several)]


VIEWS = """
    class Takes:
        takes_views = True
        def initialize(self, context): pass
        def handle(self, data, context):
            return [" ".join(f"{key}:{type(value).__name__}" for key, value in row.items()) for row in data]
"""


def kinds(runtime: Runtime) -> str:
    parts = Part("body", None, b"x"), Part("said", "application/json", b"[1]"), Part("no", "text/plain", b"\xff")
    (answer,), _ = runtime.infer([InferenceRequest("id", parts, {})])
    return answer.body.decode()


def test_a_handler_that_takes_views_is_given_no_copies(load):
    assert kinds(load(VIEWS)) == "body:memoryview said:list no:memoryview"


def test_what_derives_from_it_has_to_say_so_itself(load, tmp_path):
    (tmp_path / "given.py").write_text(textwrap.dedent(VIEWS))
    assert kinds(load("import given\n\nclass Own(given.Takes): pass\n")) == "body:bytearray said:list no:bytearray"


@pytest.mark.parametrize(
    "name", ["image_classifier", "image_segmenter", "object_detector", "tensor", "text_classifier"]
)
def test_our_own_handlers_take_views(name):
    assert vars(resolve("handlers", name, BUILTIN))["takes_views"]


def test_an_answer_is_not_copied(load):
    runtime = load("kept = bytearray(b'x')\ndef handle(data, context):\n    return [kept] * len(data or [])\n")
    (first, second), _ = runtime.infer([raw(b""), raw(b"")])
    assert first.body is second.body
