"""Health and metrics without FastAPI, which is imported when somebody asks for more."""

import asyncio
import subprocess
import sys

import pytest
from numserve.server.api import inference_app, metrics_app
from numserve.server.api.inference import inference_routes
from numserve.server.api.later import Later
from numserve.server.api.metrics import metrics_routes
from numserve.server.settings import Settings


async def asked(app, path: str, query: bytes = b"", method: str = "GET") -> list[dict]:
    """What an application sends."""
    sent = []

    async def send(message):
        sent.append(dict(message))

    async def receive():
        return {"type": "http.request", "body": b"", "more_body": False}

    scope = {"type": "http", "method": method, "path": path, "query_string": query, "headers": [], "root_path": ""}
    await app({**scope, "http_version": "1.1", "scheme": "http", "server": ("t", 80)}, receive, send)
    return sent


@pytest.fixture
async def client(serve):
    return await serve()


PATHS = ["/ping", "/v2/health/live", "/v2/health/ready"]


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("state", ["well", "ill", "stopping"])
async def test_health_is_told_as_fastapi_would_tell_it(client, path, state, monkeypatch):
    if state == "ill":
        monkeypatch.setattr(client.registry, "unhealthy", lambda: ["m"])
        monkeypatch.setattr(client.registry, "unready", lambda: ["m", "n"])
    client.registry.stopping = state == "stopping"
    settings = Settings()
    told = await asked(inference_app(client.registry, settings, client.registry._metrics), path)
    assert (told[0]["status"] >= 400) == (state != "well" and path != "/v2/health/live")
    assert [*map(_content, told)] == [*map(_content, await asked(inference_routes(client.registry, settings), path))]


def _content(message: dict) -> tuple:
    return tuple(message.get(key) for key in ("type", "status", "headers", "body"))


@pytest.mark.parametrize("query", [b"", b"name[]=up", b"name%5B%5D=up&name[]=python_info&x"])
async def test_metrics_are_told_as_fastapi_would_tell_them(client, query, monkeypatch):
    wanted = []

    async def exposed(names):
        wanted.append([*names])
        return b"one\n"

    metrics = client.registry._metrics
    monkeypatch.setattr(metrics, "exposed", exposed)
    told = await asked(metrics_app(metrics), "/metrics", query)
    assert [*map(_content, told)] == [*map(_content, await asked(metrics_routes(metrics), "/metrics", query))]
    assert wanted[0] == wanted[1]


async def test_an_application_is_made_once_and_for_who_comes_after_one_who_left():
    made = []
    begun, may_end = asyncio.Event(), asyncio.Event()
    loop = asyncio.get_running_loop()

    async def app(scope, receive, send):
        await send({"type": "http.response.start", "status": 200})

    def make():
        made.append(app)
        loop.call_soon_threadsafe(begun.set)
        asyncio.run_coroutine_threadsafe(may_end.wait(), loop).result(30)
        return app

    later = Later(make)
    first = asyncio.create_task(asked(later, "/"))
    await asyncio.wait_for(begun.wait(), 30)
    second = asyncio.create_task(asked(later, "/"))
    first.cancel()
    may_end.set()
    assert (
        await asyncio.wait_for(second, 30)
        == await asked(later, "/")
        == [{"type": "http.response.start", "status": 200}]
    )
    assert first.cancelled() and made == [app]


def test_health_brings_no_framework():
    script = """
import asyncio, sys
from numserve.server.api import inference_app
from numserve.server.metrics.metrics import Metrics
from numserve.server.registry import ModelRegistry
from numserve.server.settings import Settings
from numserve.server.workflows import WorkflowRegistry

async def ask(path):
    async def send(message):
        if message["type"] == "http.response.start":
            print(message["status"])
    async def receive():
        return {"type": "http.request", "body": b"", "more_body": False}
    scope = {"type": "http", "method": "GET", "path": path, "query_string": b"", "headers": [], "root_path": ""}
    await app(scope, receive, send)

async def main():
    global app
    settings, metrics = Settings(), Metrics("host")
    registry = ModelRegistry(settings, metrics)
    app = inference_app(registry, settings, metrics)
    await ask("/ping")
    print("fastapi" in sys.modules)
    await ask("/nothing")
    print("fastapi" in sys.modules)
    await registry.close(0)

asyncio.run(main())
"""
    told = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True, timeout=60)
    assert told.stdout.split() == ["200", "False", "404", "True"]
