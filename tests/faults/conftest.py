"""Servers to break, and the oracle that all faults have in common.

Beside each fault, `traffic` asks another model all the time: each request is answered once, 5xx only where the test
says so, and the server is alive throughout. After it, nothing is left: no process, descriptor, file, or memory.
"""

from __future__ import annotations

import contextlib
import importlib.util
import json
import os
import shutil
import signal
import subprocess
import sys
import time
import uuid
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

import psutil
import pytest
import yaml
from numserve.server import lifecycle

HERE = Path(__file__).parent
TESTS = HERE.parent
STARTED = "Model server started."
LIMIT = 60.0
LISTENERS = ("inference", "management", "metrics")
EVERYWHERE = "enable_grpc=false\ndisable_system_metrics=true\nlog_level=INFO\n"
ECHO = "steady"
"""The model that traffic asks while others break."""


def _module(path: Path) -> ModuleType:
    """A module beside the tests, which pytest's importlib mode does not find by name."""
    spec = importlib.util.spec_from_file_location(f"numserve_faults_{path.parent.name}_{path.stem}", path)
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    sys.modules[module.__name__] = module  # where dataclasses look for it
    spec.loader.exec_module(module)
    return module


traffic_module, traces = _module(HERE / "traffic.py"), _module(HERE / "traces.py")
Contract: Any = _module(TESTS / "contract" / "inference" / "conftest.py").Contract


