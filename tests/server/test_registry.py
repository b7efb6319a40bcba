"""Models come, change and go; inline workers unless a test is about processes."""

import asyncio
import logging
import os
import signal
from dataclasses import replace

import psutil
import pytest
from numserve.archiver import ArchiveError, ModelArchiverConfig, pack
from numserve.server.errors import (
    DefaultVersionInUse,
    InferenceFailed,
    InvalidRequest,
    ModelConflict,
    ModelLoadFailed,
    ModelNotFound,
    ModelVersionNotFound,
    NoWorkers,
    QueueFull,
    WorkerDied,
)
from numserve.server.messages import InferenceRequest, Part
from numserve.server.metrics.metrics import Metrics
from numserve.server.registry import ModelRegistry, Registration
from numserve.server.settings import Settings
from numserve.server.workers.zygote import FORKS

SLOW = """
    import pathlib, time
    def handle(data, context):
        for row in data or []:
            while not pathlib.Path(row["body"].decode()).exists():
                time.sleep(0.005)
        return ["done"] * len(data or [])
"""
BROKEN = "import no_such_package\n"


def request(body: bytes = b"x") -> InferenceRequest:
    return InferenceRequest("1", (Part("body", None, body),), {})


@pytest.fixture
async def make(archives, tmp_path):
    """Make a registry over the fixture's archives; it is closed at the end, and must leave nothing."""
    registries = []
    (tmp_path / "temp").mkdir()

    def make(**settings) -> ModelRegistry:
        given = {"worker_backend": "inline", "model_store": archives.store, "temp_dir": tmp_path / "temp"} | settings
        registries.append(ModelRegistry(Settings.load(**given), Metrics("vm")))
        return registries[-1]

    yield make
    for registry in registries:
        await registry.close(0)
        assert registry.names() == []
    assert list((tmp_path / "temp").iterdir()) == []


@pytest.fixture
async def registry(make) -> ModelRegistry:
    return make()


async def answer(model, body: bytes = b"x") -> bytes:
    return (await model.predict(request(body))).body


async def register(registry, url, workers=1, **more):
    return await registry.register(Registration(url, initial_workers=workers, **more))


async def test_a_registered_model_answers(registry, archives):
    model = await register(registry, archives.make())
    assert registry.get("m") is model is registry.get("m", "1.0")
    assert await answer(model, b"hello") == b"hello"
    assert model.status().state == "ready"
    assert registry.healthy()


async def test_a_model_without_workers_is_unloaded_and_refuses(registry, archives):
    model = await register(registry, archives.make(), workers=None)
    assert model.status().state == "unloaded"
    with pytest.raises(NoWorkers, match='Model "m" has no worker to serve inference request'):
        model.predict(request())


async def test_the_first_version_is_the_default_and_versions_are_text(registry, archives):
    for version in ("1.0", "1.00", "beta"):
        await register(registry, archives.make(version=version), workers=0)
    assert registry.default_version("m") == "1.0"
    assert [model.version for model in registry.versions("m")] == ["1.0", "1.00", "beta"]
    registry.set_default("m", "beta")
    assert registry.get("m").version == "beta"


async def test_a_version_is_registered_once(registry, archives):
    url = archives.make()
    await register(registry, url)
    with pytest.raises(ModelConflict, match=r"Model version 1\.0 is already registered for model m"):
        await register(registry, url)
    assert await answer(registry.get("m")) == b"x"


async def test_two_names_may_share_an_archive(registry, archives):
    url = archives.make()
    await register(registry, url, model_name="a")
    await register(registry, url, model_name="b")
    assert registry.names() == ["a", "b"]


@pytest.mark.parametrize(
    ("ask", "error", "message"),
    [
        (lambda r: r.get("n"), ModelNotFound, "Model not found: n"),
        (lambda r: r.versions("n"), ModelNotFound, "Model not found: n"),
        (lambda r: r.get("m", "9"), ModelVersionNotFound, "Model version: 9 does not exist for model: m"),
        (lambda r: r.set_default("m", "9"), ModelVersionNotFound, "Model version 9 does not exist for model m"),
    ],
)
async def test_what_is_unknown_is_not_found(registry, archives, ask, error, message):
    await register(registry, archives.make(), workers=0)
    with pytest.raises(error, match=message):
        ask(registry)


