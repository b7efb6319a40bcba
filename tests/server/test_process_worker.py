"""Real processes: what a worker does when its handler works, fails, hangs, floods, or takes the process down."""

import asyncio
import contextlib
import gc
import logging
import os
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import psutil
import pytest
from numserve.server.api.errors import on_the_wire
from numserve.server.batching.batch import Batch, Job
from numserve.server.errors import (
    InferenceFailed,
    ModelLoadFailed,
    ResponseTimeout,
    WorkerDied,
    WorkerOutOfMemory,
)
from numserve.server.messages import BatchReport, InferenceRequest, LoadReport, ModelSpec, Part
from numserve.server.workers.base import Load
from numserve.server.workers.environment import environment_of
from numserve.server.workers.process import ProcessWorker
from numserve.server.workers.zygote import FORKS, Forks

from .silent import Silent

ECHO = """
    def handle(data, context):
        return [row["body"] for row in data or []]
"""


class Running:
    """A worker under way, and a way to ask it for answers."""

    def __init__(self, load: Load) -> None:
        self.worker = ProcessWorker()
        self.reports: asyncio.Queue = asyncio.Queue()
        self.task = asyncio.ensure_future(self.worker.run(load, lambda _, report: self.reports.put_nowait(report)))

    async def report(self):
        """The next report, or the error the worker ended with."""
        waiting = asyncio.ensure_future(self.reports.get())
        await asyncio.wait([waiting, self.task], return_when=asyncio.FIRST_COMPLETED)
        if not waiting.done():
            waiting.cancel()
            self.task.result()
        return waiting.result()

    def send(self, *bodies: bytes, kind: str | None = None) -> list[asyncio.Future]:
        loop = asyncio.get_running_loop()
        requests = [InferenceRequest(str(i), (Part("body", kind, body),), {}) for i, body in enumerate(bodies)]
        jobs = [Job(request, loop.create_future(), 0, 0, False, False) for request in requests]
        self.worker.send(Batch(jobs, loop.time, Silent()))
        return [job.answer for job in jobs]

    async def ask(self, *bodies: bytes, kind: str | None = None) -> list[bytes]:
        answers = await asyncio.gather(*self.send(*bodies, kind=kind))
        await self.report()
        return [answer.body for answer in answers]

    async def stop(self) -> None:
        self.task.cancel()
        await asyncio.wait([self.task])


def open_files() -> set[str]:
    """The open files by name, such as socket:[4711]; uvloop opens /dev/null once, and keeps it."""
    links = (Path("/proc/self/fd") / fd for fd in os.listdir("/proc/self/fd"))
    return {os.readlink(link) for link in links if link.is_symlink()} | {"/dev/null"}


@pytest.fixture
async def start(tmp_path):
    """Start a worker on a handler's source; all workers are stopped at the end, and must have left nothing."""
    running: list[Running] = []
    assert await FORKS.ready(environment_of(os.environ, None))  # which stays open from worker to worker
    fds = open_files()

    async def start(source: str, *, limits: dict | None = None, **spec) -> Running:
        folder = tmp_path / f"model{len(running)}"
        folder.mkdir()
        (folder / "handler.py").write_text(textwrap.dedent(source))
        load = Load(ModelSpec("m", "1.0", str(folder), "handler", **spec), "W-9000-m_1.0", **(limits or {}))
        running.append(Running(load))
        return running[-1]

    yield start
    for each in running:
        await each.stop()
        assert each.worker.pid is None or not psutil.pid_exists(each.worker.pid)
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    gc.collect()
    assert open_files() <= fds


async def loaded(running: Running) -> Running:
    report = await running.report()
    assert isinstance(report, LoadReport) and report.memory_bytes > 1 << 20
    return running


async def test_a_batch_goes_there_and_back(start):
    running = await loaded(await start(ECHO, batch_size=3))
    assert await running.ask(b"a", b"", b"c" * 3_000_000) == [b"a", b"", b"c" * 3_000_000]
    assert await running.ask(b"again") == [b"again"]


