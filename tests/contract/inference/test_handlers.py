"""Contract: handlers, sections 4 and 7: explanations, customised descriptions, custom metrics, micro-batches."""

import json

import pytest


@pytest.mark.parametrize("path", ["/explanations/explain", "/v1/models/explain:explain", "/v2/models/explain/explain"])
def test_a_handler_explains(contract, path):
    contract.model("explain")
    assert contract.post(path, "cat", "text/plain").json() == {"explained": "cat", "target": "0"}


def test_a_target_comes_with_the_request(contract):
    contract.model("explain")
    form = contract.post("/explanations/explain", "data=cat&target=3", "application/x-www-form-urlencoded").json()
    assert form["target"] == "bytearray(b'3')"


def test_a_handler_predicts_as_well(contract):
    contract.model("explain")
    assert contract.post("/predictions/explain", "cat", "text/plain").json() == {"predicted": "cat"}


def test_a_handler_describes_its_model(contract):
    contract.model("explain")
    (plain,) = contract.management("GET", "/models/explain").json()
    assert "customizedMetadata" not in plain
    (told,) = contract.management("GET", "/models/explain?customized=true").json()
    assert json.loads(json.dumps(told["customizedMetadata"])) == {"about": "three faces"}


def test_what_a_handler_counts_is_scraped(contract):
    contract.model("explain")
    contract.post("/predictions/explain", "cat", "text/plain")
    samples = contract.request("GET", "/metrics?name[]=ContractRequests", listener="metrics").body.decode()
    assert 'ContractRequests{ModelName="explain",Level="Model"' in samples


def test_micro_batches_answer_in_order(contract):
    contract.model("micro", batchSize=4, maxBatchDelay=1000, fixedDelay=True)
    answers = contract.at_once(
        *[lambda text=text: contract.post("/predictions/micro", text, "text/plain") for text in "abcd"]
    )
    assert [answer.body for answer in answers] == [b"A", b"B", b"C", b"D"]
    assert contract.post("/explanations/micro", "x", "text/plain").json() == {"explained": "x"}


def test_an_async_handler_answers_a_batch_side_by_side(contract):
    contract.model("waits", batchSize=2, maxBatchDelay=1000, fixedDelay=True)
    answers = contract.at_once(
        lambda: contract.post("/predictions/waits", b"one"), lambda: contract.post("/predictions/waits", b"two")
    )
    assert [answer.body for answer in answers] == [b"pieces and one", b"pieces and two"]
