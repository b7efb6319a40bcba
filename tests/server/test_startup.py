"""Which models are served from the start."""

from __future__ import annotations

import json

import pytest
from numserve.server.settings import Settings
from numserve.server.startup import load_startup_models
from numserve.server.wanted import FEW, needs_from_start, wanted

BROKEN = "import no_such_package\n"


@pytest.mark.parametrize(
    ("text", "models"),
    [
        ("", []),
        ("a.mar", [(None, "a.mar")]),
        ("a=b.mar, c", [("a", "b.mar"), (None, "c")]),
        ("a=https://h/x?y=z", [("a", "https://h/x?y=z")]),
        ("https://h/x.mar?y=z", [(None, "https://h/x.mar?y=z")]),
    ],
)
def test_models_are_named_one_by_one(text, models):
    assert wanted(Settings(load_models=text)) == models


@pytest.mark.parametrize("word", ["all", "ALL"])
def test_all_means_every_visible_archive(tmp_path, word):
    for name in ("b.mar", "a.model", "c.tar.gz", ".hidden.mar", "notes.txt", "w.war"):
        (tmp_path / name).touch()
    for folder in ("folder", "workflow/WAR-INF", "logs"):
        (tmp_path / folder).mkdir(parents=True)
    found = wanted(Settings(load_models=word, model_store=tmp_path, log_location=tmp_path / "logs"))
    assert found == [(None, name) for name in ("a.model", "b.mar", "c.tar.gz", "folder")]


def test_weights_are_seen_in_the_manifests(tmp_path):
    for name, entry in (("plain", {}), ("weights", {"serializedFile": "w.pt"}), ("class", {"modelFile": "m.py"})):
        (tmp_path / name / "MAR-INF").mkdir(parents=True)
        manifest = {
            "runtime": "python",
            "model": {"modelName": name, "modelVersion": "1.0", "handler": "h.py", **entry},
        }
        (tmp_path / name / "MAR-INF" / "MANIFEST.json").write_text(json.dumps(manifest))
        for file in ("h.py", *entry.values()):
            (tmp_path / name / file).touch()
    (tmp_path / "broken.mar").write_bytes(b"PK")

    def seen(models: str, **more) -> bool:
        return needs_from_start(Settings(load_models=models, model_store=tmp_path, **more)) == "engine"

    assert [seen(name) for name in ("plain", "m=weights", "class", "all")] == [False, True, True, True]
    assert not seen("") and not seen("plain,broken.mar,gone.mar,x.tar.gz,https://h/x.mar")
    assert seen(",".join(["plain"] * (FEW + 1)))
    assert seen("", model_snapshot={"m": {"1.0": {"marName": "weights"}}})
    assert not seen("weights", model_snapshot={"m": {"1.0": {"marName": "plain"}}})


async def test_every_model_is_ready_or_named(serve, archives):
    client = await serve(None, settings={"worker_backend": "process"})
    archives.make(minWorkers=1)
    archives.make(BROKEN, name="broken", minWorkers=1)
    settings = Settings(load_models="m-1.0.mar,broken-1.0.mar,none.mar", model_store=archives.store)
    broken, missing = await load_startup_models(client.registry, settings)
    assert broken.startswith("Failed to load model: broken-1.0.mar: Failed to start workers for model broken")
    assert "import failed at handler.py:1: ModuleNotFoundError: No module named 'no_such_package'" in broken
    assert missing.startswith("Failed to load model: none.mar: Model not found at: none.mar")
    assert (await client.predict(content=b"x")).content == b"x"
    assert client.registry.get("broken").status().state == "failing"
