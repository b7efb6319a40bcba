"""The number of worker processes follows the load, where a model says so (docs/workers.md, scaling)."""

import psutil


def described(contract, name):
    return contract.management("GET", f"/models/{name}").json()[0]


def pids(contract, name):
    return {worker["pid"] for worker in described(contract, name)["workers"] if worker["status"] == "READY"}


def gone(contract, name):
    assert contract.management("DELETE", f"/models/{name}").status == 200
    contract.forget(name)


def test_requests_that_wait_start_another_worker_unless_the_machine_is_busy(contract, deviates):
    deviates("`maxWorkers` above `minWorkers`")
    contract.model("ranged", "steer", scaleUpWait=0.05, scaleDownAfter=1)
    assert contract.management("PUT", "/models/ranged?min_worker=1&max_worker=2&synchronous=true").status == 200
    answers = []

    def decided():
        order = {"sleep": 0.3, "answer": "done"}
        answers.extend(contract.at_once(*[lambda: contract.json("/predictions/ranged", order)] * 6))
        return "lastDecision" in described(contract, "ranged")["autoscaling"]

    contract.eventually(decided)
    first = contract.lines("ts_log.log", "model ranged 1.0: 1 → ")[0]
    assert "2 workers: the oldest request has waited" in first or "but the CPU is" in first or "of memory" in first
    contract.eventually(lambda: len(pids(contract, "ranged")) == 1)
    assert {answer.body for answer in answers} == {b"done"}
    gone(contract, "ranged")


def test_a_model_without_requests_has_no_workers_until_one_comes(contract, deviates):
    deviates("`scaleToZeroAfter`")
    contract.model("drowsy", "steer", workers=2, scaleToZeroAfter=1)
    before = pids(contract, "drowsy")
    contract.eventually(lambda: described(contract, "drowsy")["state"] == "asleep")
    contract.eventually(lambda: not any(map(psutil.pid_exists, before)))
    for path in ("/ping", "/v2/models/drowsy/ready"):
        assert contract.request("GET", path).status == 200
    order = {"answer": "awake"}
    answers = contract.at_once(*[lambda: contract.json("/predictions/drowsy", order)] * 3)
    assert [answer.body for answer in answers] == [b"awake"] * 3
    contract.eventually(lambda: described(contract, "drowsy")["state"] == "asleep")
    assert contract.management("PUT", "/models/drowsy?min_worker=0&synchronous=true").status == 200
    assert contract.json("/predictions/drowsy", order).status == 503, "by hand, none means none"
    gone(contract, "drowsy")
