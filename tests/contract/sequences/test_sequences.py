"""Contract: workers, section 9, and inference API, section 11: requests in sequences."""

from __future__ import annotations

import time
from collections import Counter

import pytest

CLOSED = "ServiceUnavailableException"


def test_the_requests_of_a_sequence_go_to_one_worker(stateful):
    model = stateful(workers=2)
    told = {name: [model.told(name) for _ in range(3)] for name in "abcd"}
    assert all([answer["count"] for answer in answers] == [1, 2, 3] for answers in told.values())
    homes = {name: {answer["pid"] for answer in answers} for name, answers in told.items()}
    assert all(len(pids) == 1 for pids in homes.values())
    # four sequences over two workers are two each
    assert sorted(Counter(pid for pids in homes.values() for pid in pids).values()) == [2, 2]


def test_requests_of_a_sequence_are_answered_in_their_order(stateful, aside, gate):
    model = stateful(maxSequenceJobQueueSize=5)
    first = aside(model.told, "a", **gate.order)
    model.in_hand(1)
    others = []
    for waiting in range(1, 4):
        others.append(aside(model.told, "a"))
        model.pending(waiting)
    gate.open()
    assert [call.result()["count"] for call in [first, *others]] == [1, 2, 3, 4]


def test_without_a_name_a_sequence_begins(stateful, deviates):
    model = stateful()
    begun = model.told()
    assert begun["sequence"].startswith("ts-seq-")
    assert begun["began"] == "true" and begun["names"] == [begun["sequence"]]
    again = model.told(begun["sequence"])
    assert (again["count"], again["began"]) == (2, None)
    deviates("`ts_request_sequence_id` in the response")


def test_a_batch_has_one_request_of_a_sequence(stateful, aside, gate):
    model = stateful(batchSize=4, maxSequenceJobQueueSize=4, maxBatchDelay=100)
    first = aside(model.told, "a", **gate.order)
    model.in_hand(1)
    calls = []
    for name in ("a", "a", "b", "c"):
        calls.append(aside(model.told, name))
        model.pending(len(calls))
    gate.open()
    told = [call.result()["names"] for call in [first, *calls]]
    assert sorted(told[1]) == ["a", "b", "c"] and told[1] == told[3] == told[4]
    assert told[2] == ["a"]


def test_a_batch_waits_no_longer_than_all_sequences_can_fill(stateful):
    model = stateful(batchSize=8, maxNumSequence=1, maxBatchDelay=20_000, fixedDelay=True)
    began = time.monotonic()
    assert model.told("a")["count"] == 1
    assert time.monotonic() - began < 10


def test_more_sequences_than_there_may_be_are_refused(stateful, deviates):
    model = stateful(maxNumSequence=2)
    for name in "ab":
        model.told(name)
    refused = model.ask("c")
    assert refused.error == (503, CLOSED, "2 sequences are under way already (maxNumSequence)")
    assert refused["retry-after"] == "1"
    assert model.ask().status == 503
    assert model.told("b")["count"] == 2  # those that are there go on
    model.told("a", end="a")
    assert model.told("c")["count"] == 1
    deviates("a sequence that is refused")


def test_more_requests_than_may_wait_in_a_sequence_are_refused(stateful, aside, gate):
    model = stateful(maxSequenceJobQueueSize=2)
    calls = [aside(model.told, "a", **gate.order)]
    model.in_hand(1)
    for waiting in (1, 2):
        calls.append(aside(model.told, "a"))
        model.pending(waiting)
    text = "2 requests of sequence a are waiting already (maxSequenceJobQueueSize)"
    assert model.ask("a").error == (503, CLOSED, text)
    gate.open()
    assert model.told("b")["count"] == 1  # the other sequences have places of their own
    assert [call.result()["count"] for call in calls] == [1, 2, 3]


@pytest.mark.parametrize("mark", ["a", "true"])
def test_a_handler_ends_its_sequence(stateful, mark):
    model = stateful(maxNumSequence=1)
    model.told("a")
    ended = model.ask("a", end=mark)
    assert (ended.status, ended["ts_request_sequence_end"]) == (200, mark)
    assert model.told("b", end="b")["count"] is None  # its place is free
    assert model.told("a")["count"] == 1


def test_a_handler_ends_several(stateful):
    model = stateful(maxNumSequence=3)
    for name in "abc":
        model.told(name)
    model.told("c", end="a;b")
    assert model.told("d")["count"] == model.told("e")["count"] == 1
    assert model.ask("f").status == 503
    assert model.told("c")["count"] == 3


def test_what_waits_in_a_sequence_that_ends_is_refused(stateful, aside, gate):
    model = stateful(maxSequenceJobQueueSize=2)
    last = aside(model.ask, "a", end="a", **gate.order)
    model.in_hand(1)
    behind = aside(model.ask, "a")
    model.pending(1)
    gate.open()
    assert last.result().status == 200
    assert behind.result().error == (503, CLOSED, "The sequence is closed: its handler has ended it")


def test_a_sequence_ends_when_it_is_idle(stateful, contract):
    model = stateful(maxNumSequence=1, sequenceMaxIdleMSec=300)
    model.told("a", sleep=0.6)  # a request that takes longer is no idleness
    assert model.ask("b").status == 503
    contract.eventually(lambda: model.ask("b").status == 200)


def test_requests_keep_a_sequence_from_being_idle(stateful):
    model = stateful(maxNumSequence=1, sequenceMaxIdleMSec=1000)
    until = time.monotonic() + 1.5
    while time.monotonic() < until:
        model.told("a", sleep=0.05)
    assert model.ask("b").status == 503


