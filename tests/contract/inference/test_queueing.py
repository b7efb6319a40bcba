"""Contract: inference API, section 7: queues, time limits, workers that are not there."""

import time

import pytest


def test_a_full_queue_refuses_at_once(contract, deviates):
    contract.model("narrow", "steer", jobQueueSize=1)
    answers = contract.at_once(*[lambda: contract.json("/predictions/narrow", {"sleep": 1})] * 6)
    refused = [answer for answer in answers if answer.status == 503]
    assert refused and {answer.status for answer in answers} == {200, 503}
    assert {answer.error[1] for answer in refused} == {"ServiceUnavailableException"}
    assert {answer["retry-after"] for answer in refused} == {"1"}
    deviates("queue full")


def test_with_job_tickets_nobody_waits(contract):
    contract.model("ticket", "steer", useJobTicket=True)
    answers = contract.at_once(*[lambda: contract.json("/predictions/ticket", {"sleep": 1})] * 3)
    assert sorted(answer.status for answer in answers) == [200, 503, 503]
    assert contract.management("GET", "/models/ticket").json()[0]["useJobTicket"] is True


def test_the_server_wide_queue_size_counts_where_the_model_says_nothing(strict):
    strict.model("slow", "tell")
    assert strict.management("GET", "/models/slow").json()[0]["jobQueueStatus"]["remainingCapacity"] == 1


def test_a_model_given_up_refuses_instead_of_keeping_clients_waiting(contract, deviates):
    contract.model("gone", "steer", maxRetryTimeoutInSec=0)
    assert contract.json("/predictions/gone", {"exit": 1}).status == 500
    contract.eventually(lambda: contract.json("/predictions/gone", {}).status == 503)
    deviates("a model none of whose workers will ever serve")
    assert contract.management("DELETE", "/models/gone").status == 200


def test_a_request_waits_while_a_worker_comes_back(contract):
    contract.model("back", "steer")
    assert contract.json("/predictions/back", {"exit": 1}).status == 500
    assert contract.json("/predictions/back", {"answer": "here again"}).body == b"here again"


def test_workers_that_have_served_enough_are_replaced_without_a_lost_request(contract):
    contract.model("worn", "steer", maxRequestsPerWorker=20)

    def pids():
        return {worker["pid"] for worker in contract.management("GET", "/models/worn").json()[0]["workers"]}

    first = pids()
    answers = contract.at_once(*[lambda: contract.json("/predictions/worn", {"answer": "fine"})] * 30)
    assert {answer.status for answer in answers} == {200}

    def replaced():
        assert contract.json("/predictions/worn", {"answer": "fine"}).status == 200
        return len(pids()) == 1 and not first & pids()

    contract.eventually(replaced)


def test_a_client_timeout_is_answered(contract, deviates):
    contract.model("hasty", "steer", clientTimeoutInMills=200)
    began = time.monotonic()
    assert contract.json("/predictions/hasty", {"sleep": 4}).error[:2] == (504, "RequestTimeoutException")
    assert time.monotonic() - began < 4
    deviates("`clientTimeoutInMills`")


@pytest.mark.parametrize("path", ["/predictions/steer", "/v2/models/steer/infer"])
def test_a_client_says_how_long_it_waits(contract, path, deviates):
    contract.model("steer")
    began = time.monotonic()
    told = contract.json(path, {"sleep": 3}, **{"X-Request-Timeout": "0.15"})
    assert told.status == 504 and time.monotonic() - began < 3
    assert "There was no answer after 0.1" in told.error[2] and "x-request-timeout allows no more" in told.error[2]
    assert contract.json(path, {"answer": "in time"}, **{"X-Request-Timeout": "30"}).status == 200
    deviates("`X-Request-Timeout`")


@pytest.mark.parametrize("said", ["soon", "0", "-1", "nan", "inf", ""])
def test_a_time_that_is_none_is_refused(contract, said):
    contract.model("steer")
    told = contract.json("/predictions/steer", {}, **{"X-Request-Timeout": said})
    assert told.status == 400 and "x-request-timeout" in told.error[2]