class Place:
    """Folders of one server, as Contract wants them."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.store, self.temp = folder, folder / "store", folder / "tmp"
        for each in (self.store, self.temp):
            each.mkdir()


class Site(Contract):
    """A server in the foreground whose processes bear a mark; the ways to speak to it are Contract's."""

    def __init__(self, folder: Path, config: str = "", within: Sequence[str] = (), environment: dict[str, str] = {}):  # noqa: B006
        """Be ready to start; `within` is a command that starts it, such as `prlimit`, and keeps its process."""
        super().__init__(Place(folder), {})
        self.handlers = HERE / "handlers"
        self.mark = uuid.uuid4().hex
        self.temp: Path = self.server.temp
        self.config, self._within, self._environment = config, within, environment
        self.output = folder / "output.log"
        self.heard = 0
        self.process: subprocess.Popen[bytes] | None = None
        self._removing: list[str] = []

    @property
    def pid(self) -> int:
        assert self.process
        return self.process.pid

    def start(
        self, *arguments: str, wait: bool = True, foreground: bool = True, at_the_same_address: bool = False
    ) -> Site:
        """Start; returns when its listeners are up and what it was told to load is loaded.

        With `foreground` false its logs are files, and its process is the command's own all the same.
        """
        places = self.addresses if at_the_same_address else dict.fromkeys(LISTENERS, "http://127.0.0.1:0")
        listeners = "".join(f"{name}_address={places[name]}\n" for name in LISTENERS)
        config = self.server.folder / "config.properties"
        config.write_text(listeners + EVERYWHERE + self.config)
        environment = os.environ | {
            "TEMP": str(self.temp), "OMP_NUM_THREADS": "1", traces.MARK: self.mark, "PYTHONUNBUFFERED": "1",
            "LOG_LOCATION": str(self.server.folder / "logs"),
        } | self._environment  # fmt: skip
        command = [
            *self._within, sys.executable, "-P", "-m", "numserve.server.cli", "start", "--ncs",
            "--foreground" if foreground else "--detached",
            "--model-store", str(self.server.store), "--ts-config", str(config), "--enable-model-api", *arguments,
        ]  # fmt: skip
        with self.output.open("wb") as output:
            self.process = subprocess.Popen(
                command, cwd=self.server.folder, env=environment, stdout=output, stderr=output, stdin=subprocess.DEVNULL
            )
        if wait:
            self.eventually(lambda: STARTED in self.said() or self.process.poll() is not None)
            assert self.process.poll() is None, self.said()[-2000:]
            state = json.loads(self.inside(self.temp / lifecycle.STATE_FILE).read_text())
            self.addresses.update({name: state[name] for name in LISTENERS})
        return self

    def inside(self, path: Path) -> Path:
        """A path as the server sees it, which may have mounts of its own."""
        return Path(f"/proc/{self.pid}/root{path}")

    def said(self) -> str:
        """What it has printed and logged since the test began."""
        with self.output.open("rb") as file:
            file.seek(self.heard)
            return file.read().decode(errors="replace")

    def ends(self, number: signal.Signals | None = signal.SIGTERM) -> int:
        """Send a signal, and wait for the end; gives the exit code."""
        assert self.process
        if number is not None and self.process.poll() is None:
            self.process.send_signal(number)
        return self.process.wait(LIMIT)

    def close(self) -> None:
        """End it, whatever state it is in."""
        if self.process and self.process.poll() is None:
            self.process.terminate()
            try:
                self.process.wait(LIMIT)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
                raise

    def now(self) -> Any:
        """What it has in use."""
        return traces.Traces.now(self.mark, self.temp, self.pid)

    def alive(self) -> list[int]:
        """Its processes."""
        return [*traces.marked(self.mark)]

    def gone(self) -> None:
        """After the end: no process and no file of its own is left."""
        traces.settle(traces.Traces(frozenset(), frozenset(), SHARED_BEFORE, 0, 0), self.mark, self.temp)

    def obey(self, name: str = "obey", **config: Any) -> str:
        """Serve the handler that breaks as ordered, until the end of the test."""
        if f"{name}-1.0" not in self._served:
            self._removing.append(name)
        return self.model(name, "obey", **config)

    def register(self, name: str, source: str, **config: Any) -> Any:
        """Register a handler by its source, and one worker; it is taken away at the end of the test."""
        folder = self.server.store / name
        (folder / "MAR-INF").mkdir(parents=True, exist_ok=True)
        (folder / "handler.py").write_text(source)
        (folder / "config.yaml").write_text(yaml.safe_dump(config))
        model = {"modelName": name, "modelVersion": "1.0", "handler": "handler.py", "configFile": "config.yaml"}
        (folder / "MAR-INF" / "MANIFEST.json").write_text(json.dumps({"runtime": "python", "model": model}))
        answer = self.management("POST", f"/models?url={name}&initial_workers=1&synchronous=true")
        if answer.status == 200:
            self._removing.append(name)
            self._served[f"{name}-1.0"] = {}
        return answer

    def remove(self) -> None:
        """Take away what the test has registered."""
        while self._removing:
            name = self._removing.pop()
            if f"{name}-1.0" in self._served:
                assert self.management("DELETE", f"/models/{name}").status == 200
                self.forget(name)

    def order(self, model: str = "obey", headers: dict[str, str] = {}, **order: Any) -> Any:  # noqa: B006
        """Have a model do as ordered."""
        return self.json(f"/predictions/{model}", order, **headers)

    def traffic(self, **options: Any) -> Any:
        """Clients beside a fault; see traffic.py."""
        return traffic_module.Traffic(self.addresses["inference"], options.pop("model", ECHO), **options)

    def described(self, model: str) -> dict[str, Any]:
        [told] = self.management("GET", f"/models/{model}").json()
        return told

    def workers(self, model: str) -> list[int]:
        """The processes of workers that are ready."""
        return [worker["pid"] for worker in self.described(model)["workers"] if worker["status"] == "READY"]

    def metric(self, name: str, **labels: str) -> float:
        """The sum of a metric's samples that bear these labels."""
        told = self.request("GET", "/metrics", listener="metrics").body.decode()
        lines = [line for line in told.splitlines() if line.startswith(f"{name}{{") or line.startswith(f"{name} ")]
        wanted = [f'{key}="{value}"' for key, value in labels.items()]
        return sum(float(line.rpartition(" ")[2]) for line in lines if all(each in line for each in wanted))

    def cpu(self) -> float:
        """Seconds of a core that the server's own process has taken."""
        times = psutil.Process(self.pid).cpu_times()
        return times.user + times.system

    def lines(self, text: str) -> list[str]:
        """What it has logged that holds `text`, once there is something."""

        def found() -> list[str]:
            return [line for line in self.said().splitlines() if text in line]

        self.eventually(lambda: bool(found()))
        return found()


