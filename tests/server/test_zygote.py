"""Workers that are forked: what is their own, and what becomes of them, of their zygote, and of what they start."""

import asyncio
import json
import os
import signal
import textwrap
import time
from dataclasses import replace
from pathlib import Path
from typing import get_args

import psutil
import pytest
from numserve.server.messages import ModelSpec, Needs
from numserve.server.workers.base import Load
from numserve.server.workers.environment import environment_of
from numserve.server.workers.spawn import Child
from numserve.server.workers.wire import pack_load
from numserve.server.workers.zygote import ATTEMPTS, Forks, Zygote

TELL = """
    import json, os, sys
    import numpy as np
    from numserve import engine
    print(json.dumps({
        "threads": os.environ["OMP_NUM_THREADS"], "extra": os.environ.get("EXTRA"), "folder": os.getcwd(),
        "numbers": [float(np.random.rand()), engine.rand(1).item()], "leader": os.getsid(0) == os.getpid(),
        "open": len(os.listdir("/proc/self/fd")),
    }), flush=True)
"""


@pytest.fixture
def load(tmp_path: Path) -> Load:
    return Load(ModelSpec("m", "1.0", str(tmp_path), "handler", threads=3), "W-9000-m_1.0")


@pytest.fixture
async def forks():
    forks = Forks()
    yield forks
    forks.close()


async def children(forks: Forks, load: Load, count: int, environment: dict[str, str] | None = None) -> list[Child]:
    seen = dict(os.environ) if environment is None else environment
    zygote = await forks.ready(environment_of(seen, None))
    assert zygote is not None
    return [Child(load, seen, zygote) for _ in range(count)]


async def ended(child: Child) -> str:
    return (await asyncio.wait_for(asyncio.shield(child.ended), 10)).how


async def test_a_forked_worker_is_our_own_child_and_ends_when_we_hang_up(forks, load):
    (child,) = await children(forks, load, 1)
    process = psutil.Process(child.pid)
    assert process.ppid() == os.getpid() and os.getsid(child.pid) == child.pid
    child.hand_over_connection().close()
    assert "exited with code 0" in await ended(child)
    assert not psutil.pid_exists(child.pid)
    child.close()


async def test_a_signal_that_ends_it_is_known(forks, load):
    (child,) = await children(forks, load, 1)
    child.signal(signal.SIGSEGV)
    assert await ended(child) == "was killed by SIGSEGV"
    child.close()


async def test_a_worker_lives_on_without_its_zygote(forks, load):
    (child,) = await children(forks, load, 1)
    forks.close()
    await asyncio.sleep(0.05)
    assert psutil.Process(child.pid).is_running() and not child.ended.done()
    await child.stop()
    assert child.ended.done()
    child.close()


async def test_a_zygote_that_was_killed_is_started_anew(forks, load):
    first = await forks.ready(environment_of(os.environ, None))
    os.kill(first._process.pid, signal.SIGKILL)
    first._process.wait()
    (child,) = await children(forks, load, 1)
    assert forks._zygote is not first
    child.close()


async def test_a_zygote_that_cannot_start_is_given_up(forks, load, monkeypatch):
    started = []

    def refuse(*arguments, **options):
        started.append(arguments)
        raise OSError(11, "Resource temporarily unavailable")

    monkeypatch.setattr("subprocess.Popen", refuse)
    assert [await forks.ready(environment_of(os.environ, None)) for _ in range(ATTEMPTS + 2)] == [None] * (ATTEMPTS + 2)
    assert len(started) == ATTEMPTS


async def test_a_folder_that_is_gone_is_told_before_anything_starts(forks, tmp_path):
    load = Load(ModelSpec("m", "1.0", str(tmp_path / "gone"), "handler"), "W")
    before = psutil.Process().children()
    zygote = await forks.ready(environment_of(os.environ, None))
    with pytest.raises(NotADirectoryError):
        Child(load, os.environ, zygote)
    assert {c.pid for c in psutil.Process().children()} - {c.pid for c in before} <= {zygote._process.pid}


async def test_what_a_worker_leaves_behind_is_ended_and_buried(forks, load, tmp_path):
    (tmp_path / "handler.py").write_text(
        "import subprocess\nfor _ in range(3):\n    print(subprocess.Popen(['sleep', '600']).pid, flush=True)\n"
        "def handle(data, context):\n    return data\n"
    )
    (child,) = await children(forks, load, 1)
    output = child.hand_over_output()
    connection = child.hand_over_connection()
    connection.sendall(b"".join(pack_load(load.spec)))
    pids = [int(output.readline()) for _ in range(3)]
    connection.close()
    await ended(child)
    until = time.monotonic() + 10
    while any(psutil.pid_exists(pid) for pid in pids) and time.monotonic() < until:
        await asyncio.sleep(0.02)
    assert not any(psutil.pid_exists(pid) for pid in pids)
    output.close()
    child.close()


