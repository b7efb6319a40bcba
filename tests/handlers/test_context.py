import pytest
from numserve import __version__
from numserve.handlers.context import Context, ResponseParts


@pytest.fixture
def context() -> Context:
    made = Context("m", "/models/m", {"model": {}}, 4, model_yaml_config={"handler": {"k": 1}})
    made.begin(["id0", "id1"], [{"X-Foo": "a", "explain": "False"}, {"ts_request_sequence_id": "s"}])
    return made


def test_what_is_known_of_the_model(context) -> None:
    assert (context.model_name, context.manifest) == ("m", {"model": {}})
    assert context.model_yaml_config == {"handler": {"k": 1}}
    assert context.system_properties == {
        "model_dir": "/models/m",
        "gpu_id": None,
        "batch_size": 4,
        "server_name": "MMS",
        "server_version": __version__,
        "limit_max_image_pixels": True,
    }


def test_before_the_first_batch() -> None:
    context = Context("m", "/m", None, 1)

    assert context.get_request_id() is None
    assert context.model_yaml_config == {}
    with pytest.raises(IndexError, match="0 requests"):
        context.get_request_header(0, "explain")


def test_ids_and_headers_of_requests(context) -> None:
    assert context.request_ids == {0: "id0", 1: "id1"}
    assert (context.get_request_id(), context.get_request_id(1), context.get_request_id(2)) == ("id0", "id1", None)
    assert context.get_all_request_header(0) == {"X-Foo": "a", "explain": "False"}
    assert (context.get_sequence_id(0), context.get_sequence_id(1)) == (None, "s")


@pytest.mark.parametrize(("name", "value"), [("X-Foo", "a"), ("x-foo", "a"), ("X-FOO", "a"), ("other", None)])
def test_header_names_match_in_any_case(context, name, value) -> None:
    assert context.get_request_header(0, name) == value
    assert context.request_processor[0].get_request_property(name) == value


def test_nothing_decided_is_a_plain_200(context) -> None:
    assert context.response(1) == ResponseParts(200, "", None, {})
    assert context.get_response_status(1) == (200, "")


def test_what_a_handler_decides_for_one_response(context) -> None:
    context.set_response_status(418, "Teapot", 1)
    context.set_response_content_type(1, "text/plain")
    context.set_response_header(1, "X-Seen", "yes")

    assert context.response(1) == ResponseParts(418, "Teapot", "text/plain", {"X-Seen": "yes"})
    assert context.get_response_content_type(1) == "text/plain"
    assert context.get_response_headers(1) == {"content-type": "text/plain", "X-Seen": "yes"}
    assert context.response(0) == ResponseParts(200, "", None, {})


def test_one_status_for_all(context) -> None:
    context.set_all_response_status(404, "No")

    assert [context.get_response_status(i) for i in (0, 1)] == [(404, "No"), (404, "No")]


def test_a_content_type_header_in_any_case_is_the_content_type(context) -> None:
    context.set_response_header(0, "Content-Type", "image/png")

    assert context.response(0) == ResponseParts(200, "", "image/png", {})


def test_a_new_batch_forgets_the_last(context) -> None:
    context.set_response_status(500, "No", 0)
    context.begin(["id2"], [{}])

    assert context.response(0) == ResponseParts(200, "", None, {})
    with pytest.raises(IndexError, match="request 1 is not in the batch"):
        context.response(1)


@pytest.mark.parametrize(
    ("call", "error"),
    [
        (lambda c: c.set_response_header(0, "x", 3), TypeError),
        (lambda c: c.set_response_header(0, "x", "a\r\nb: c"), ValueError),
        (lambda c: c.set_response_header(0, "x y", "a"), ValueError),
        (lambda c: c.set_response_status(99), ValueError),
        (lambda c: c.set_response_status("200"), ValueError),
        (lambda c: c.set_response_status(200, "O\nK"), ValueError),
    ],
)
def test_what_cannot_stand_in_a_response_is_refused_at_once(context, call, error) -> None:
    with pytest.raises(error):
        call(context)
