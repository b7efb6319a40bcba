"""Environments: the packages that models ask for. The same packages are installed once, in a folder of their own.

ROOT/KEY/           a virtual environment that also sees what is installed beside numserve, its own packages first
ROOT/KEY.lock       held by who makes it
ROOT/KEY.partial/   one that is being made; where nobody holds the lock, one that was broken off
ROOT/KEY.log        what pip said
"""

from __future__ import annotations

import asyncio
import fcntl
import hashlib
import importlib.util
import json
import logging
import os
import re
import shutil
import signal
import site
import stat
import sys
import sysconfig
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager, suppress
from pathlib import Path

from .errors import EnvironmentFailed, ServingError
from .workers.environment import environment_of
from .workers.orphans import OURS

logger = logging.getLogger(__name__)

FORM = 1
"""Counted up when environments are made in another way."""
TAIL = 2000
"""Characters of pip's output that go into the answer."""
LOCK_WAIT = 0.1
"""Seconds between two looks at a lock."""
PACKAGES = (".whl", ".gz", ".zip", ".bz2", ".txt", ".in")
LOCAL = re.compile(r"^\s*(\.|-e|--editable|file:)|@\s*file:", re.MULTILINE)
"""A requirement that is a folder of the archive: then all of its files count."""


class Environments:
    """Makes environments under a folder, or finds them there."""

    def __init__(
        self, root: Path, timeout: float, hidden_variables: str | None = None, only_pinned: bool = False
    ) -> None:
        """Making one may take `timeout` seconds; pip does not see `hidden_variables`.

        `only_pinned` packages: wheels whose version and hash the requirements name, with all that these need.
        """
        self._root, self._timeout = root, timeout
        self._hidden = hidden_variables
        self._only_pinned = only_pinned

    async def python_for(self, model: str, model_dir: Path, requirements: str) -> Path:
        """The interpreter of an environment with what a file of the model's folder asks for.

        Raises: EnvironmentFailed with the end of pip's output, ServingError where the folder is not ours alone.
        """
        self._claim()
        key = key_of(model_dir, requirements) + "-pinned" * self._only_pinned
        python = self._root / key / "bin" / "python"
        async with self._locked(key):
            if not python.exists():
                await asyncio.to_thread(self._sweep)
                logger.info("installing the packages of model %s, from %s", model, requirements)
                await self._make(key, model, model_dir, requirements)
        return python

    def _claim(self) -> None:
        """Make the folder; whoever could write there could have a model run what they like."""
        self._root.mkdir(mode=0o700, parents=True, exist_ok=True)
        root = self._root.resolve()
        ours = root.stat().st_uid == os.getuid() and not root.stat().st_mode & 0o022
        if not ours or any(map(_replaceable, root.parents)):
            raise ServingError(
                f"{self._root} belongs to another user, or others may write to it or replace it",
                "model_environments must be a folder of the server's own user, with mode 0700",
            )

    @asynccontextmanager
    async def _locked(self, key: str) -> AsyncIterator[None]:
        """Be the only one, of whatever process, to make this environment."""
        with (self._root / f"{key}.lock").open("w") as file:
            while True:
                with suppress(BlockingIOError):
                    fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    break
                await asyncio.sleep(LOCK_WAIT)
            yield

    def _sweep(self) -> None:
        """Remove what was broken off: nobody holds its lock."""
        for partial in self._root.glob("*.partial"):
            with partial.with_suffix(".lock").open("w") as file, suppress(BlockingIOError):
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                shutil.rmtree(partial, ignore_errors=True)

    async def _make(self, key: str, model: str, model_dir: Path, requirements: str) -> None:
        partial, log = self._root / f"{key}.partial", self._root / f"{key}.log"
        await asyncio.to_thread(shutil.rmtree, partial, ignore_errors=True)
        log.unlink(missing_ok=True)
        python = str(partial / "bin" / "python")
        pip = [python, "-m", "pip", "install", "--no-input", "--disable-pip-version-check"]
        pip += ["--require-hashes", "--only-binary", ":all:"] if self._only_pinned else []
        made = f"Virtual environment creation failed for model {model}"
        installed = f"Custom pip package installation failed for model {model}"
        try:
            async with asyncio.timeout(self._timeout):
                await self._run([sys.executable, "-m", "venv", "--without-pip", str(partial)], model_dir, log, made)
                packages_of(partial).joinpath("numserve.pth").write_text(_also_sees())
                if importlib.util.find_spec("pip") is None:
                    await self._run([python, "-m", "ensurepip"], model_dir, log, made)
                await self._run([*pip, "-r", str(model_dir / requirements)], model_dir, log, installed)
            _move_scripts(partial, self._root / key)
            partial.rename(self._root / key)
        except TimeoutError as error:
            raise EnvironmentFailed(
                installed, f"it took more than {self._timeout:g} s (model_environment_timeout)\n{_end_of(log)}"
            ) from error
        finally:
            await asyncio.shield(asyncio.to_thread(shutil.rmtree, partial, ignore_errors=True))

    async def _run(self, command: Sequence[str], folder: Path, log: Path, failure: str) -> None:
        """Run a command to its end, or end it and all it has started; when the server is killed, the kernel does.

        What it has for a time goes with the environment that it makes.
        """
        tether = [sys.executable, "-P", "-m", "numserve.server.workers.tether", str(os.getpid())]
        with log.open("ab") as output:
            process = await asyncio.create_subprocess_exec(
                *tether,
                *command,
                cwd=folder,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=output,
                stderr=asyncio.subprocess.STDOUT,
                env=environment_of(os.environ, self._hidden) | {"TMPDIR": str(log.with_suffix(".partial"))},
                start_new_session=True,
            )
            OURS.add(process.pid)
            try:
                code = await process.wait()
            except asyncio.CancelledError:
                with suppress(ProcessLookupError):
                    os.killpg(process.pid, signal.SIGKILL)
                await asyncio.shield(process.wait())
                raise
            finally:
                OURS.discard(process.pid)
        if code:
            raise EnvironmentFailed(failure, _end_of(log))


