"""Contract: gRPC, section 2: InferenceAPIsService."""

import json
import threading
import time

import grpc
import pytest


def test_a_ping_is_rests_json(client, generated):
    empty = generated["inference_pb2"].google_dot_protobuf_dot_empty__pb2.Empty()
    assert client.inference.Ping(empty).health == '{\n  "status": "Healthy"\n}'


def test_each_input_is_a_key_with_a_bytearray(client):
    told = json.loads(client.predict("tell", data=b'{"a": 1}', other=b"\xff"))
    assert told["row"] == {"data": ["bytearray", '{"a": 1}'], "other": ["bytearray", "\xff"]}
    assert (told["url_path"], told["explain"]) == ("", "False")


def test_metadata_reaches_the_handler_as_headers(client, deviates):
    deviates("metadata of a call")
    asked, metadata = client.request("tell"), [("x-mine", "yes"), ("describe", "True"), ("x-mine-bin", b"\xff")]
    answer, call = client.inference.Predictions.with_call(asked, metadata=metadata)
    headers = json.loads(answer.prediction)["headers"]
    assert headers["x-mine"] == "yes"
    assert not headers.keys() & {"describe", "x-mine-bin"}
    [(key, identity)] = call.trailing_metadata()
    assert (key, identity) == ("x-request-id", json.loads(answer.prediction)["id"])


def test_a_version_can_be_named(client, refused):
    assert client.predict("tell", version="1.0")
    with refused("NOT_FOUND", "Model version: 9 does not exist for model: tell"):
        client.predict("tell", version="9")


def test_only_the_body_of_an_answer_counts(client, ordered):
    assert client.predict("obey", **ordered(answer="hi", status=418)) == b"hi"


def test_a_model_must_be_named_and_known(client, refused, deviates):
    deviates("status of a model that is not known")
    with refused("INVALID_ARGUMENT", "Parameter model_name is required."):
        client.predict("")
    with refused("NOT_FOUND", "Model not found: nobody"):
        client.predict("nobody")


def test_a_model_without_workers_is_unavailable(client, refused):
    client.contract.model("nobodys", "tell", workers=0)
    with refused("UNAVAILABLE", 'Model "nobodys" has no worker to serve inference request.'):
        client.predict("nobodys")


def test_a_full_queue_is_unavailable(client, obedient, ordered):
    obedient("narrow", jobQueueSize=1)
    asked = client.request("narrow", **ordered(sleep=1))
    calls = [client.inference.Predictions.future(asked) for _ in range(5)]
    codes = [call.code().name for call in calls]
    assert set(codes) == {"OK", "UNAVAILABLE"}
    refused = [call for call in calls if call.code().name != "OK"]
    assert {call.details() for call in refused} == {"1 requests are waiting already"}
    assert all(int(dict(call.trailing_metadata())["grpc-retry-pushback-ms"]) >= 1000 for call in refused)


CODES = {
    400: "INVALID_ARGUMENT", 401: "UNAUTHENTICATED", 403: "PERMISSION_DENIED", 404: "NOT_FOUND", 409: "ABORTED",
    413: "RESOURCE_EXHAUSTED", 416: "OUT_OF_RANGE", 418: "FAILED_PRECONDITION", 429: "RESOURCE_EXHAUSTED",
    499: "CANCELLED", 500: "INTERNAL", 501: "UNIMPLEMENTED", 503: "UNAVAILABLE", 504: "DEADLINE_EXCEEDED",
    507: "INTERNAL",
}  # fmt: skip


@pytest.mark.parametrize("code", CODES)
def test_a_handlers_code_becomes_a_status(client, ordered, refused, code):
    with refused(CODES[code], "too bad"):
        client.predict("obey", **ordered(refuse=["too bad", code]))


@pytest.mark.parametrize(
    ("what", "code", "text"),
    [
        ({"raise": "value"}, "UNAVAILABLE", "Prediction failed"),
        ({"raise": "memory"}, "INTERNAL", "Out of resources"),
        ({"tuple": True}, "UNAVAILABLE", "Invalid model predict output"),
        ({"set": True}, "UNAVAILABLE", "Unsupported model output data type."),
    ],
)
def test_a_handler_that_fails_has_its_status(client, ordered, refused, deviates, what, code, text):
    deviates("second line of an error")
    with refused(code, text):
        client.predict("obey", **ordered(**what))


def test_a_worker_that_dies_is_internal(client, obedient, ordered, refused):
    obedient("mortal")
    with refused("INTERNAL", "Worker died."):
        client.predict("mortal", **ordered(exit=1))
    assert client.predict("mortal", **ordered(answer="again")) == b"again"


def test_a_request_over_the_limit_is_refused_compressed_or_not(client, refused):
    for compression in (grpc.Compression.NoCompression, grpc.Compression.Gzip):
        asked = client.request("tell", data=bytes(1_000_001))
        with refused("RESOURCE_EXHAUSTED", "larger than max"):
            client.inference.Predictions(asked, compression=compression)


def test_a_compressed_request_is_read(client):
    asked = client.request("tell", data=b"a" * 1000)
    answer = client.inference.Predictions(asked, compression=grpc.Compression.Gzip)
    assert json.loads(answer.prediction)["row"]["data"][1] == "a" * 1000


def test_a_stream_has_a_message_for_each_piece(client, ordered):
    asked = client.request("obey", **ordered(pieces=["one", "two"], answer="three"))
    assert [part.prediction for part in client.inference.StreamPredictions(asked)] == [b"one", b"two", b"three"]
    whole = client.request("obey", **ordered(answer="whole"))
    assert [part.prediction for part in client.inference.StreamPredictions(whole)] == [b"whole"]