SHARED_BEFORE = frozenset(os.listdir(traces.SHARED_MEMORY))


@pytest.fixture(scope="session")
def standing(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """One server for all faults that must not end it, with what it loads for the first time loaded."""
    config = "job_queue_size=1000\nmax_request_size=2000000\nmax_response_size=70000000\ndefault_response_timeout=30\n"
    site = Site(tmp_path_factory.mktemp("faults"), config)
    try:
        site.start().model(ECHO, "obey", workers=2)
        site.obey("warm")
        assert site.order("warm").status == 200
        with site.traffic() as traffic:
            traffic.more(100)
            site.at_once(*[lambda: site.post(f"/predictions/{ECHO}", b"x" * 1_500_000)] * 10)
        site.remove()
        yield site
    finally:
        site.close()
    site.gone()


@pytest.fixture
def site(standing: Site) -> Iterator[Site]:
    """The standing server; what the test has taken of it must have come back afterwards."""
    before = standing.now()
    standing.heard = standing.output.stat().st_size
    yield standing
    standing.remove()
    assert standing.process and standing.process.poll() is None, standing.said()[-2000:]
    traces.settle(before, standing.mark, standing.temp, standing.pid)


@pytest.fixture
def own(tmp_path: Path, cgroup: Any) -> Iterator[Callable[..., Site]]:
    """`own(config, within=...)`: a server for this test alone, not started yet; nothing of it may be left.

    It ends before the `cgroup` that it may be in.
    """
    with contextlib.ExitStack() as until:

        def make(config: str = "", **options: Any) -> Site:
            folder = tmp_path / f"site{len(list(tmp_path.iterdir()))}"
            folder.mkdir()
            made = Site(folder, config, **options)
            until.callback(made.gone)
            until.callback(made.close)
            return made

        yield make


CONTROLLERS = {
    "memory": ("memory.limit_in_bytes", "memory.max", "{}"),
    "pids": ("pids.max", "pids.max", "{}"),
    "cpu": ("cpu.cfs_quota_us", "cpu.max", "{}"),
}
"""Of each controller the file of its limit in cgroup v1 and v2; the CPU's is in microseconds of a tenth of a second."""


@pytest.fixture
def cgroup() -> Iterator[Callable[..., tuple[str, ...]]]:
    """`cgroup(memory=BYTES)`: a command that runs another one in a cgroup with this limit, where we may make one."""
    made = []

    def within(**limits: int) -> tuple[str, ...]:
        [(controller, limit)] = limits.items()
        root, (first, second, form) = Path("/sys/fs/cgroup"), CONTROLLERS[controller]
        unified = (root / "cgroup.controllers").is_file()
        group = (root if unified else root / controller) / f"numserve-{uuid.uuid4().hex}"
        try:
            group.mkdir()
            made.append(group)
            (group / (second if unified else first)).write_text(form.format(limit))
        except OSError as error:
            pytest.skip(f"no cgroup can be made here: {error}")
        return "sh", "-c", f'echo $$ > {group}/cgroup.procs && exec "$@"', "sh"

    yield within
    for group in made:
        until = time.monotonic() + LIMIT
        while (group / "cgroup.procs").read_text():
            assert time.monotonic() < until, "processes are left in the cgroup"
            time.sleep(0.05)
        group.rmdir()


@pytest.fixture(scope="session")
def mounts() -> tuple[str, ...]:
    """A command that runs a shell script, which ends with `exec "$@"`, where it may mount; nobody else sees it."""
    if not shutil.which("unshare") or subprocess.run(["unshare", "-rm", "true"], capture_output=True).returncode:
        pytest.skip("unshare -rm is not permitted here")
    return "unshare", "-rm", "sh", "-c"
