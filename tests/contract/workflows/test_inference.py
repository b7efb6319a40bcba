"""Contract: workflows, section 3: a request's way through the graph."""

from __future__ import annotations

import json
import os
import re
import time

import pytest

TELL = """
import json
import os

from numserve.handlers import PredictionException


def told(row):
    return {name: bytes(value).decode() if isinstance(value, bytearray) else value for name, value in row.items()}


def tell(data, context):
    return [json.dumps(told(row)) for row in data] if data else None


def right(data, context):
    return [b"from the right" for row in data or []]


def left(data, context):
    return [b"from the left" for row in data or []]


def listed(data, context):
    return [{"is": "json"} for row in data or []]


def who(data, context):
    return [{"pid": os.getpid(), "header": context.get_request_header(0, "x-kept"),
             "type": context.get_request_header(0, "content-type")}] if data else None


def refuse(data, context):
    if data:
        raise PredictionException("that is no picture", 415)


def end(data, context):
    if data:
        os._exit(1)
"""
COUNTING = """
import pathlib
import time

FILE = pathlib.Path({file!r})


def count(data, context):
    if not data:
        return None
    with FILE.open("a") as file:
        file.write("x")
    attempts = len(FILE.read_text())
    time.sleep({sleep})
    if attempts <= {failing}:
        raise ValueError("not yet")
    return [str(attempts)]
"""


def alone(node: str) -> str:
    return f"models: {{retry-attempts: 0}}\ndag:\n  {node}: []\n"


def test_the_start_node_gets_the_request_and_each_other_one_its_parents_answer(flows):
    name = flows.serve("models:\n  m: {url: upper.mar}\ndag:\n  tell: [m]\n  m: [last]\n  last: []\n",
                       TELL.replace("def who", "last = tell\n\n\ndef who"))  # fmt: skip
    answer = flows.contract.json(f"/wfpredict/{name}", {"a": 1})
    assert (answer.status, answer["content-type"]) == (200, "application/json")
    assert answer.body == b'{"body": "{\\"BODY\\": {\\"A\\": 1}}"}'
    form = flows.contract.post(f"/wfpredict/{name}", "x=1&y=2", "application/x-www-form-urlencoded")
    assert json.loads(form.json()["body"]) == {"X": "1", "Y": "2"}


def test_a_node_with_several_parents_gets_a_part_of_each(flows):
    name = flows.serve("models: {}\ndag:\n  who: [left, right]\n  left: [tell]\n  right: [tell]\n", TELL)
    assert flows.ask(name).json() == {"left": "from the left", "right": "from the right"}


@pytest.mark.parametrize("method", ["GET", "PUT", "DELETE", "PATCH"])
def test_any_method_will_do(flows, method):
    assert flows.ask(_echo(flows), "abc", method).body == b"ABC"


def test_the_first_part_of_the_path_may_have_capitals(flows):
    assert flows.contract.post(f"/WfPredict/{_echo(flows)}", b"abc").body == b"ABC"


def _echo(flows) -> str:
    """A workflow of one model, which is registered once."""
    if not getattr(flows, "echoing", None):
        flows.echoing = flows.serve("models:\n  m: {url: upper.mar}\ndag: {m: []}\n")
    return flows.echoing


def test_several_ends_are_one_object(flows):
    name = flows.serve("models: {}\ndag:\n  tell: [listed, who]\n", TELL)
    answer = flows.ask(name)
    assert answer["content-type"] == "application/json"
    assert (list(answer.json()), answer.json()["listed"]) == (["listed", "who"], {"is": "json"})


def test_of_several_ends_each_must_be_json(flows):
    name = flows.serve("models: {}\ndag:\n  tell: [listed, left]\n", TELL)
    assert flows.ask(name).error == (500, "InternalServerException", "Error executing left")


def test_an_unknown_workflow(flows):
    assert flows.ask("nope").error == (404, "WorkflowNotFoundException", "Workflow not found: nope")


