"""How the command starts and stops the server's process; the messages are TorchServe's, with numserve's name."""

from __future__ import annotations

import contextlib
import gc
import os
import re
import select
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NoReturn

import click

from . import lifecycle
from .properties import InvalidConfiguration
from .sources import of_workers

STOP_SECONDS = 60.0
OF_LOG4J = "log4j2 files are not read; give one for logging.config.dictConfig, or set log_format and log_level"
IGNORED = {
    "cpp_log_config": "there is no C++ backend",
    "plugins_path": "there are no Java plug-ins",
}
"""Options that are taken and do nothing, with the reason that is told."""


def start(options: dict[str, Any]) -> None:
    """Start in the foreground, or detached: then this process waits for the other one's ready line.

    Ends the process with the exit code that the command has.
    """
    _require(options)
    folder = lifecycle.temp_dir(os.environ)
    if lifecycle.running_pid(folder) is not None:
        _refuse(lifecycle.RUNNING)
    _clear(folder)
    if not options["foreground"] and not options["detached"]:
        raise SystemExit(_start_detached(options))
    with contextlib.ExitStack() as stack:
        with _uncollected():
            forks = stack.enter_context(_forks(options))
            settings = _settings(options)
            if settings.restored:
                click.echo(f"Restoring {settings.ts_config}; --ncs starts without it.")
            forks(settings)
            from .serve import main as serve  # imports that no other command needs
        raise SystemExit(serve(settings, options["detached"]))


@contextlib.contextmanager
def _uncollected() -> Iterator[None]:
    """Look for no garbage in what is made here, now or later: all of it stays, and looking is an eighth of the time."""
    gc.disable()
    try:
        yield
        gc.freeze()
    finally:
        gc.enable()


@contextlib.contextmanager
def _forks(options: dict[str, Any]) -> Iterator[Callable[[Any], None]]:
    """Have the process that workers are forked from import what it needs while the server does the same.

    It is started before the settings are read, and told the rest by what this gives, which is to be called with them.
    """
    from .workers.environment import environment_of
    from .workers.zygote import FORKS

    with contextlib.suppress(InvalidConfiguration, re.error):  # which the settings are to tell of
        backend, hidden = of_workers(_flags(options), os.environ)
        if backend == "process":
            FORKS.start(environment_of(os.environ, hidden))

    def go_on(settings: Any) -> None:
        from .wanted import needs_from_start  # the archiver

        if settings.worker_backend == "process":
            seen = environment_of(os.environ, settings.blacklist_env_vars)
            FORKS.keep(seen)
            FORKS.start(seen, needs_from_start(settings))
        else:
            FORKS.close()

    try:
        yield go_on
    finally:
        FORKS.close()


def stop(silent: bool = False) -> None:
    """End the server, and return when it is gone."""
    folder = lifecycle.temp_dir(os.environ)
    pid = lifecycle.running_pid(folder)
    if pid is None:
        _clear(folder)
        click.echo("numserve is not currently running.")
        return
    try:
        process = os.pidfd_open(pid)
    except ProcessLookupError:
        click.echo("numserve already stopped.")
        return
    try:
        signal.pidfd_send_signal(process, signal.SIGTERM)
        ended, _, _ = select.select([process], [], [], STOP_SECONDS)
    finally:
        os.close(process)
    if not ended:
        click.echo("Stopping numserve took too long.")
        raise SystemExit(1)
    if not silent:
        click.echo("numserve has stopped.")


def _require(options: dict[str, Any]) -> None:
    """Refuse folders and files that are not there, in TorchServe's words and order."""
    for name in ("model_store", "workflow_store"):
        if options[name] and not Path(options[name]).is_dir():
            _refuse(f"--{name.replace('_', '-')} directory not found: {options[name]}")
    for name in ("ts_config", "log_config", "cpp_log_config"):
        if options[name] and not Path(options[name]).is_file():
            _refuse(f"--{name.replace('_', '-')} file not found: {options[name]}")
    if (options["log_config"] or "").endswith((".xml", ".properties")) and not options["detached"]:
        click.echo(f"--log-config is ignored: {OF_LOG4J}", err=True)
    for name, reason in IGNORED.items():
        if options[name] and not options["detached"]:
            click.echo(f"--{name.replace('_', '-')} is ignored: {reason}", err=True)


def _settings(options: dict[str, Any]) -> Any:
    """The settings these options lead to."""
    from .auth import check_exposure  # pydantic: only where a server is about to start

    settings = effective(options)
    if settings.model_store is None:
        _refuse("Missing mandatory parameter --model-store")
    if not settings.model_store.is_dir():
        _refuse(f"--model-store directory not found: {settings.model_store}")
    if settings.workflow_store and not settings.workflow_store.is_dir():
        _refuse(f"--workflow-store directory not found: {settings.workflow_store}")
    check_exposure(settings)
    return settings


def effective(options: dict[str, Any]) -> Any:
    """The settings of a start with these options. Raises InvalidConfiguration."""
    from .settings import Settings

    return Settings.load(**_flags(options))


def _flags(options: dict[str, Any]) -> dict[str, Any]:
    """The settings that the command line gives; None where it does not."""
    return {
        "model_store": options["model_store"],
        "workflow_store": options["workflow_store"],
        "load_models": ",".join(options["models"]) or None,
        "ts_config": options["ts_config"],
        "log_config": options["log_config"],
        "enable_model_api": options["enable_model_api"] or None,
        "disable_token_authorization": options["disable_token_auth"] or None,
        "config_snapshots": False if options["no_config_snapshots"] else None,
    }


def _start_detached(options: dict[str, Any]) -> int:
    """Run this command again as a session of its own, and pass on what it says until it is ready."""
    command = [sys.executable, "-P", "-m", "numserve.server.cli", *_as_arguments(options), "--detached"]
    process = subprocess.Popen(
        command,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )
    assert process.stdout is not None
    try:
        with process.stdout as lines:
            for line in lines:
                click.echo(line.rstrip("\n"))
                if line.strip() == lifecycle.READY:
                    return 0
    except KeyboardInterrupt:
        process.terminate()
    return process.wait() or 1


def _as_arguments(options: dict[str, Any]) -> list[str]:
    """The options as a command line."""
    found: list[str] = []
    for name, value in options.items():
        flag = f"--{name.replace('_', '-')}"
        if value is True:
            found.append(flag)
        elif value:
            found += [part for item in ([value] if isinstance(value, str) else value) for part in (flag, item)]
    return found


def _clear(folder: Path) -> None:
    """Remove what a crashed server has left."""
    if lifecycle.orphaned(folder):
        click.echo("Removing orphan pid file.")
        lifecycle.remove_orphans(folder)


def _refuse(text: str) -> NoReturn:
    click.echo(text)
    raise SystemExit(1)
