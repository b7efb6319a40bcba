"""The server's life: three listeners over one registry; start-up, drain, shutdown."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import uvloop

from .. import __version__
from ..plugins import PluginNotFound, resolve
from . import logs
from .api import Combined, inference_app, management_app, metrics_app
from .api.gate import Gate
from .api.listener import App, Listener
from .auth import Authority
from .effective import as_property
from .grpc import INSTALL, asked_for, heedless_of_forks, installed, served
from .http.address import Address
from .http.certificates import Certificates
from .http.guards import (
    OF_OPERATORS,
    OF_PREDICTIONS,
    SLACK_BYTES,
    WIRE_BYTES_OF_A_BYTE,
    Door,
    Limits,
    raise_descriptors,
)
from .http.listeners import Bound, CannotBind, HttpServer, bind
from .lifecycle import READY, RUNNING, AlreadyRunning, Lock, State
from .metrics.metrics import Metrics, choice_of
from .properties import InvalidConfiguration
from .registry import ModelRegistry
from .scratch import sweep
from .settings import Settings
from .snapshot import Snapshots
from .startup import load_startup_models
from .stopping import StopSignals
from .workers import BUILTIN
from .workers.environment import environment_of
from .workers.orphans import bury, end_all
from .workers.zygote import FORKS, adopt_orphans
from .workflows import WorkflowRegistry

if TYPE_CHECKING:
    from .grpc.listener import GrpcServer

logger = logging.getLogger(__name__)

RENEWAL = "renewal"


def main(settings: Settings, detached: bool = False) -> int:
    """Serve until told to stop; returns the exit code.

    Detached, the logs go to files, and the terminal is let go of once everything is up.
    """
    folder = settings.log_location if detached else None
    try:
        resolve("workers", settings.worker_backend, BUILTIN)
        with Lock(settings.temp_dir) as lock, contextlib.ExitStack() as stack:
            bound = _bind_all(settings, stack)
            certificates, authority = _certificates(settings), Authority.of(settings)
            if authority and authority.keys:
                stack.callback(authority.keys.remove)
            told: list[Metrics] = []  # there are none yet: what is wrong with their configuration goes to the logs

            def count_dropped(lines: int) -> None:
                for each in told:
                    each.lines_dropped(lines)

            stack.callback(
                logs.set_up(
                    settings.log_format,
                    settings.log_level,
                    folder,
                    of_metrics=settings.metrics_location,
                    config=logs.read_config(settings.log_config),
                    dropped=count_dropped,
                )
            )
            metrics = Metrics(choice=choice_of(settings))
            told.append(metrics)
            grpc = _bind_grpc(settings, stack)
            if settings.worker_backend == "process":
                FORKS.start(environment_of(os.environ, settings.blacklist_env_vars))  # to be ready when it is needed
                stack.callback(FORKS.close)
            server = Server(settings, bound, certificates, authority, metrics, grpc)
            uvloop.run(server.run(lambda state: _announce(lock, state, folder), folder))
    except AlreadyRunning:
        print(RUNNING)
        return 1
    except PluginNotFound as error:
        print(f"Invalid configuration: worker_backend: {error}", file=sys.stderr)
        return 1
    except (CannotBind, InvalidConfiguration) as error:
        print(error, file=sys.stderr)
        return 1
    return 0


def _bind_all(settings: Settings, stack: contextlib.ExitStack) -> dict[str, Bound]:
    """A socket for each face; faces with the same address share one."""
    names = ["inference", "management", *(["metrics"] if settings.enable_metrics_api else [])]
    bound: dict[str, Bound] = {}
    for name in names:
        address: Address = getattr(settings, f"{name}_address")
        same = [each for each in bound.values() if each.address == address]
        bound[name] = same[0] if same else bind(f"{name}_address", address)
        stack.callback(bound[name].close)
    return bound


def _bind_grpc(settings: Settings, stack: contextlib.ExitStack) -> dict[str, Bound]:
    """A socket for each listener of gRPC, which holds its address until that starts.

    Where nobody has asked for gRPC, an address in use keeps no server from starting: it does without, and says so.
    Raises: InvalidConfiguration where gRPC must be served and cannot be, CannotBind.
    """
    if settings.enable_grpc and not installed():
        raise InvalidConfiguration(f"Invalid configuration: enable_grpc = true: gRPC is an extra: {INSTALL}")
    bound: dict[str, Bound] = {}
    for face in ("inference", "management") if served(settings) else ():
        address = Address(getattr(settings, f"grpc_{face}_address"), getattr(settings, f"grpc_{face}_port"))
        try:
            bound[face] = bind(f"grpc_{face}_port", address)
        except CannotBind as error:
            if asked_for(settings):
                raise
            logger.warning("no %s by gRPC: %s", face, error)
            continue
        stack.callback(bound[face].close)
    return bound


def _certificates(settings: Settings) -> Certificates | None:
    """What the listeners that speak TLS share; None where there is none."""
    key, certificate = settings.private_key_file, settings.certificate_file
    of_http = any(getattr(settings, f"{face}_address").tls for face in ("inference", "management", "metrics"))
    if not of_http and not (settings.enable_grpc_ssl and served(settings)):
        return None
    if key is None or certificate is None:
        what = "https" if of_http else "enable_grpc_ssl"
        raise CannotBind(
            f"{what} needs private_key_file and certificate_file, both PEM. For a try, openssl req -x509 -newkey "
            "rsa:2048 -nodes -keyout key.pem -out certificate.pem -subj /CN=localhost "
            "-addext subjectAltName=DNS:localhost makes them; a keystore becomes PEM by openssl pkcs12 -in FILE -nodes"
        )
    return Certificates(certificate, key)


def _announce(lock: Lock, state: State, folder: Path | None) -> None:
    """Say that everything is up; detached, let go of the terminal that waits for this line."""
    lock.publish(state)
    print(READY, flush=True)
    if folder:
        _speak_to_file(folder)


def _speak_to_file(folder: Path) -> None:
    """Have what is printed, and what libraries print, stand in the log."""
    descriptor = os.open(folder / "ts_log.log", os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
    for stream in (1, 2):
        os.dup2(descriptor, stream)
    os.close(descriptor)


def _place(bound: Bound | None) -> str | None:
    """The host and port of a listener of gRPC."""
    return str(bound.address).partition("://")[2] if bound else None


class Server:
    """Three HTTP servers and the registry they share."""

    def __init__(
        self,
        settings: Settings,
        bound: dict[str, Bound],
        certificates: Certificates | None = None,
        authority: Authority | None = None,
        metrics: Metrics | None = None,
        grpc: dict[str, Bound] | None = None,
    ) -> None:
        """Be ready to run; nothing is started yet."""
        self._metrics = metrics or Metrics(choice=choice_of(settings))
        self._settings = settings
        self._bound = bound
        self._grpc = grpc or {}
        self._certificates = certificates
        self._authority = authority
        self._access_log = logs.AccessLog(settings.log_format)
        self._descriptors = raise_descriptors()

    async def run(self, ready: Callable[[State], None], folder: Path | None) -> None:
        """Start, call `ready`, serve until SIGTERM or SIGINT, then drain and clean up. SIGHUP: see `_renew`."""
        adopt_orphans(True)
        signals = StopSignals()
        metrics = self._metrics
        registry = ModelRegistry(self._settings, metrics)
        workflows = WorkflowRegistry(self._settings, registry, metrics)
        snapshots = Snapshots(self._settings, registry)
        apps = self._apps(registry, workflows, metrics, snapshots)
        context = self._certificates.context if self._certificates else None
        servers: list[HttpServer | GrpcServer] = [
            HttpServer(app, bound, context if bound.address.tls else None, self._door(bound))
            for bound, app in apps.items()
        ]
        servers += self._grpc_servers(registry, metrics, snapshots)
        serving = [asyncio.create_task(server.run_until_told()) for server in servers]
        stopping = asyncio.create_task(signals.asked())
        starting = asyncio.create_task(self._start(registry, servers, snapshots, ready, folder))
        helpers: list[asyncio.Task[object]] = [stopping, starting, asyncio.create_task(bury())]
        if not self._settings.disable_system_metrics:
            helpers.append(asyncio.create_task(metrics.watch_system(self._settings.metric_time_interval)))
        if self._certificates:
            helpers.append(asyncio.create_task(self._certificates.watch()))
        signals.on_hang_up(partial(self._renew, registry, helpers, folder))
        try:
            done, _ = await asyncio.wait({stopping, starting, *serving}, return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                task.result()
            await stopping
        finally:
            if starting.done():
                snapshots.write("shutdown")
            await self._shut_down(signals, registry, servers, serving, helpers)
            workflows.close()
            end_all()

    def _look_anew(self, folder: Path | None) -> None:
        """Go on with the certificate and the log files that are there now."""
        logs.reopen()
        if folder:
            _speak_to_file(folder)
        if self._certificates:
            self._certificates.renew()

    def _renew(self, registry: ModelRegistry, helpers: list[asyncio.Task[object]], folder: Path | None) -> None:
        """Look anew, and replace all workers one by one unless that is under way; `helpers` end with the server."""
        self._look_anew(folder)
        if not registry.stopping and not any(task.get_name() == RENEWAL and not task.done() for task in helpers):
            logger.info("all workers are replaced")
            helpers.append(asyncio.create_task(registry.renew(), name=RENEWAL))

    def _door(self, bound: Bound) -> Door:
        """What a listener grants its clients, held to what the process may open."""
        predicts = bound is self._bound["inference"]
        share = int(self._descriptors * (OF_PREDICTIONS if predicts else OF_OPERATORS))
        wanted = self._settings.max_connections
        if predicts and share < wanted:
            logger.warning("%d connections at most, as %d descriptors are allowed", share, self._descriptors)
        limits = Limits(
            min(wanted, share),
            self._settings.max_connections_per_peer,
            self._settings.min_transfer_rate,
            self._settings.max_unread_size,
            self._settings.max_unfinished_size,
            WIRE_BYTES_OF_A_BYTE * self._settings.max_request_size + SLACK_BYTES,
        )
        return Door(limits, self._metrics.request_rejected)

    def _grpc_servers(self, registry: ModelRegistry, metrics: Metrics, snapshots: Snapshots) -> list[GrpcServer]:
        """The listeners of gRPC; their packages are imported here, where they are."""
        if not self._grpc:
            return []
        with heedless_of_forks():
            from .grpc.faces import Faces

        faces = Faces(
            registry,
            self._settings,
            self._authority,
            metrics,
            self._access_log,
            changed=snapshots.changed,
            certificates=self._certificates,
        )
        return [faces.server(face, bound) for face, bound in self._grpc.items()]

    def _apps(
        self, registry: ModelRegistry, workflows: WorkflowRegistry, metrics: Metrics, snapshots: Snapshots
    ) -> dict[Bound, App]:
        authority = self._authority
        guarded = {face for face in self._bound if authority and authority.guards(face)}
        apps: dict[str, App] = {
            "inference": inference_app(registry, self._settings, metrics, "inference" in guarded, workflows),
            "management": management_app(
                registry, self._settings, authority, changed=snapshots.changed, workflows=workflows
            ),
            "metrics": metrics_app(metrics, secured="metrics" in guarded),
        }
        if authority:
            apps |= {face: Gate(apps[face], authority, face, metrics) for face in guarded}
        found: dict[Bound, App] = {}
        for bound in self._bound.values():
            faces = {name: apps[name] for name in self._bound if self._bound[name] is bound}
            app = next(iter(faces.values())) if len(faces) == 1 else Combined(faces)
            operator = [*faces] == ["management"]
            found[bound] = Listener(
                app, self._settings, metrics, self._access_log, operator, stopping=lambda: registry.stopping
            )
        return found

    async def _start(
        self,
        registry: ModelRegistry,
        servers: list[HttpServer | GrpcServer],
        snapshots: Snapshots,
        ready: Callable[[State], None],
        folder: Path | None,
    ) -> None:
        for warning in self._settings.warnings:
            logger.warning("%s", warning)
        if self._settings.ts_config:
            logger.info("configuration: %s", self._settings.ts_config)
        changed = self._settings.changed()
        logger.info("numserve %s, %s", __version__, ", ".join(as_property(*each) for each in changed.items()))
        await asyncio.to_thread(sweep, self._settings.temp_dir)
        for name, bound in self._bound.items():
            logger.info("%s API bind to: %s", name.capitalize(), bound.address)
            if not bound.address.loopback and not (self._authority and self._authority.guards(name)):
                logger.warning("%s is open to other machines, without authorization", bound.address)
        for server in servers:
            await server.up.wait()
        self._tell_of_grpc()
        tell = partial(print, flush=True) if folder else logger.debug
        for problem in await load_startup_models(registry, self._settings, tell):
            print(problem, flush=True)
        await asyncio.to_thread(snapshots.write, "startup")
        ready(self._state(folder))

    def _tell_of_grpc(self) -> None:
        """Once, in the log: where it is served, or why it is not."""
        for face, bound in self._grpc.items():
            logger.info("gRPC %s API bind to: %s", face, _place(bound))
            if not bound.address.loopback and not self._authority:
                logger.warning("%s is open to other machines, without authorization", _place(bound))
        if installed() or self._settings.enable_grpc is False:
            return
        keys = asked_for(self._settings)
        level = logging.WARNING if keys else logging.INFO
        logger.log(
            level,
            "gRPC is an extra and not served%s: %s",
            f", as {', '.join(keys)} would have it" * bool(keys),
            INSTALL,
        )

    def _state(self, folder: Path | None) -> State:
        return State(
            pid=os.getpid(),
            inference=str(self._bound["inference"].address),
            management=str(self._bound["management"].address),
            metrics=str(self._bound["metrics"].address) if "metrics" in self._bound else None,
            logs=str(folder.resolve()) if folder else None,
            model_store=str(Path(self._settings.model_store).resolve()) if self._settings.model_store else None,
            key_file=str(self._authority.keys.path) if self._authority and self._authority.keys else None,
            grpc_inference=_place(self._grpc.get("inference")),
            grpc_management=_place(self._grpc.get("management")),
            certificate=str(self._settings.certificate_file.resolve()) if self._settings.certificate_file else None,
        )

    async def _shut_down(
        self,
        signals: StopSignals,
        registry: ModelRegistry,
        servers: list[HttpServer | GrpcServer],
        serving: list[asyncio.Task[None]],
        helpers: list[asyncio.Task[object]],
    ) -> None:
        """Say so while load balancers take notice, stop accepting, give requests under way their time, end the workers;
        in this order, and without waiting when told a second time."""
        logger.info("stopping")
        for helper in helpers:
            helper.cancel()
        registry.stopping = True
        if self._settings.drain_delay and not any(task.done() for task in serving):
            await signals.wait(self._settings.drain_delay)
        for server in servers:
            server.finish()
        await signals.wait(self._settings.drain_timeout, serving)
        if signals.urgent:
            logger.warning("told twice to stop: requests under way are given up")
        await registry.close(0)
        for server in servers:
            server.give_up()
        await asyncio.gather(*serving, *helpers, return_exceptions=True)
        self._access_log.flush()
        self._metrics.flush()
        logger.info("stopped")