def test_functions_run_in_workers_and_see_the_requests_headers(flows):
    name = flows.serve("models: {}\ndag:\n  tell: [who]\n", TELL)
    told = flows.ask(name, **{"X-Kept": "yes", "Content-Type": "text/plain"}).json()
    assert (told["header"], told["type"]) == ("yes", None)  # the type is that of another body
    server = json.loads((flows.contract.server.temp / ".numserve.json").read_text())["pid"]
    workers = flows.manage("GET", f"/models/{name}__who").json()[0]["workers"]
    assert told["pid"] == workers[0]["pid"] != server
    assert os.path.exists(f"/proc/{server}")


@pytest.mark.parametrize(
    ("attempts", "failing", "status"),
    [(0, 0, 200), (0, 1, 500), (1, 1, 200), (1, 2, 500), (3, 3, 200)],
)
def test_a_node_is_tried_again(flows, tmp_path, attempts, failing, status):
    source = COUNTING.format(file=str(tmp_path / "count"), failing=failing, sleep=0)
    name = flows.serve(f"models: {{retry-attempts: {attempts}}}\ndag: {{count: []}}\n", source)
    answer = flows.ask(name)
    if status == 200:
        assert answer.json() == failing + 1
    else:
        assert answer.error == (500, "InternalServerException", "Error executing count")
    assert len((tmp_path / "count").read_text()) == min(attempts, failing) + 1


def test_one_further_attempt_is_what_a_node_has(flows, tmp_path):
    source = COUNTING.format(file=str(tmp_path / "count"), failing=1, sleep=0)
    assert flows.ask(flows.serve("models: {}\ndag: {count: []}\n", source)).json() == 2


def test_a_client_says_how_long_it_waits_for_all_of_it(flows, tmp_path):
    source = COUNTING.format(file=str(tmp_path / "count"), failing=0, sleep=3)
    name = flows.serve("models: {timeout-ms: 9000, retry-attempts: 0}\ndag: {count: []}\n", source)
    began = time.monotonic()
    told = flows.ask(name, **{"X-Request-Timeout": "0.2"})
    assert told.status == 504 and "x-request-timeout allows no more" in told.json()["message"]
    assert time.monotonic() - began < 2.5


def test_each_attempt_has_its_time(flows, tmp_path, deviates):
    source = COUNTING.format(file=str(tmp_path / "count"), failing=0, sleep=3)
    name = flows.serve("models: {timeout-ms: 300, retry-attempts: 0}\ndag: {count: []}\n", source)
    began = time.monotonic()
    status, kind, text = flows.ask(name).error
    assert (status, kind) == (504, "RequestTimeoutException")
    assert re.match(r"Error executing count: There was no answer after \d+\.\d+ seconds; .*timeout-ms", text)
    deviates("a workflow's node over its time")
    assert time.monotonic() - began < 2.5


RENDEZVOUS = """
import pathlib
import time

FOLDER = pathlib.Path({folder!r})


def begin(data, context):
    return [b"x" for row in data or []]


def meet(name, data):
    if not data:
        return None
    (FOLDER / name).touch()
    until = time.monotonic() + 30
    while len(list(FOLDER.iterdir())) < 2:
        assert time.monotonic() < until, "the other one does not run"
        time.sleep(0.01)
    return [{{"met": True}}]


def one(data, context):
    return meet("one", data)


def two(data, context):
    return meet("two", data)
"""


def test_nodes_without_a_path_between_them_run_side_by_side(flows, tmp_path):
    name = flows.serve(
        "models: {timeout-ms: 60000}\ndag:\n  begin: [one, two]\n", RENDEZVOUS.format(folder=str(tmp_path))
    )
    assert flows.ask(name).json() == {"one": {"met": True}, "two": {"met": True}}


