"""Contract: workers, section 9, handlers, section 9, and inference API, section 10: continuous batching."""

from __future__ import annotations

import http.client
import json
import time
from typing import Any

import pytest


@pytest.fixture
def spell(contract, request):
    """A model that spells words, a letter a round; named for the test."""

    class Spell:
        def __init__(self, **config: Any) -> None:
            self.name = contract.model(
                f"spell_{request.node.name}", "spell", **{"continuousBatching": True, "batchSize": 4} | config
            )

        def ask(self, word: str, headers: dict[str, str] | None = None, **order: Any) -> Any:
            return contract.json(f"/predictions/{self.name}", {"word": word, **order}, **headers or {})

        def rounds(self, word: str, **order: Any) -> list[dict[str, Any]]:
            """What the handler has told in each round of a request."""
            answer = self.ask(word, **order)
            assert answer.status == 200, answer.body
            return [json.loads(line) for line in answer.body.splitlines()]

        def begin(self, word: str, headers: dict[str, str] | None = None, **order: Any) -> Any:
            """A request whose first piece is there: its connection, and what is to be read from it."""
            connection = contract.connect()
            told = {"Content-Type": "application/json"} | (headers or {})
            connection.request("POST", f"/predictions/{self.name}", json.dumps({"word": word, **order}), told)
            answer = connection.getresponse()
            assert (answer.status, answer.getheader("ts_stream_next")) == (200, "true")
            assert json.loads(answer.readline())["letter"] == word[0]
            return connection, answer

        def described(self) -> dict[str, Any]:
            found: dict[str, Any] = contract.management("GET", f"/models/{self.name}").json()[0]
            return found

    return Spell


def letters(rounds: list[dict[str, Any]]) -> str:
    return "".join(told["letter"] for told in rounds)


def test_each_round_is_a_chunk(spell, contract):
    model = spell()
    body = b'{"word": "abc"}'
    received = contract.raw(
        b"POST /predictions/%s HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nConnection: close\r\n"
        b"Content-Length: %d\r\n\r\n" % (model.name.encode(), len(body)) + body
    )
    head, _, chunks = received.partition(b"\r\n\r\n")
    assert {b"ts_stream_next: true", b"transfer-encoding: chunked"} <= set(head.lower().split(b"\r\n"))
    pieces = chunks.split(b"\r\n")
    assert [json.loads(piece)["letter"] for piece in pieces[1:-3:2]] == ["a", "b", "c"]
    assert pieces[-3:] == [b"0", b"", b""]


def test_an_answer_of_one_round_is_whole(spell):
    answer = spell().ask("a")
    assert (answer.status, answer["ts_stream_next"], answer["transfer-encoding"]) == (200, "false", None)


def test_a_request_comes_again_without_its_body(spell):
    first, *others = spell().rounds("abc", headers={"X-Kept": "yes"})
    assert (first["row"], first["new"]) == (["body"], 1)
    assert [(told["row"], told["new"], told["id"], told["header"]) for told in others] == [
        ([], 0, first["id"], "yes")
    ] * 2


def test_the_header_alone_decides(spell):
    assert letters(spell().rounds("abcd", header=True)) == "abcd"


def test_requests_join_and_leave_while_others_go_on(spell):
    model = spell()
    connection, long = model.begin("abcdefghijklmnopqrstuvwxyz", pause=0.05)
    short = model.rounds("xy")
    assert [told["batch"] for told in short] == [2, 2]
    rest = [json.loads(line) for line in long.read().splitlines()]
    assert letters(rest) == "bcdefghijklmnopqrstuvwxyz"
    assert {told["batch"] for told in rest} == {1, 2} and rest[-1]["batch"] == 1
    connection.close()


def test_no_more_than_batch_size_share_a_round(spell, aside):
    model = spell(batchSize=2)
    calls = [aside(model.rounds, "abcd", pause=0.05) for _ in range(5)]
    told = [call.result() for call in calls]
    assert [letters(rounds) for rounds in told] == ["abcd"] * 5
    assert max(each["batch"] for rounds in told for each in rounds) == 2


def test_an_explanation_shares_no_round(spell, aside, contract):
    model = spell()
    connection, long = model.begin("abcdefghijklmnopqrst", pause=0.05)
    explained = aside(contract.json, f"/explanations/{model.name}", {"word": "xyz", "pause": 0.05})
    contract.eventually(lambda: model.described()["jobQueueStatus"]["pendingRequests"] == 1)
    behind = aside(model.rounds, "ab")
    told = [json.loads(line) for line in explained.result().body.splitlines()]
    assert [each["batch"] for each in told] == [1, 1, 1]
    assert [each["batch"] for each in behind.result()] == [1, 1]
    assert letters([json.loads(line) for line in long.read().splitlines()]) == "bcdefghijklmnopqrst"
    connection.close()


def test_a_lone_request_does_not_wait_for_others(spell):
    began = time.monotonic()
    spell(maxBatchDelay=20_000).rounds("a")
    assert time.monotonic() - began < 10


def test_a_client_that_leaves_makes_room(spell):
    model = spell(batchSize=1)
    connection, _ = model.begin("a" * 1000, pause=0.05)
    connection.close()
    assert letters(model.rounds("bc")) == "bc"
    assert model.rounds("d")[0]["forgotten"] == 2  # the handler no longer sees its id, nor that of the one before