def test_a_sequence_ends_at_its_age(stateful, aside, gate, contract):
    model = stateful(maxNumSequence=1, sequenceTimeoutMSec=1500)
    running = aside(model.ask, "a", **gate.order)
    model.in_hand(1)
    waiting = aside(model.ask, "a")
    refused = waiting.result().error
    assert refused == (503, CLOSED, "The sequence is closed: it is older than 1.5 seconds (sequenceTimeoutMSec)")
    gate.open()
    assert running.result().status == 200  # what the worker has is answered
    assert model.ask("b").status == 200


def test_a_worker_that_dies_takes_its_sequences_with_it(stateful, aside, gate):
    model = stateful(maxSequenceJobQueueSize=2)
    model.told("b")
    dying = aside(model.ask, "a", die=True, **gate.order)
    model.in_hand(1)
    waiting = aside(model.ask, "a")
    model.pending(1)
    gate.open()
    assert dying.result().error == (500, "InternalServerException", "Worker died.")
    closed = waiting.result().error
    assert closed == (503, CLOSED, "The sequence is closed: its worker has ended, and its state with it")
    assert [model.told(name)["count"] for name in "ab"] == [1, 1]  # begun anew with the next worker


def test_a_failed_request_leaves_its_sequence_open(stateful):
    model = stateful()
    model.told("a")
    assert model.ask("a", **{"raise": "no"}).error == (503, "InternalServerException", "Prediction failed")
    assert model.told("a")["count"] == 3


def test_a_client_that_leaves_while_it_waits_is_passed_over(stateful, aside, gate, contract):
    model = stateful(maxSequenceJobQueueSize=2)
    first = aside(model.told, "a", **gate.order)
    model.in_hand(1)
    connection = contract.connect()
    connection.request("POST", f"/predictions/{model.name}", b"{}", {"ts_request_sequence_id": "a"})
    model.pending(1)
    connection.close()
    contract.lines("access_log.log", f'/predictions/{model.name} HTTP/1.1" 499 ')
    gate.open()
    assert first.result()["count"] == 1
    assert model.told("a")["count"] == 2


def test_the_client_timeout_counts_in_the_sequence_too(stateful, aside, gate):
    model = stateful(maxSequenceJobQueueSize=2, clientTimeoutInMills=500)
    running = aside(model.ask, "a", **gate.order)
    model.in_hand(1)
    waiting = aside(model.ask, "a")
    assert [call.result().status for call in (running, waiting)] == [504, 504]
    gate.open()


def test_a_scaled_down_worker_finishes_its_request(stateful, aside, gate, contract):
    model = stateful()
    running = aside(model.told, "a", **gate.order)
    model.in_hand(1)
    scaled = aside(contract.management, "PUT", f"/models/{model.name}?min_worker=0&synchronous=true")
    contract.eventually(lambda: model.described()["minWorkers"] == 0)
    gate.open()
    assert scaled.result().status == 200
    assert running.result()["count"] == 1
    assert model.ask("a").status == 503


def test_new_workers_take_new_sequences(stateful, contract):
    model = stateful()
    old = {model.told(name)["pid"] for name in "ab"}
    assert contract.management("PUT", f"/models/{model.name}?min_worker=2&synchronous=true").status == 200
    new = {model.told(name)["pid"] for name in "cd"}
    assert len(old) == len(new) == 1 and old != new
    assert model.told("a")["count"] == 2


def test_the_description_tells_the_rules(stateful):
    model = stateful(sequenceMaxIdleMSec=5000, sequenceTimeoutMSec=7000, maxSequenceJobQueueSize=3)
    wanted = {
        "stateful": True, "sequenceMaxIdleMSec": 5000, "sequenceTimeoutMSec": 7000, "maxNumSequence": 4,
        "maxSequenceJobQueueSize": 3, "continuousBatching": False,
    }  # fmt: skip
    assert wanted.items() <= model.described().items()
    assert model.described()["jobQueueStatus"] == {"remainingCapacity": 12, "pendingRequests": 0}


def test_without_an_idle_time_there_are_no_sequences(stateful):
    model = stateful(sequenceMaxIdleMSec=0, maxNumSequence=1)
    described = model.described()
    assert (described["stateful"], described["maxNumSequence"]) == (False, 0)
    assert [model.told(name)["count"] for name in "aab"] == [1, 2, 1]
    log = (model.contract.server.folder / "logs" / "ts_log.log").read_text()
    assert f"model {model.name} has no sequences: sequenceBatching needs a sequenceMaxIdleMSec above 0" in log


def test_a_model_with_sequences_describes_itself(stateful, contract):
    model = stateful("describing")
    told = contract.management("GET", f"/models/{model.name}?customized=true").json()[0]
    assert told["customizedMetadata"] == {"told": "by the handler"}


def test_the_headers_can_be_called_otherwise(renamed):
    rules = {"sequenceBatching": True, "sequenceMaxIdleMSec": 60_000, "maxNumSequence": 1, "maxBatchDelay": 0}
    name = renamed.model("renamed", "count", **rules)

    def ask(order, **headers):
        return renamed.json(f"/predictions/{name}", order, **headers)

    begun = ask({})
    assert begun.json()["began"] == "true" and begun["X-Sequence-Id"].startswith("ts-seq-")
    ended = ask({"end": "true"}, **{"x-sequence-id": begun["X-Sequence-Id"]})
    assert (ended.json()["names"], ended["X-Sequence-End"]) == ([begun["X-Sequence-Id"]], "true")
    assert ask({}, **{"X-Sequence-Id": "other"}).json()["count"] == 1