def test_scaling_down_lets_a_request_in_flight_finish(contract, deviates):
    contract.model("leaving", "steer", workers=2)
    scaled, served = contract.at_once(
        lambda: time.sleep(0.3) or contract.management("PUT", "/models/leaving?min_worker=1&synchronous=true"),
        lambda: contract.json("/predictions/leaving", {"sleep": 1, "answer": "served"}),
    )
    assert (scaled.status, served.status, served.body) == (200, 200, b"served")
    deviates("scale-down, unregister")


def test_unregistering_lets_requests_in_flight_finish(contract):
    contract.model("going", "steer")
    removed, served = contract.at_once(
        lambda: time.sleep(0.5) or contract.management("DELETE", "/models/going"),
        lambda: contract.json("/predictions/going", {"sleep": 1.5, "answer": "served"}),
    )
    assert (removed.status, served.status) == (200, 200)
    contract.forget("going")


def test_a_lone_request_of_a_batching_model_goes_at_once(contract, deviates):
    contract.model("prompt", "tell", batchSize=8, maxBatchDelay=60_000)
    assert contract.post("/predictions/prompt").json()["batch"] == 1
    deviates("`maxBatchDelay` while a worker is idle")


def test_a_lone_request_pays_a_fixed_delay(contract):
    contract.model("patient", "tell", batchSize=8, maxBatchDelay=300, fixedDelay=True)
    began = time.monotonic()
    assert contract.post("/predictions/patient").json()["batch"] == 1
    assert time.monotonic() - began >= 0.3


def test_a_full_batch_goes_at_once(contract):
    contract.model("full", "tell", batchSize=3, maxBatchDelay=20000, fixedDelay=True)
    began = time.monotonic()
    answers = contract.at_once(*[lambda: contract.post("/predictions/full")] * 3)
    assert [answer.json()["batch"] for answer in answers] == [3, 3, 3]
    assert time.monotonic() - began < 20


def test_explanations_share_no_batch(contract, deviates):
    contract.model("apart", "tell", batchSize=2, maxBatchDelay=1000, fixedDelay=True)
    answers = contract.at_once(
        lambda: contract.post("/predictions/apart"),
        lambda: contract.post("/explanations/apart"),
        lambda: contract.post("/predictions/apart"),
    )
    assert answers[1].json()["batch"] == 1
    assert [answer.json()["explain"] for answer in answers] == ["False", "True", "False"]
    deviates("explanations in a batch")


@pytest.mark.slow
def test_a_client_that_hangs_up_takes_its_request_along(contract, deviates):
    contract.model("alone", "steer")
    connection = contract.connect()
    connection.request("POST", "/predictions/alone", b'{"sleep": 2}', {"Content-Type": "application/json"})
    waiting = contract.connect()
    waiting.request("POST", "/predictions/alone", b'{"sleep": 30}', {"Content-Type": "application/json"})
    time.sleep(0.5)
    waiting.close()
    connection.getresponse().read()
    connection.close()
    assert contract.json("/predictions/alone", {"answer": "next"}).body == b"next"
    deviates("a client that hangs up")


def batching(contract, name):
    return contract.management("GET", f"/models/{name}").json()[0]["batching"]


def test_batches_of_a_default_handler_grow_by_themselves(contract, deviates):
    contract.model("growing", "tensor", model_file="double", engine={"inputs": [[1, 3]]})
    asked, twice = {"instances": [[1, 2, 3]]}, {"twice": [2, 4, 6], "negative": [-1, -2, -3]}

    def grown():
        answers = contract.at_once(*[lambda: contract.json("/predictions/growing", asked)] * 16)
        assert [answer.json() for answer in answers] == [{"predictions": [twice]}] * 16
        return batching(contract, "growing")["size"] > 1

    contract.eventually(grown)
    told = batching(contract, "growing")
    assert (told["mode"], told["latencyTarget"], "reason" in told) == ("adaptive", 100, False)
    deviates("neither `batchSize` nor `maxBatchDelay`")


def test_a_handler_of_the_users_gets_batches_where_its_yaml_says_so(contract):
    contract.model("single", "tell")
    contract.model("several", "tell", batching="adaptive", batchSize=4)
    assert batching(contract, "single")["size"] == 1 and "batching: adaptive" in batching(contract, "single")["reason"]
    for name, most in ({"single": 1, "several": 4}).items():
        answers = contract.at_once(*[lambda name=name: contract.post(f"/predictions/{name}")] * 16)
        assert max(answer.json()["batch"] for answer in answers) <= most
    assert "reason" not in batching(contract, "several")