SPEAK = """
    import os, time
    from ts.handler_utils.utils import send_intermediate_predict_response

    def handle(data, context):
        for row in data or []:
            for seconds in bytes(row["body"]):
                send_intermediate_predict_response([b"a" * 100_000], context.request_ids, "", 200, context)
                time.sleep(seconds / 10)
        return [b"end"] * len(data or [])
"""


async def test_pieces_come_while_the_handler_works_and_restart_its_time(start):
    running = await loaded(await start(SPEAK, limits={"response_timeout": 1.5}))
    (answer,) = running.send(bytes([5, 5, 5, 5]))
    further = (await answer).further
    assert [len(piece) async for piece in further] == [100_000] * 3 + [3]
    assert isinstance(await running.report(), BatchReport)


async def test_a_handler_that_hangs_between_two_pieces_breaks_the_answer_off(start):
    running = await loaded(await start(SPEAK, limits={"response_timeout": 0.5}))
    (answer,) = running.send(bytes([0, 200]))
    further = (await answer).further
    with pytest.raises(WorkerDied):
        _ = [piece async for piece in further]


async def test_a_handler_is_stopped_at_the_next_piece_when_nobody_waits(start):
    running = await loaded(await start(SPEAK))
    (answer,) = running.send(bytes([0] + [3] * 200))
    further = (await answer).further
    further.close()
    report = await asyncio.wait_for(running.report(), 30)
    assert report.seconds < 30
    assert await running.ask(b"") == [b"end"]


async def test_a_stop_that_comes_too_late_harms_nobody(start):
    running = await loaded(await start(SPEAK))
    for _ in range(20):
        (answer,) = running.send(bytes([0]))
        (await answer).further.close()
        await running.report()
        assert await running.ask(b"") == [b"end"]


async def test_a_worker_lives_in_a_session_of_its_own_in_the_models_directory(start):
    source = """
        import os
        def handle(data, context):
            names = "OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"
            return [[os.getcwd(), os.getsid(0) == os.getpid(), [os.environ[name] for name in names]]] * len(data or [])
    """
    running = await loaded(await start(source, threads=3))
    (answer,) = await running.ask(b"")
    for expected in ("model0", "true", os.environ.get("OMP_NUM_THREADS", "3")):
        assert expected in answer.decode()


async def test_a_killed_worker_fails_its_batch_and_says_how_it_ended(start):
    running = await loaded(await start("import time\ndef handle(data, context):\n    if data: time.sleep(60)\n"))
    (answer,) = running.send(b"a")
    os.kill(running.worker.pid, signal.SIGKILL)
    with pytest.raises(WorkerDied, match=r"^Worker died\.$") as caught:
        await answer
    assert "SIGKILL" in caught.value.detail
    with pytest.raises(WorkerDied):
        await running.task


@pytest.mark.parametrize(
    ("deed", "told", "cause"),
    [
        ("os._exit(0)", "exited with code 0, though nobody had asked it to", "exited"),
        ("os._exit(3)", "exited with code 3", "exited"),
        ("os._exit(137)", "exited with code 137, like SIGKILL", "exited"),
        ("os.abort()", "was killed by SIGABRT", "crashed"),
        ("ctypes.string_at(0)", "was killed by SIGSEGV", "crashed"),
        ("os.kill(0, signal.SIGTERM)", "was killed by SIGTERM", "killed"),
        ("os.close(int(sys.argv[1])); time.sleep(60)", "hung up without ending", "died"),
        ("os.write(int(sys.argv[1]), b'x' * 999)", "cannot be read", "died"),
    ],
)
async def test_however_a_worker_goes_down_its_batch_is_answered(start, deed, told, cause):
    source = f"import ctypes, os, signal, sys, time\ndef handle(data, context):\n    if data: {deed}\n    return ['']\n"
    running = await loaded(await start(source))
    (answer,) = running.send(b"a")
    with pytest.raises(WorkerDied) as caught:
        await answer
    assert told in caught.value.detail
    assert caught.value.cause == cause
    assert told in caught.value.reason or cause == "died", "what a client may know of it"
    with pytest.raises(WorkerDied):
        await running.task