async def test_the_default_version_goes_last(registry, archives):
    for version in ("1", "2"):
        await register(registry, archives.make(version=version), workers=0)
    with pytest.raises(DefaultVersionInUse, match="Cannot remove default version for model m"):
        await registry.unregister("m")
    await registry.unregister("m", "2")
    await registry.unregister("m")
    assert registry.names() == []


async def test_unregistering_serves_those_under_way_and_removes_the_files(registry, archives, tmp_path):
    model = await register(registry, archives.make(SLOW))
    answers = [model.predict(request(str(tmp_path / "go").encode())) for _ in range(3)]
    leaving = asyncio.ensure_future(registry.unregister("m"))
    await asyncio.sleep(0)
    with pytest.raises(ModelNotFound):
        registry.get("m")
    (tmp_path / "go").touch()
    assert [each.body for each in await asyncio.gather(*answers)] == [b"done"] * 3
    await leaving
    (scratch,) = (tmp_path / "temp").iterdir()
    assert list(scratch.iterdir()) == []


async def test_a_failed_registration_is_taken_back_and_tells_the_whole_story(registry, archives, tmp_path):
    with pytest.raises(ModelLoadFailed, match="Failed to start workers for model m version: 1.0") as caught:
        await register(registry, archives.make(BROKEN))
    failure = caught.value.failure
    assert (failure.phase, failure.exception, failure.where) == ("import", "ModuleNotFoundError", "handler.py:1")
    assert "pip install no_such_package" in caught.value.detail
    assert registry.names() == []
    (scratch,) = (tmp_path / "temp").iterdir()
    assert list(scratch.iterdir()) == []


async def test_an_asynchronous_registration_returns_at_once_and_stays_though_it_fails(registry, archives):
    model = await register(registry, archives.make(BROKEN), synchronous=False)
    assert model.status().state == "loading"
    while model.status().state == "loading":
        await asyncio.sleep(0.005)
    assert model.status().state == "failing"
    assert "no_such_package" in model.status().reason
    assert "no_such_package" in model.status().workers[0].last_error


async def test_a_start_up_model_that_cannot_be_unpacked_stays_visible_until_it_is_mended(registry, archives):
    (archives.store / "m.mar").write_bytes(b"torn")
    with pytest.raises(ArchiveError):
        await register(registry, "m.mar", at_startup=True)
    model = registry.get("m")
    assert (model.status().state, model.loaded_at_startup) == ("failing", True)
    assert "unpack failed" in model.status().reason
    assert not registry.healthy()
    with pytest.raises(NoWorkers):
        model.predict(request())
    shown = 'numserve_model_ready{model_name="m",model_version="1.0"} 0.0'
    assert b"numserve_queue_depth{" not in registry._metrics.exposition()
    assert shown in registry._metrics.exposition().decode()
    await register(registry, archives.make(version="3"))
    assert shown not in registry._metrics.exposition().decode()
    assert [model.version for model in registry.versions("m")] == ["3"]
    assert registry.healthy()


async def test_start_up_models_get_a_worker_per_core_unless_they_say_otherwise(registry, archives):
    model = await registry.register(Registration(archives.make(), at_startup=True))
    assert model.config.min_workers == os.cpu_count()
    other = await registry.register(Registration(archives.make(name="n", minWorkers=1, maxWorkers=3), at_startup=True))
    assert (other.config.min_workers, other.config.max_workers) == (1, 3)


async def test_the_most_workers_are_not_taken_from_below_the_least(make, archives):
    registry = make(default_workers_per_model=4)
    model = await registry.register(Registration(archives.make(minWorkers=2)))
    assert (model.config.min_workers, model.config.max_workers) == (2, 2)