async def test_environment_threads_and_random_numbers_are_a_workers_own(forks, load, tmp_path):
    (tmp_path / "handler.py").write_text(textwrap.dedent(TELL) + "def handle(data, context):\n    return data\n")
    seen = {n: v for n, v in os.environ.items() if n not in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "EXTRA")}
    both = await children(forks, load, 1, {**seen, "EXTRA": "first"}) + await children(forks, load, 1, seen)
    told = []
    for child in both:
        output, connection = child.hand_over_output(), child.hand_over_connection()
        connection.sendall(b"".join(pack_load(load.spec)))
        told.append(json.loads(output.readline()))
        connection.close()
        await ended(child)
        output.close()
        child.close()
    assert [each["extra"] for each in told] == ["first", None]
    assert all(each["threads"] == "3" and each["leader"] and each["folder"] == str(tmp_path) for each in told)
    assert told[0]["numbers"][0] != told[1]["numbers"][0] and told[0]["numbers"][1] != told[1]["numbers"][1]
    assert told[0]["open"] == told[1]["open"] <= 6


async def test_workers_have_what_models_need_and_no_more(forks, load, tmp_path):
    seen = environment_of(os.environ, None)
    found = {}
    for needs in get_args(Needs):
        zygote = await forks.ready(seen, needs)
        child = Child(load, seen, zygote)
        maps = Path(f"/proc/{child.pid}/maps").read_text()
        found[needs] = "/numpy/" in maps, "/_kernels" in maps
        child.close()
    assert found == {"python": (False, False), "numpy": (True, False), "engine": (True, True)}
    assert await forks.ready(seen, "python") is zygote


async def test_a_worker_may_import_the_engine_after_all(forks, load, tmp_path):
    (tmp_path / "handler.py").write_text(
        "import importlib\nengine = importlib.import_module('numserve.engine')\n"
        "print(engine.arange(3).tolist(), flush=True)\n"
        "def handle(data, context):\n    return data\n"
    )
    seen = environment_of(os.environ, None)
    child = Child(load, seen, await forks.ready(seen, "python"))
    output, connection = child.hand_over_output(), child.hand_over_connection()
    connection.sendall(b"".join(pack_load(replace(load.spec, needs="python"))))
    assert output.readline() == b"[0, 1, 2]\n"
    connection.close()
    await ended(child)
    output.close()
    child.close()


NUMPY = """
    import ctypes, json
    from pathlib import Path
    import numpy as np
    path = next(Path(np.__file__).parent.glob("../numpy.libs/*openblas*"), None)  # of the usual wheels
    count = getattr(ctypes.CDLL(path and str(path)), "scipy_openblas_get_num_threads64_", lambda: None)
    print(json.dumps([count(), float(np.random.rand())]), flush=True)
    def handle(data, context):
        return data
"""


async def test_threads_and_random_numbers_are_a_workers_own_with_numpy_alone(forks, load, tmp_path):
    (tmp_path / "handler.py").write_text(textwrap.dedent(NUMPY))
    seen = {name: value for name, value in environment_of({}, None, threads=2).items()} | {"PATH": os.environ["PATH"]}
    told = []
    for _ in range(2):
        child = Child(load, seen, await forks.ready(seen, "numpy"))
        output, connection = child.hand_over_output(), child.hand_over_connection()
        connection.sendall(b"".join(pack_load(replace(load.spec, needs="numpy"))))
        told.append(json.loads(output.readline()))
        connection.close()
        await ended(child)
        output.close()
        child.close()
    (threads, first), (_, second) = told
    assert threads in (2, None) or os.cpu_count() == 1
    assert first != second


async def test_a_zygote_has_one_thread_and_forgets_secrets(forks, load):
    zygote = await forks.ready(environment_of({**os.environ, "NUMSERVE_TOKEN": "s3cret"}, None))
    assert isinstance(zygote, Zygote) and psutil.Process(zygote._process.pid).num_threads() == 1
    assert "s3cret" not in Path(f"/proc/{zygote._process.pid}/environ").read_text()