@pytest.mark.parametrize("deed", ["sys.exit(4)", "raise KeyboardInterrupt", "raise SystemExit"])
async def test_a_handler_that_wants_to_exit_ends_its_worker(start, deed):
    running = await loaded(await start(f"import sys\ndef handle(data, context):\n    if data: {deed}\n"))
    (answer,) = running.send(b"a")
    with pytest.raises(WorkerDied) as caught:
        await answer
    assert "handler.py:3" in caught.value.detail
    assert (caught.value.cause, caught.value.reason) == ("exited", "the handler has asked its process to end")
    with pytest.raises(WorkerDied):
        await running.task
    assert running.reports.empty(), "a worker that is leaving must not ask for more"


async def test_a_hanging_handler_is_ended_after_the_response_timeout(start):
    source = "import time\ndef handle(data, context):\n    if data: time.sleep(60)\n"
    running = await loaded(await start(source, limits={"response_timeout": 0.2}))
    (answer,) = running.send(b"a")
    with pytest.raises(ResponseTimeout) as caught:
        await answer
    assert caught.value.detail == "no answer within 0.2 seconds"
    with pytest.raises(ResponseTimeout):
        await running.task


class OneIsEnded:
    """A kernel that has counted one more process ended for want of memory."""

    def look(self): ...

    def claim(self):
        return True


@pytest.fixture
def memory_runs_out(monkeypatch):
    monkeypatch.setattr("numserve.server.workers.spawn.OOM_KILLS", OneIsEnded())


async def test_a_worker_that_the_kernel_ends_for_want_of_memory_says_so(start, memory_runs_out):
    running = await loaded(await start("import time\ndef handle(data, context):\n    if data: time.sleep(60)\n"))
    (answer,) = running.send(b"a")
    os.kill(running.worker.pid, signal.SIGKILL)
    with pytest.raises(WorkerOutOfMemory, match=r"^Worker died\.$") as caught:
        await answer
    assert (caught.value.cause, on_the_wire(caught.value)[0]) == ("out_of_memory", 507)
    assert "memory had run out" in caught.value.reason


async def test_a_worker_that_the_kernel_ends_while_it_loads_says_so(start, memory_runs_out):
    running = await start("import os, signal\nos.kill(os.getpid(), signal.SIGKILL)\n")
    with pytest.raises(ModelLoadFailed) as caught:
        await running.report()
    assert caught.value.code == 507
    assert "memory had run out" in caught.value.detail


HOLDS_THE_INTERPRETER = """
    import ctypes

    def handle(data, context):
        if data and bytes(data[0]["body"]) == b"hang":
            ctypes.PyDLL(None).sleep(600)  # C that never lets go of the interpreter: no Python code runs beside it
        return ["here"] * len(data or [])
"""


async def test_c_code_that_holds_the_interpreter_is_ended_after_the_response_timeout(start):
    running = await loaded(await start(HOLDS_THE_INTERPRETER, limits={"response_timeout": 0.5}))
    assert await running.ask(b"") == [b"here"]
    (answer,) = running.send(b"hang")
    with pytest.raises(ResponseTimeout):
        await answer
    with pytest.raises(ResponseTimeout):
        await running.task


async def test_a_handler_that_ignores_sigterm_is_killed_with_what_it_has_started(start, tmp_path):
    source = """
        import os, signal, subprocess, time
        def handle(data, context):
            if data is None:
                signal.signal(signal.SIGTERM, signal.SIG_IGN)
                return
            child = subprocess.Popen(["sleep", "60"])
            open("pid", "w").write(str(child.pid))
            return [str(child.pid)]
    """
    running = await loaded(await start(source))
    (pid,) = await running.ask(b"a")
    child = psutil.Process(int(pid))
    await running.stop()
    deadline = time.monotonic() + 5  # it is an orphan now: whoever reaps it does so in its own time
    with contextlib.suppress(psutil.NoSuchProcess):
        while child.status() != psutil.STATUS_ZOMBIE:
            assert time.monotonic() < deadline
            await asyncio.sleep(0.02)


