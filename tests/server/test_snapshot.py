"""Snapshots: each change is written down; with many models, many changes are written down together."""

import asyncio
import json

import pytest
from numserve.server import snapshot
from numserve.server.metrics.metrics import Metrics
from numserve.server.properties import parse
from numserve.server.registry import ModelRegistry, Registration
from numserve.server.settings import Settings
from numserve.server.snapshot import Snapshots


@pytest.fixture
async def registry(archives, tmp_path):
    """One model, without workers; `registry.settings` tells where snapshots go."""
    (tmp_path / "temp").mkdir()
    settings = Settings.load(
        worker_backend="inline",
        model_store=archives.store,
        temp_dir=tmp_path / "temp",
        log_location=tmp_path / "logs",
        config_snapshots=True,
    )
    made = ModelRegistry(settings, Metrics("vm"))
    made.settings = settings
    await made.register(Registration(archives.make(), model_name="m0", initial_workers=0))
    yield made
    await made.close(0)


def written(registry):
    """What each snapshot says is served, the oldest first."""
    found = []
    for path in sorted((registry.settings.log_location / "config").glob("*.cfg")):
        values = {entry.key: entry.value for entry in parse(path.read_text(), {})}
        found.append(list(json.loads(values["model_snapshot"])["models"]))
    return found


async def test_a_change_is_written_down_at_once(registry):
    Snapshots(registry.settings, registry).changed()
    assert written(registry) == [["m0"]]


async def test_with_many_models_changes_share_a_snapshot(registry, archives, monkeypatch):
    monkeypatch.setattr(snapshot, "AT_ONCE", 0)
    snapshots = Snapshots(registry.settings, registry)
    for count in (1, 2):
        await registry.register(Registration(archives.make(), model_name=f"m{count}", initial_workers=0))
        for _ in range(3):
            snapshots.changed()
        assert len(written(registry)) == count - 1, "nobody waits for it"
        async with asyncio.timeout(30):
            while len(written(registry)) < count:
                await asyncio.sleep(0.01)
    assert written(registry) == [["m0", "m1"], ["m0", "m1", "m2"]]