def _replaceable(parent: Path) -> bool:
    """Whether another user could put something else in the place of what lies in a folder."""
    found = parent.stat()
    open_to_all = found.st_mode & stat.S_IWOTH and not found.st_mode & stat.S_ISVTX
    return bool(open_to_all) or found.st_uid not in (0, os.getuid())


def key_of(model_dir: Path, requirements: str) -> str:
    """A name for what would be installed: the interpreter, the file, and what it may read beside itself."""
    text = (model_dir / requirements).read_bytes()
    local = LOCAL.search(text.decode("utf-8", "replace")) is not None
    beside = sorted(path for path in model_dir.rglob("*") if path.is_file() and (local or path.suffix in PACKAGES))
    files = [(str(path.relative_to(model_dir)), _digest(path)) for path in beside]
    said = [FORM, sys.version, sys.prefix, hashlib.sha256(text).hexdigest(), files]
    return hashlib.sha256(json.dumps(said).encode()).hexdigest()[:32]


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def packages_of(environment: Path) -> Path:
    """Where a virtual environment has its packages."""
    return Path(sysconfig.get_path("purelib", "venv", {"base": str(environment), "platbase": str(environment)}))


def _also_sees() -> str:
    """A .pth file by which an environment sees what the server's Python sees, behind its own packages."""
    folders = [folder for folder in _seen_here() if Path(folder).is_dir()]
    return "".join(f"import site; site.addsitedir({folder!r})\n" for folder in folders)


def _seen_here() -> Iterator[str]:
    yield from site.getsitepackages()
    if site.ENABLE_USER_SITE:
        yield site.getusersitepackages()


def _move_scripts(partial: Path, final: Path) -> None:
    """Have an environment's scripts begin with the interpreter where it will be."""
    before, after = (f"#!{folder / 'bin'}".encode() for folder in (partial, final))
    for path in (partial / "bin").iterdir():
        if path.is_file() and not path.is_symlink() and (content := path.read_bytes()).startswith(before):
            path.write_bytes(after + content[len(before) :])


def _end_of(log: Path) -> str:
    text = log.read_text(errors="replace")[-TAIL:].strip() if log.exists() else ""
    return f"{text}\n(all of it is in {log})"