async def test_clean_up_survives_a_second_cancel(start):
    source = """
        import signal
        def handle(data, context):
            signal.signal(signal.SIGTERM, signal.SIG_IGN)
            return [""]
    """
    running = await loaded(await start(source))
    for _ in range(3):
        running.task.cancel()
        await asyncio.sleep(0)
    await asyncio.wait([running.task])
    assert running.task.cancelled()
    assert not psutil.pid_exists(running.worker.pid)


@pytest.mark.parametrize("moment", range(4))
async def test_a_worker_may_be_stopped_at_any_moment_of_its_start(start, moment):
    running = await start(ECHO)
    for _ in range(moment):
        await asyncio.sleep(0)
    await running.stop()
    assert running.task.cancelled()


async def test_a_stopped_worker_fails_the_batch_in_its_hands(start):
    running = await loaded(await start("import time\ndef handle(data, context):\n    if data: time.sleep(60)\n"))
    (answer,) = running.send(b"a")
    await running.stop()
    with pytest.raises(WorkerDied) as caught:
        await answer
    assert caught.value.detail == "the worker was stopped"


async def test_a_handler_can_see_that_nobody_waits_any_more(start):
    source = """
        import time
        def handle(data, context):
            for _ in data or []:
                until = time.monotonic() + 30
                while data[0]["body"] == b"long" and time.monotonic() < until:
                    if context.cancelled:
                        assert context.cancelled  # it stays so
                        raise RuntimeError("nobody waits")
                    time.sleep(0.01)
            return [str(context.cancelled)] * len(data or [])
    """
    running = await loaded(await start(source, batch_size=2))
    first, second = running.send(b"long", b"")
    first.cancel()
    await asyncio.sleep(0.3)
    assert not second.done()
    second.cancel()
    assert await asyncio.wait_for(running.report(), 10)
    assert await running.ask(b"") == [b"False"]


async def heard(running: Running, since: float) -> None:
    """Return once the process has said something after `since`."""
    async with asyncio.timeout(30):
        while running.worker.heard_at <= since:
            await asyncio.sleep(0.01)


async def test_a_worker_says_that_it_is_there_when_asked(start):
    running = await loaded(await start(ECHO))
    for _ in range(3):
        before = running.worker.heard_at
        running.worker.ping()
        await heard(running, before)
    assert await running.ask(b"a") == [b"a"]


async def test_a_handler_that_asks_whether_to_stop_says_that_it_is_there(start):
    source = """
        import time
        def handle(data, context):
            while data and not context.cancelled:
                time.sleep(0.01)
            return ["done"] * len(data or [])
    """
    running = await loaded(await start(source))
    (answer,) = running.send(b"")
    before = running.worker.heard_at
    running.worker.ping()
    await heard(running, before)
    assert not answer.done()
    answer.cancel()
    await running.report()


@pytest.mark.parametrize("busy", [False, True])
async def test_a_worker_that_is_stopped_is_ended(start, busy):
    source = "import time\ndef handle(data, context):\n    if data: time.sleep(600)\n"
    running = await loaded(await start(source, limits={"heartbeat": 0.2}))
    answers = running.send(b"") if busy else []
    os.kill(running.worker.pid, signal.SIGSTOP)
    with pytest.raises(WorkerDied) as caught:
        await running.task
    assert (caught.value.cause, caught.value.reason) == ("unresponsive", "the process was stopped by a signal")
    for answer in answers:
        assert isinstance(answer.exception(), WorkerDied)


async def test_a_worker_whose_interpreter_hangs_while_it_has_nothing_to_do_is_ended(start):
    source = """
        import ctypes, threading

        def handle(data, context):
            if data:  # C that never lets go of the interpreter, once the answer is on its way
                threading.Timer(0.2, ctypes.PyDLL(None).sleep, [600]).start()
            return ["bye"] * len(data or [])
    """
    running = await loaded(await start(source, limits={"heartbeat": 1.0}))
    assert await running.ask(b"") == [b"bye"]
    with pytest.raises(WorkerDied, match="Worker died") as caught:
        await running.task
    assert caught.value.cause == "unresponsive" and "did not answer" in caught.value.detail


async def test_a_worker_that_answers_the_heartbeat_stays(start):
    running = await loaded(await start(ECHO, limits={"heartbeat": 1.0}))
    since = running.worker.heard_at
    for _ in range(2):
        await heard(running, since)
        since = running.worker.heard_at
    assert await running.ask(b"a") == [b"a"]