def test_a_client_that_leaves_while_it_waits_is_passed_over(spell, contract):
    model = spell(batchSize=1)
    busy, answer = model.begin("abcdefgh", pause=0.1)
    waiting = contract.connect()
    waiting.request("POST", f"/predictions/{model.name}", b'{"word": "zz"}', {"Content-Type": "application/json"})
    contract.eventually(lambda: model.described()["jobQueueStatus"]["pendingRequests"] == 1)
    waiting.close()
    answer.read()
    busy.close()
    assert model.rounds("a")[0]["forgotten"] == 1


def test_a_failed_round_ends_all_that_share_it(spell, aside):
    model = spell()
    connection, long = model.begin("a" * 100, pause=0.05)
    failing = aside(model.ask, "xyz", **{"raise": 1})
    assert failing.result().error == (503, "InternalServerException", "Prediction failed")
    with pytest.raises(http.client.IncompleteRead):
        long.read()
    connection.close()
    assert letters(model.rounds("bc")) == "bc"  # the worker goes on


def test_a_worker_that_dies_breaks_its_answers_off(spell):
    model = spell()
    assert model.ask("abc", die=1).error == (500, "InternalServerException", "Worker died.")
    with pytest.raises(http.client.IncompleteRead):
        model.ask("abc", die=2)
    assert letters(model.rounds("bc")) == "bc"


def test_a_full_queue_refuses(spell, contract):
    model = spell(batchSize=1, jobQueueSize=1)
    busy, answer = model.begin("abcdefgh", pause=0.1)
    waiting = contract.connect()
    waiting.request("POST", f"/predictions/{model.name}", b'{"word": "zz"}', {"Content-Type": "application/json"})
    contract.eventually(lambda: model.described()["jobQueueStatus"]["pendingRequests"] == 1)
    assert model.ask("a").status == 503
    answer.read()
    assert waiting.getresponse().status == 200
    for connection in (busy, waiting):
        connection.close()


def test_a_scaled_down_worker_finishes_what_it_has_begun(spell, contract):
    model = spell()
    connection, long = model.begin("abcdefgh", pause=0.05)
    assert contract.management("PUT", f"/models/{model.name}?min_worker=0&synchronous=true").status == 200
    assert letters([json.loads(line) for line in long.read().splitlines()]) == "bcdefgh"
    connection.close()
    assert model.ask("a").status == 503


def test_metrics_count_an_answer_once(spell, contract):
    model = spell()
    model.rounds("abc")
    text = contract.request("GET", "/metrics", listener="metrics").body.decode()
    labels = f'{{model_name="{model.name}",model_version="1.0"}}'
    assert f"numserve_request_duration_seconds_count{labels} 1.0" in text
    assert f"numserve_queue_duration_seconds_count{labels} 1.0" in text
    assert f"numserve_batch_size_count{labels} 3.0" in text
    assert f"numserve_requests_in_flight{labels} 0.0" in text


def test_the_description_says_so(spell):
    assert spell().described()["continuousBatching"] is True


def test_a_missing_criterion_is_named(contract):
    name = contract.model("too_few_criteria", "few", continuousBatching=True)
    assert contract.json(f"/predictions/{name}", {}).status == 503
    contract.lines("model_log.log", "context.stopping_criteria has 1 criteria, and none for request 0 of the batch")


class TestWithSequences:
    """Continuous batching of requests that come in sequences."""

    RULES = {
        "sequenceBatching": True, "sequenceMaxIdleMSec": 60_000, "maxNumSequence": 2, "maxSequenceJobQueueSize": 2,
        "batchSize": 2,
    }  # fmt: skip

    @staticmethod
    def of(name: str) -> dict[str, str]:
        return {"ts_request_sequence_id": name}

    def test_a_second_request_joins_the_first_of_its_sequence(self, spell):
        model = spell(**self.RULES)
        connection, long = model.begin("abcdefghijklmnop", headers=self.of("s"), pause=0.05)
        assert long.getheader("ts_request_sequence_id") == "s"
        [beside] = model.rounds("x", headers=self.of("s"))
        assert beside["sequences"] == ["s", "s"]
        assert b'"letter": "p"' in long.read()
        connection.close()

    def test_a_third_one_waits(self, spell, aside):
        model = spell(**self.RULES)
        connection, long = model.begin("abcdefghijklmnop", headers=self.of("s"), pause=0.05)
        others = [aside(model.rounds, "xyz", headers=self.of("s"), pause=0.05) for _ in range(2)]
        told = [call.result() for call in others]
        long.read()
        connection.close()
        assert max(each["batch"] for rounds in told for each in rounds) == 2

    def test_sequences_share_a_round_and_end_at_the_handlers_word(self, spell):
        model = spell(**self.RULES)
        connection, long = model.begin("abcdefghijklmnop", headers=self.of("s"), pause=0.05)
        assert set(model.rounds("x", headers=self.of("t"), end="t")[0]["sequences"]) == {"s", "t"}
        assert model.ask("x", headers=self.of("u"), end="s;u").status == 200
        long.read()  # what has begun in a sequence is answered after its end
        connection.close()
        for name in ("v", "w"):
            assert model.ask("x", headers=self.of(name)).status == 200
        assert model.ask("x", headers=self.of("y")).status == 503