async def test_the_registrations_word_comes_first_then_the_archives_then_the_settings(make, archives):
    models = '{"m": {"1.0": {"batchSize": 7, "maxBatchDelay": 70, "responseTimeout": 70, "maxRetryTimeoutInSec": 70}}}'
    registry = make(models=models, default_startup_timeout=9, job_queue_size=5)
    url = archives.make(batchSize=8, maxBatchDelay=80, mine={"a": 1})
    model = await registry.register(Registration(url, batch_size=9, initial_workers=0))
    config = model.config
    assert (config.batch_size, config.max_batch_delay) == (9, 0.08)
    assert (config.response_timeout, config.recovery_window) == (70, 70)
    assert (config.startup_timeout, config.job_queue_size) == (9, 5)
    assert config.document["mine"] == {"a": 1}


@pytest.mark.parametrize("name", ["a/b", "..", ".", "a\\b", "%2e", " a", "a ", "a\n", "a\x85", "n" * 257])
async def test_a_name_a_path_cannot_hold_is_refused(registry, archives, name):
    with pytest.raises(InvalidRequest, match="cannot be the name of a model"):
        await register(registry, archives.make(), model_name=name)


@pytest.mark.parametrize("name", ["a", "a.b-c_1", "mod\u00e8le", "a b", ".a", "n" * 256])
async def test_a_name_may_be_of_any_language(registry, archives, name):
    await register(registry, archives.make(), model_name=name)
    assert registry.names() == [name]


async def test_an_archive_without_a_handler_gets_the_servers_or_is_refused(make, archives):
    (archives.store / "bare").mkdir()
    (archives.store / "bare" / "mine.py").write_text(
        "def handle(data, context):\n    return ['mine'] * len(data or [])\n"
    )
    with pytest.raises(InvalidRequest, match="names no handler"):
        await register(make(), "bare")
    model = await register(make(default_service_handler="mine"), "bare")
    assert (model.name, await answer(model)) == ("bare", b"mine")
    assert (await register(make(), "bare", handler="mine.py:handle")).manifest.runtime == "python"


async def test_a_full_queue_is_refused_and_counted(make, archives, tmp_path):
    registry = make()
    model = await register(registry, archives.make(SLOW, jobQueueSize=2))
    go = request(str(tmp_path / "go").encode())
    answers = [model.predict(go) for _ in range(3)]
    with pytest.raises(QueueFull):
        model.predict(go)
    assert (model.status().queue.pending, model.status().queue.capacity) == (2, 2)
    (tmp_path / "go").touch()
    await asyncio.gather(*answers)


async def test_a_batch_is_formed_and_measured(make, archives):
    registry = make()
    model = await register(registry, archives.make(batchSize=4, maxBatchDelay=50, fixedDelay=True))
    answers = await asyncio.gather(*(model.predict(request(bytes([i]))) for i in range(8)))
    assert [each.body for each in answers] == [bytes([i]) for i in range(8)]
    text = registry._metrics.exposition(["numserve_batch_size_count", "ts_inference_requests_total"]).decode()
    assert 'numserve_batch_size_count{model_name="m",model_version="1.0"} 2.0' in text
    assert 'model_version="default",hostname="vm"} 8.0' in text


async def test_the_handler_describes_itself_in_a_batch_of_its_own(registry, archives):
    source = """
        def handle(data, context):
            return [{"describe": context.get_request_header(0, "describe"), "rows": data}] if data else None
    """
    model = await register(registry, archives.make(source, batchSize=4))
    assert await model.describe_by_handler() == {"describe": "True", "rows": [{}]}


async def test_a_handlers_error_is_the_clients_and_the_worker_stays(registry, archives):
    model = await register(registry, archives.make("def handle(data, context):\n    if data: raise KeyError('k')\n"))
    for _ in range(2):
        with pytest.raises(InferenceFailed, match="Prediction failed"):
            await model.predict(request())
    assert model.status().state == "ready"