async def test_a_worker_does_not_outlive_the_server(tmp_path):
    (tmp_path / "handler.py").write_text("import time\ndef handle(data, context):\n    time.sleep(60)\n")
    script = f"""
import asyncio
from numserve.server.messages import ModelSpec
from numserve.server.workers.base import Load
from numserve.server.workers.process import ProcessWorker
async def main():
    worker = ProcessWorker()
    load = Load(ModelSpec("m", "1.0", {str(tmp_path)!r}, "handler"), "W")
    task = asyncio.ensure_future(worker.run(load, lambda *_: None))
    while worker.pid is None:
        await asyncio.sleep(0)
    print(worker.pid, flush=True)
    await task
asyncio.run(main())
"""
    with subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE) as server:
        worker = psutil.Process(int(server.stdout.readline()))
        await asyncio.sleep(0.3)
        server.kill()
    psutil.wait_procs([worker], timeout=10)
    assert not worker.is_running()


@pytest.mark.parametrize(
    ("source", "phase", "exception", "where", "hint"),
    [
        ("import there_is_no_such_package\n", "import", "ModuleNotFoundError", "handler.py:1", "pip install"),
        ("def handle(data, context)\n    pass\n", "import", "SyntaxError", "handler.py:1", "not valid Python"),
        ("def handle(data, context):\n    raise ValueError('no')\n", "initialize", "ValueError", "handler.py:2", ""),
        ("raise MemoryError\n", "import", "MemoryError", "handler.py:1", "memory"),
        ("import sys\nsys.exit(0)\n", "import", "SystemExit", "handler.py:2", ""),
    ],
)
async def test_a_handler_that_cannot_be_loaded_says_where_and_why(start, source, phase, exception, where, hint):
    running = await start(source)
    with pytest.raises(ModelLoadFailed, match="Failed to start workers for model m version: 1.0") as caught:
        await running.report()
    failure = caught.value.failure
    assert (failure.phase, failure.exception, failure.where) == (phase, exception, where)
    assert hint in (failure.hint or "")
    assert caught.value.code == (507 if exception == "MemoryError" else None)


async def test_a_process_that_dies_while_loading_leaves_its_last_words(start):
    running = await start("import os\nprint('going down', flush=True)\nos._exit(9)\n")
    with pytest.raises(ModelLoadFailed) as caught:
        await running.report()
    assert "exited with code 9" in caught.value.detail and "going down" in caught.value.detail


async def test_a_load_that_takes_too_long_is_ended(start):
    running = await start("import time\ntime.sleep(60)\n", limits={"startup_timeout": 0.3})
    with pytest.raises(ModelLoadFailed) as caught:
        await running.report()
    assert "not loaded within 0.3 seconds; hint: raise startupTimeout" in caught.value.detail


async def test_a_model_directory_that_is_gone_is_a_load_failure(tmp_path):
    load = Load(ModelSpec("m", "1.0", str(tmp_path / "gone"), "handler"), "W")
    with pytest.raises(ModelLoadFailed, match="m version") as caught:
        await ProcessWorker().run(load, lambda *_: None)
    assert caught.value.failure.phase == "start"


async def test_a_process_that_cannot_be_watched_is_not_left_alone(start, monkeypatch):
    before = psutil.Process().children()

    def refuse(pid):
        raise OSError(24, "Too many open files")

    monkeypatch.setattr(os, "pidfd_open", refuse)
    running = await start(ECHO)
    with pytest.raises(ModelLoadFailed, match="m version") as caught:
        await running.report()
    assert "Too many open files" in caught.value.detail
    assert psutil.Process().children() == before


async def test_a_file_of_the_archive_does_not_stand_in_for_pythons_own(start, tmp_path):
    (tmp_path / "model0").mkdir()
    running = Running(Load(ModelSpec("m", "1.0", str(tmp_path / "model0"), "handler"), "W"))
    (tmp_path / "model0" / "handler.py").write_text(textwrap.dedent(ECHO))
    for name in ("socket", "struct", "numserve", "orjson"):
        (tmp_path / "model0" / f"{name}.py").write_text("raise RuntimeError('taken in')\n")
    await loaded(running)
    await running.stop()