def test_a_unary_call_gets_all_pieces_at_once(client, ordered):
    assert client.predict("obey", **ordered(pieces=["one", "two"], answer="three")) == b"onetwothree"


def test_a_stream_that_breaks_off_has_a_status(client, ordered, refused):
    asked = client.request("obey", **ordered(**{"pieces": ["one"], "raise": "value"}))
    answers = client.inference.StreamPredictions(asked)
    assert next(answers).prediction == b"one"
    with refused("UNAVAILABLE", "Prediction failed"):
        next(answers)


def test_a_sequence_is_answered_in_order_and_errors_are_in_the_stream(client):
    first = client.request("tell", sequence="s", n=b"0")
    nobody, nameless = client.request("nobody", sequence="s"), client.request("tell")
    last = client.request("tell", sequence="t", n=b"3")
    answers = list(client.inference.StreamPredictions2(iter([first, nobody, nameless, last])))
    told = [json.loads(answers[place].prediction) for place in (0, 3)]
    assert [each["row"]["n"][1] for each in told] == ["0", "3"]
    assert told[0]["headers"]["ts_request_sequence_id"] == answers[0].sequence_id == "s"
    assert answers[3].sequence_id == "t"
    assert (answers[1].status.code, answers[1].status.message) == (5, "Model not found: nobody")
    assert (answers[2].status.code, answers[2].status.message) == (3, "Parameter sequenceId is required.")
    assert not answers[0].HasField("status")


def test_a_sequence_has_one_worker_and_a_name(client):
    config = {"sequenceBatching": True, "sequenceMaxIdleMSec": 60000, "maxNumSequence": 4}
    client.contract.model("counts", client.count, workers=2, **config)
    asked = [client.request("counts", ts_request_sequence_start=b"")]
    asked += [client.request("counts", sequence="mine"), client.request("counts", sequence="mine")]
    answers = list(client.inference.StreamPredictions2(iter(asked)))
    told = [json.loads(answer.prediction) for answer in answers]
    assert [each["count"] for each in told] == [1, 1, 2]
    assert [answer.sequence_id for answer in answers] == [told[0]["name"], "mine", "mine"]
    assert (told[0]["name"].startswith("ts-seq-"), told[0]["began"], told[0]["keys"]) == (True, "true", [])


def test_requests_of_a_stream_share_batches(client):
    client.contract.model("together", "tell", batchSize=8, maxBatchDelay=5000, fixedDelay=True)
    asked = [client.request("together", sequence="s", n=b"%d" % n) for n in range(8)]
    told = [json.loads(answer.prediction) for answer in client.inference.StreamPredictions2(iter(asked))]
    assert [each["row"]["n"][1] for each in told] == [str(n) for n in range(8)]
    assert {each["batch"] for each in told} == {8}


def test_the_stream_stays_open_until_the_client_ends_it(client):
    done = threading.Event()

    def asked():
        yield client.request("tell", sequence="s", n=b"0")
        done.wait(60)
        yield client.request("tell", sequence="s", n=b"1")

    answers = client.inference.StreamPredictions2(asked())
    assert next(answers).prediction
    done.set()
    assert next(answers).prediction
    assert list(answers) == []


def rejected(client, reason, model):
    body = client.contract.request("GET", "/metrics", listener="metrics").body.decode()
    return f'numserve_requests_rejected_total{{model_name="{model}",reason="{reason}"}} 1' in body


def hold(client, obedient, ordered, name):
    """A model whose only worker is busy for a while."""
    obedient(name)
    busy = client.inference.Predictions.future(client.request(name, **ordered(sleep=2.5)))
    metrics = f'numserve_queue_depth{{model_name="{name}",model_version="1.0"}} 0'
    started = f'numserve_batch_size_count{{model_name="{name}",model_version="1.0"}} 1'

    def taken():
        body = client.contract.request("GET", "/metrics", listener="metrics").body.decode()
        return metrics in body and started in body

    client.contract.eventually(taken)
    return busy


def test_the_clients_deadline_is_the_requests(client, obedient, ordered, refused):
    busy = hold(client, obedient, ordered, "late")
    began = time.monotonic()
    with refused("DEADLINE_EXCEEDED"):
        client.predict("late", timeout=0.2, **ordered(answer="too late"))
    assert time.monotonic() - began < 2
    # its clock began before the server's: on a slow machine it may be seen to leave first
    client.contract.eventually(lambda: rejected(client, "deadline", "late") or rejected(client, "client_gone", "late"))
    assert busy.result().prediction


def test_a_handler_over_its_time_is_a_deadline(client, obedient, ordered, refused):
    obedient("overdue", responseTimeout=1)
    with refused("DEADLINE_EXCEEDED", "seconds; responseTimeout allows 1"):
        client.predict("overdue", **ordered(sleep=60))
    assert client.predict("overdue", **ordered(answer="back"))


def test_a_request_is_dropped_when_its_client_leaves(client, obedient, ordered):
    busy = hold(client, obedient, ordered, "left")
    call = client.inference.Predictions.future(client.request("left", **ordered(answer="for nobody")))
    depth = 'numserve_queue_depth{model_name="left",model_version="1.0"} 1'
    client.contract.eventually(
        lambda: depth in client.contract.request("GET", "/metrics", listener="metrics").body.decode()
    )
    call.cancel()
    client.contract.eventually(lambda: rejected(client, "client_gone", "left"))
    assert busy.result().prediction
