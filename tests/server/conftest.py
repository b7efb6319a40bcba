"""A server without ports: an archive from a handler's source, inline workers, HTTP through ASGI."""

from __future__ import annotations

import asyncio
import contextlib
import textwrap
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml
from numserve.archiver import ModelArchiverConfig, pack
from numserve.server.api import inference_app, management_app, metrics_app
from numserve.server.api.listener import Listener
from numserve.server.logs import AccessLog
from numserve.server.metrics.metrics import Metrics
from numserve.server.registry import ModelRegistry, Registration
from numserve.server.settings import Settings
from numserve.server.workers.zygote import adopt_orphans


def pytest_asyncio_loop_factories(config: pytest.Config, item: Any) -> dict[str, Any]:
    """The loop of a module's tests: `LOOP`, where what is tested depends on the server's own one."""
    return {"loop": getattr(item.module, "LOOP", asyncio.new_event_loop)}


ECHO = """
    def handle(data, context):
        return [next(iter(row.values()), None) for row in data] if data else None
"""


class Archives:
    """Makes archives in a model store."""

    def __init__(self, store: Path) -> None:
        self.store = store

    def make(self, source: str = ECHO, name: str = "m", version: str = "1.0", **config: Any) -> str:
        """Pack a handler's source, and a YAML of `config`; returns the archive's name."""
        folder = self.store.parent / f"source-{name}-{version}"
        folder.mkdir(exist_ok=True)
        (folder / "handler.py").write_text(textwrap.dedent(source))
        (folder / "config.yaml").write_text(yaml.safe_dump(config))
        file = f"{name}-{version}.mar"
        made = pack(
            ModelArchiverConfig(
                model_name=name,
                version=version,
                handler=str(folder / "handler.py"),
                config_file=str(folder / "config.yaml") if config else None,
                export_path=str(self.store),
                force=True,
            )
        )
        made.rename(self.store / file)
        return file


@dataclass
class Client:
    """Speaks HTTP to the three listeners of one server."""

    inference: httpx.AsyncClient
    management: httpx.AsyncClient
    metrics: httpx.AsyncClient
    registry: ModelRegistry
    archives: Archives
    access_log: AccessLog

    async def predict(self, model: str = "m", **request: Any) -> httpx.Response:
        """Ask a model."""
        return await self.inference.post(f"/predictions/{model}", **request)

    async def register(self, **registration: Any) -> Any:
        """Register a model as the start-up does."""
        return await self.registry.register(Registration(**registration))


@pytest.fixture(autouse=True)
def orphans_are_nobodys():
    """No test inherits what the processes of another one leave behind, as a server does that forks workers."""
    yield
    adopt_orphans(False)


@pytest.fixture
def archives(tmp_path):
    store = tmp_path / "model-store"
    store.mkdir()
    return Archives(store)


@pytest.fixture
async def serve(archives, tmp_path, monkeypatch):
    """`client = await serve(handler_source, batch_size=4)`: the model is m; further arguments go to its YAML.

    `settings` are the server's. Without a source, no model is registered.
    """
    monkeypatch.chdir(tmp_path)
    (tmp_path / "temp").mkdir()
    async with contextlib.AsyncExitStack() as stack:

        async def start(
            source: str | None = ECHO, *, workers: int = 1, settings: dict[str, Any] | None = None, **config: Any
        ):
            given = {"worker_backend": "inline", "model_store": archives.store, "temp_dir": tmp_path / "temp"}
            made = Settings.load(**given | (settings or {}))
            metrics, log = Metrics("test-host"), AccessLog("text")
            registry = ModelRegistry(made, metrics)
            stack.push_async_callback(registry.close, 5)
            stack.callback(log.flush)
            faces = {
                "inference": inference_app(registry, made, metrics),
                "management": management_app(registry, made),
                "metrics": metrics_app(metrics),
            }
            clients = {}
            for name, app in faces.items():
                listener = Listener(app, made, metrics, log, operator=name == "management")
                transport = httpx.ASGITransport(listener, raise_app_exceptions=True)
                clients[name] = await stack.enter_async_context(
                    httpx.AsyncClient(transport=transport, base_url="http://t")
                )
            client = Client(**clients, registry=registry, archives=archives, access_log=log)
            if source is not None:
                await client.register(url=archives.make(source, **config), initial_workers=workers, synchronous=True)
            return client

        yield start