async def test_closing_gives_those_under_way_their_time_and_no_more(make, archives, tmp_path):
    registry = make()
    model = await register(registry, archives.make(SLOW))
    answers = [model.predict(request(str(tmp_path / "go").encode())) for _ in range(2)]
    await registry.close(0.05)
    errors = await asyncio.gather(*answers, return_exceptions=True)
    assert [type(error) for error in errors] == [WorkerDied, NoWorkers]
    (tmp_path / "go").touch()


class TestProcesses:
    """The same with real processes."""

    @pytest.fixture
    async def registry(self, make):
        before = set(psutil.Process().children(recursive=True))
        registry = make(worker_backend="process")
        yield registry
        await registry.close(0)
        FORKS.close()  # where all of them are forked from
        assert set(psutil.Process().children(recursive=True)) <= before

    def pids(self, model) -> list[int]:
        return [worker.pid for worker in model.status().workers]

    async def test_a_killed_worker_is_replaced_and_only_its_batch_is_lost(self, registry, archives, tmp_path):
        model = await register(registry, archives.make(SLOW), workers=1)
        (pid,) = self.pids(model)
        lost, kept = (model.predict(request(str(tmp_path / "go").encode())) for _ in range(2))
        os.kill(pid, signal.SIGKILL)
        with pytest.raises(WorkerDied) as caught:
            await lost
        assert "SIGKILL" in caught.value.detail
        (tmp_path / "go").touch()
        assert (await kept).body == b"done"
        assert self.pids(model) != [pid]

    async def test_scaling_one_three_none_one(self, registry, archives):
        model = await register(registry, archives.make(), workers=1)
        for count in (3, 0, 1):
            before = self.pids(model)
            await model.scale(count, synchronous=True)
            assert len(self.pids(model)) == count
            assert not [pid for pid in before if pid not in self.pids(model) and psutil.pid_exists(pid)]
        assert await answer(model) == b"x"

    async def test_a_request_scaled_away_under_its_feet_is_answered(self, registry, archives, tmp_path):
        model = await register(registry, archives.make(SLOW), workers=1)
        under_way = model.predict(request(str(tmp_path / "go").encode()))
        scaling = asyncio.ensure_future(model.scale(0, synchronous=True))
        await asyncio.sleep(0.05)
        (tmp_path / "go").touch()
        assert (await under_way).body == b"done"
        await scaling
        assert model.status().state == "unloaded"

    async def test_a_registration_that_is_cancelled_leaves_no_process(self, registry, archives):
        url = archives.make("import time\ntime.sleep(60)\n")
        registering = asyncio.ensure_future(register(registry, url))
        while not registry.names() or self.pids(registry.get("m")) == [None]:
            await asyncio.sleep(0.005)
        (pid,) = self.pids(registry.get("m"))
        registering.cancel()
        await asyncio.wait([registering])
        assert registry.names() == []
        assert not psutil.pid_exists(pid)

    async def test_the_log_names_the_worker_and_the_reason(self, registry, archives, caplog):
        with caplog.at_level(logging.WARNING, "numserve"), pytest.raises(ModelLoadFailed):
            await register(registry, archives.make(BROKEN))
        assert any("W-9000-m_1.0" in r.getMessage() and "handler.py:1" in r.getMessage() for r in caplog.records)


@pytest.mark.parametrize("at_startup", [False, True])
async def test_packages_that_cannot_be_installed_leave_nothing_but_a_start_up_failure(make, archives, at_startup):
    archives.make()
    (archives.store / "needs.txt").write_text("no-such-package\n")
    source = archives.store.parent / "source-m-1.0" / "handler.py"
    config = ModelArchiverConfig("m", str(source), "1.0", export_path=str(archives.store))
    pack(replace(config, requirements_file=str(archives.store / "needs.txt")))
    registry = make(install_py_dep_per_model=True)
    with pytest.raises(InvalidRequest, match="worker_backend is inline"):
        await registry.register(Registration("m.mar", at_startup=at_startup))
    assert registry.names() == (["m"] if at_startup else [])
    assert not at_startup or registry.get("m").status().reason.startswith("install failed: InvalidRequest")
