"""Answers in pieces: the stream, the batch that feeds it, the worker that sends it, the chunks that go out."""

import asyncio
import logging

import pytest
from numserve.server.batching.batch import Batch, Job
from numserve.server.batching.stream import PIECE_COST, Stream
from numserve.server.errors import InferenceFailed, ServingError, StreamBroken, WorkerDied
from numserve.server.messages import BatchReport, Failure, InferenceRequest, InferenceResponse, Part

SPEAK = """
    from ts.handler_utils.utils import send_intermediate_predict_response

    def handle(data, context):
        if data is None:
            return
        words = [(row["body"] or b"").decode().split() for row in data]
        for number in range(max(map(len, words)) - 1):
            pieces = [each[number] + " " for each in words]
            if "boom" in pieces[0]:
                raise ValueError("boom")
            context.set_response_content_type(0, "text/plain")
            send_intermediate_predict_response(pieces, context.request_ids, "piece", 200, context)
        return [each[-1] for each in words]
"""


class Silent:
    def __init__(self):
        self.answers = 0

    def batch_done(self, report, seconds): ...

    def first_piece(self, seconds): ...

    def answered(self, seconds, waited, version_given):
        self.answers += 1


def piece(text: str) -> InferenceResponse:
    return InferenceResponse(200, "", None, {}, text.encode())


async def read(stream) -> list[bytes]:
    return [bytes(each) async for each in stream]


@pytest.fixture
async def batch():
    loop = asyncio.get_running_loop()
    jobs = [Job(InferenceRequest(str(i), (), {}), loop.create_future(), 0, 0, False, False) for i in range(2)]
    watch = Silent()
    made = Batch(jobs, loop.time, watch, stream_limit=1000)
    return made, [job.answer for job in jobs], watch


async def test_pieces_come_in_order_and_end():
    stream = Stream(1000)
    stream.put(b"a")
    reading = asyncio.create_task(read(stream))
    await asyncio.sleep(0)
    stream.put(b"b")
    stream.end()
    stream.put(b"late")
    assert await reading == [b"a", b"b"]


async def test_what_is_not_read_breaks_the_stream_and_is_bounded():
    stream = Stream(3 * PIECE_COST)
    for _ in range(1000):
        stream.put(b"x")
    with pytest.raises(StreamBroken, match="max_response_size"):
        await read(stream)


async def test_the_first_piece_is_the_answer_and_the_rest_follows(batch):
    made, answers, watch = batch
    made.advance([piece("a"), piece("b")])
    made.advance([piece("c"), piece("d")])
    made.settle([piece("e"), Failure("InferenceFailed", "no")], BatchReport(0, 0))
    assert [answer.result().body for answer in answers] == [b"a", b"b"]
    assert await read(answers[0].result().further) == [b"c", b"e"]
    with pytest.raises(InferenceFailed, match="no"):
        await read(answers[1].result().further)
    assert watch.answers == 1


async def test_a_worker_that_dies_breaks_the_answer_off(batch):
    made, answers, _ = batch
    answers[1].cancel()
    made.advance([piece("a"), piece("b")])
    made.fail(WorkerDied("Worker died."))
    with pytest.raises(WorkerDied):
        await read(answers[0].result().further)


async def test_a_reader_that_leaves_gets_nothing_more(batch):
    made, answers, watch = batch
    made.advance([piece("a"), piece("b")])
    for answer in answers:
        answer.result().further.close()
    made.settle([piece("c"), piece("d")], BatchReport(0, 0))
    assert await read(answers[0].result().further) == []
    assert watch.answers == 0


async def test_a_client_gets_all_pieces(serve):
    client = await serve(SPEAK)
    answer = await client.predict(content=b"one two three")
    assert (answer.status_code, answer.text) == (200, "one two three")
    assert answer.headers["ts_stream_next"] == "true"
    assert answer.headers["content-type"] == "text/plain"
    assert "content-length" not in answer.headers


async def test_requests_of_a_batch_each_get_their_own_pieces(serve):
    client = await serve(SPEAK, batchSize=2, maxBatchDelay=2000, fixedDelay=True)
    answers = await asyncio.gather(client.predict(content=b"a b c"), client.predict(content=b"d e f"))
    assert [answer.text for answer in answers] == ["a b c", "d e f"]


async def test_an_early_failure_is_still_a_status(serve):
    client = await serve(SPEAK)
    answer = await client.predict(content=b"boom two")
    assert (answer.status_code, answer.json()["message"]) == (503, "Prediction failed")


@pytest.mark.parametrize(
    ("pieces", "message"),
    [('["a", "b"]', "number of batch response mismatched"), ("[object()]", "Unsupported model output data type.")],
)
async def test_a_piece_that_cannot_be_sent_is_refused(serve, pieces, message):
    client = await serve(f"""
        from ts.protocol.otf_message_handler import send_intermediate_predict_response

        def handle(data, context):
            if data is None:
                return
            send_intermediate_predict_response({pieces}, context.request_ids, "", 200, context)
            return ["end"]
    """)
    answer = await client.predict(content=b"")
    assert (answer.status_code, answer.json()["message"]) == (503, message)


async def test_a_piece_that_says_it_is_an_error_ends_the_answer(serve):
    client = await serve("""
        from ts.handler_utils.utils import send_intermediate_predict_response

        def handle(data, context):
            if data is None:
                send_intermediate_predict_response([], {}, "nobody is there", 200, context)
                return
            send_intermediate_predict_response(["x"], context.request_ids, "enough", 429, context)
    """)
    answer = await client.predict(content=b"")
    assert (answer.status_code, answer.json()["message"]) == (429, "enough")


async def test_breaking_off_is_logged_with_the_request(serve, caplog):
    caplog.set_level(logging.WARNING, "numserve.server.api.pieces")
    client = await serve(SPEAK)
    with pytest.raises(AssertionError):  # httpx's transport asserts that an answer is complete
        await client.predict(content=b"one boom three")
    assert "breaks off: Prediction failed" in caplog.text


def test_its_error_is_one_of_ours():
    assert issubclass(StreamBroken, ServingError)


async def test_a_handler_stops_when_nobody_waits(serve):
    client = await serve("""
        import time
        from ts.handler_utils.utils import send_intermediate_predict_response

        def handle(data, context):
            for _ in range(3000 if data and data[0] else 0):
                send_intermediate_predict_response(["x"], context.request_ids, "", 200, context)
                time.sleep(0.01)
            return ["end"] * len(data or [])
    """)
    model = client.registry.get("m")
    answer = await model.predict(InferenceRequest("1", (Part("body", None, b"x"),), {}))
    answer.further.close()
    assert (await asyncio.wait_for(model.predict(InferenceRequest("2", (), {})), 20)).body == b"end"