def test_a_worker_that_dies_fails_its_node_alone(flows):
    name = flows.serve(alone("end"), TELL)
    for _ in range(2):  # the next worker is there for the next request
        assert flows.ask(name).error == (500, "InternalServerException", "Error executing end")
    assert flows.ask(_echo(flows), "abc").body == b"ABC"


def test_a_handlers_word_about_the_request_reaches_the_client(flows, deviates):
    name = flows.serve("models: {retry-attempts: 5}\ndag:\n  tell: [refuse]\n", TELL)
    assert flows.ask(name).error == (415, "InternalServerException", "that is no picture")
    deviates("a status of the client's doing in a workflow")


PIECES = """
from numserve.handlers import send_intermediate_predict_response


def pieces(data, context):
    if not data:
        return None
    for piece in (b"one ", b"two "):
        send_intermediate_predict_response([piece], context.request_ids, "", 200, context)
    return [b"three"]
"""


def test_pieces_of_a_nodes_answer_are_joined(flows):
    name = flows.serve("models:\n  m: {url: upper.mar}\ndag:\n  pieces: [m]\n", PIECES)
    assert flows.ask(name).body == b"ONE TWO THREE"


def test_a_client_that_leaves_calls_off_what_has_not_begun(flows, tmp_path):
    source = COUNTING.format(file=str(tmp_path / "count"), failing=0, sleep=0.5)
    name = flows.serve("models: {}\ndag:\n  count: [then]\n", source + "\n\nthen = count\n")
    connection = flows.contract.connect()
    connection.request("POST", f"/wfpredict/{name}", b"")
    flows.contract.eventually(lambda: (tmp_path / "count").is_file())
    connection.close()
    flows.contract.lines("access_log.log", f'/wfpredict/{name} HTTP/1.1" 499 ')
    flows.contract.eventually(
        lambda: flows.manage("GET", f"/models/{name}__count").json()[0]["jobQueueStatus"]["pendingRequests"] == 0
    )
    assert (tmp_path / "count").read_text() == "x"


def test_workflows_are_counted_and_logged(flows):
    name = flows.serve(alone("refuse"), TELL)
    answer = flows.ask(name)
    text = flows.contract.request("GET", "/metrics", listener="metrics").body.decode()
    labels = f'{{workflow_name="{name}",outcome="failed"}}'
    assert f"numserve_workflow_duration_seconds_count{labels} 1.0" in text
    assert f'ts_inference_requests_total{{model_name="{name}__refuse"' in text
    [found] = flows.contract.lines("access_log.log", f'"POST /wfpredict/{name} HTTP/1.1" 415')
    assert f"id={answer['x-request-id']} model={name} " in found


def test_a_workflow_is_described_by_openapi(flows):
    name = _echo(flows)
    described = flows.ask(name, method="OPTIONS")
    assert (described.status, list(described.json()["paths"])) == (200, [f"/wfpredict/{name}"])
    whole = flows.contract.request("OPTIONS", "/").json()["paths"]
    assert whole["/wfpredict/{workflow_name}"]["post"]["operationId"] == "workflow_predictions"
    assert flows.ask("nope", method="OPTIONS").status == 404


ENDLESS = """
import pathlib
import time

from numserve.handlers import send_intermediate_predict_response

FILE = pathlib.Path({file!r})


def endless(data, context):
    try:
        while data:
            send_intermediate_predict_response([b"x"], context.request_ids, "", 200, context)
            time.sleep(0.02)
    except Exception:
        FILE.touch()
        raise
"""


def test_pieces_that_nobody_waits_for_end_their_handler(flows, tmp_path):
    source = ENDLESS.format(file=str(tmp_path / "ended"))
    name = flows.serve("models: {timeout-ms: 200, retry-attempts: 0}\ndag: {endless: []}\n", source)
    assert flows.ask(name).error[:2] == (504, "RequestTimeoutException")
    flows.contract.eventually((tmp_path / "ended").is_file)
