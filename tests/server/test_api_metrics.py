"""The metrics listener."""

from __future__ import annotations

import pytest


@pytest.mark.parametrize(("method", "path"), [("GET", "/metrics"), ("POST", "/metrics/"), ("GET", "/metrics/below")])
async def test_metrics_are_there_by_any_method(serve, method, path):
    client = await serve(None)
    answer = await client.metrics.request(method, path)
    assert (answer.status_code, answer.headers["content-type"]) == (200, "text/plain; version=0.0.4; charset=utf-8")
    assert "Requests2XX" in answer.text


async def test_answers_are_counted_on_every_listener(serve):
    client = await serve()
    await client.predict(content=b"x")
    await client.inference.get("/nowhere")
    await client.management.get("/models")
    counted = (await client.metrics.get("/metrics")).text
    assert 'Requests2XX{Level="Host",Hostname="test-host"} 2.0' in counted
    assert 'Requests4XX{Level="Host",Hostname="test-host"} 1.0' in counted


async def test_all_unknown_models_share_one_label(serve):
    client = await serve()
    for path in ("/predictions/a", "/predictions/b", "/predictions/m/9.9"):
        assert (await client.inference.post(path)).status_code == 404
    rejected = (await client.metrics.get("/metrics?name[]=numserve_requests_rejected_total")).text
    assert 'numserve_requests_rejected_total{model_name="_unknown",reason="unknown_model"} 3.0' in rejected


async def test_names_choose_samples(serve):
    client = await serve(None)
    text = (await client.metrics.get("/metrics?name[]=Requests2XX&name[]=Requests4XX")).text
    samples = [line.split("{")[0] for line in text.splitlines() if not line.startswith("#")]
    assert samples == ["Requests2XX", "Requests4XX"]


@pytest.mark.parametrize("path", ["/ping", "/", "/models"])
async def test_nothing_else_is_there(serve, path):
    client = await serve(None)
    assert (await client.metrics.get(path)).status_code in (404, 405)


async def test_the_listener_describes_itself(serve):
    client = await serve(None)
    assert "/metrics" in (await client.metrics.options("/")).json()["paths"]
