"""Contract: inference API, section 3: /ping."""

import pytest


@pytest.mark.parametrize("method", ["GET", "POST", "PUT", "HEAD"])
def test_ping_is_healthy(contract, method):
    answer = contract.request(method, "/ping/" if method == "PUT" else "/ping")
    assert answer.status == 200
    assert answer.body == (b"" if method == "HEAD" else b'{\n  "status": "Healthy"\n}\n')
    assert answer["content-type"] == "application/json"


def test_a_model_without_workers_is_healthy(contract):
    contract.model("idle", "tell", workers=0)
    assert contract.request("GET", "/ping").status == 200


def test_only_the_default_version_counts_and_a_model_given_up_is_unhealthy(contract):
    contract.model("frail", "steer", maxRetryTimeoutInSec=0)
    contract.model("frail", "tell", version="2.0")
    assert contract.json("/predictions/frail", {"signal": "SIGKILL"}).status == 500
    contract.eventually(lambda: contract.request("GET", "/ping").status == 500)
    answer = contract.request("GET", "/ping")
    told = answer.json()
    assert told["status"] == "Unhealthy"
    assert told["reason"].endswith(" models cannot be served; the management API says why")
    assert contract.management("PUT", "/models/frail/2.0/set-default").status == 200
    assert contract.request("GET", "/ping").status == 200
    for version in ("1.0", "2.0"):
        assert contract.management("DELETE", f"/models/frail/{version}").status == 200


def test_a_worker_that_fails_for_a_while_is_healthy(contract):
    contract.model("shaken", "steer")
    assert contract.json("/predictions/shaken", {"signal": "SIGKILL"}).status == 500
    assert contract.request("GET", "/ping").status == 200
    assert contract.management("DELETE", "/models/shaken").status == 200