@pytest.mark.parametrize(
    "what", ["print('x' * 50)", "sys.stderr.write('y' * 100_000)", "os.write(1, bytes(range(256)))"]
)
async def test_a_flood_of_output_blocks_nobody_and_is_cut(start, caplog, what):
    loop = f"for _ in range(20_000 if data else 0): {what}"
    source = f"import os, sys\ndef handle(data, context):\n    {loop}\n    return ['ok']\n"
    with caplog.at_level(logging.INFO, "numserve.model"):
        running = await loaded(await start(source))
        assert await asyncio.wait_for(running.ask(b"a"), 60) == [b"ok"]
        await running.stop()
    assert sum(len(record.getMessage()) for record in caplog.records) < 20 << 20
    assert len(caplog.records) < 10_000


async def test_what_a_handler_prints_is_logged_with_its_workers_name(start, caplog):
    with caplog.at_level(logging.INFO, "numserve.model"):
        running = await loaded(await start("print('hello')\n" + textwrap.dedent(ECHO)))
        await running.stop()
    assert ("W-9000-m_1.0", "hello") in [(record.worker, record.getMessage()) for record in caplog.records]


async def test_a_failed_prediction_leaves_the_worker_alive(start):
    source = """
        def handle(data, context):
            if data and data[0]["body"] == b"bad":
                raise ValueError("nothing goes")
            return ["ok"] * len(data or [])
    """
    running = await loaded(await start(source))
    (answer,) = running.send(b"bad")
    with pytest.raises(InferenceFailed, match="^Prediction failed$") as caught:
        await answer
    assert caught.value.detail == "ValueError: nothing goes at handler.py:4"
    assert isinstance(await running.report(), BatchReport)
    assert await running.ask(b"good") == [b"ok"]


@pytest.mark.parametrize("returned", ["None", "(1,)", "[1, 2]", "[object()]", "['x' * 2000]"])
async def test_a_wrong_return_value_leaves_the_worker_alive(start, returned):
    source = f"def handle(data, context):\n    return ['ok'] if data and data[0]['body'] == b'good' else {returned}\n"
    running = await loaded(await start(source, max_response_size=1000))
    (answer,) = running.send(b"bad")
    with pytest.raises(InferenceFailed):
        await answer
    assert isinstance(await running.report(), BatchReport)
    assert await running.ask(b"good") == [b"ok"]


async def test_a_request_that_cannot_be_packed_fails_alone(start):
    running = await loaded(await start(ECHO))
    loop = asyncio.get_running_loop()
    job = Job(InferenceRequest("\udc80", (), {}), loop.create_future(), 0, 0, False, False)
    running.worker.send(Batch([job], loop.time, Silent()))
    with pytest.raises(Exception, match="cannot be handed on"):
        await job.answer
    await running.report()
    assert await running.ask(b"a") == [b"a"]


async def test_a_worker_is_started_where_forking_takes_too_long(start, monkeypatch):
    forks = Forks()
    monkeypatch.setattr(ProcessWorker, "forks", forks)
    zygote = await forks.ready(environment_of(os.environ, None))
    zygote._control.settimeout(0.05)
    os.kill(zygote._process.pid, signal.SIGSTOP)
    worker = await start(ECHO)
    assert isinstance(await worker.report(), LoadReport)
    assert await worker.ask(b"x") == [b"x"]
    assert not zygote.alive and forks._zygote is not zygote
    forks.close()


async def test_a_worker_imports_no_web_framework_and_no_server_settings(start):
    source = """
        import sys
        def handle(data, context):
            heavy = {"fastapi", "starlette", "pydantic", "uvicorn", "prometheus_client"}
            return [sorted(heavy & set(sys.modules))] * len(data or [])
    """
    running = await loaded(await start(source))
    assert await running.ask(b"") == [b"[]"]


def test_the_server_side_imports_no_numpy():
    code = "import sys, numserve.server.workers.process; sys.exit('numpy' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], cwd=Path("/")).returncode == 0
