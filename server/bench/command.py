"""What `numserve bench` does: finds what is meant, starts a server where there is none, and tells what it measured."""

from __future__ import annotations

import asyncio
import contextlib
import math
import mimetypes
import os
import shlex
import ssl
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote, unquote, urlsplit

import click
import orjson

from .. import client, lifecycle
from .connections import Door
from .observed import Observer
from .own import own_server
from .page import as_html
from .point import Point
from .report import Report, machine, versions
from .run import Load, Target, bench
from .sample import infer_request
from .table import HEAD, notes, row
from .wire import request_bytes

TOKEN = "NUMSERVE_TOKEN"
ROUTES = {"torchserve": "/predictions/{}", "oip": "/v2/models/{}/infer"}


@dataclass(frozen=True, slots=True)
class Place:
    """A prediction route, and what is known of the server behind it."""

    inference: client.Place
    path: str
    metrics: client.Place | None = None
    pid: int | None = None

    @property
    def model(self) -> str | None:
        """The model's name, where the route is one of ours."""
        parts = self.path.strip("/").split("/")
        for before, name in zip(parts, parts[1:], strict=False):
            if before in ("predictions", "models"):
                return unquote(name)
        return None


def run(target: str, options: dict[str, Any]) -> int:
    """Measure, print a row as soon as it is known, write the files; returns the exit code.

    Raises: Refused where there is no such model, the server does not start, or the first request is not answered.
    """
    with contextlib.ExitStack() as until:
        place = until.enter_context(_place(target, options))
        bodies, content_type = _bodies(place, options)
        _first(place, bodies[0], content_type)
        loads = list(_loads(options))
        observer = Observer(place.metrics, place.model, place.pid)
        click.echo(f"{target}: {place.inference.address}{place.path}, {sum(map(len, bodies)) / len(bodies):.0f} bytes")
        click.echo(HEAD)
        points = _measure(Target(_door(place.inference), _requests(place, bodies, content_type)), loads, observer)
    address = place.inference.address + place.path
    report = Report(target, address, [len(body) for body in bodies], shlex.join(["numserve", *sys.argv[1:]]),
                    machine(), versions(), points)  # fmt: skip
    for note in notes(points):
        click.echo(note, err=True)
    if options["json"]:
        Path(options["json"]).write_bytes(orjson.dumps(report.as_dict(), option=orjson.OPT_INDENT_2))
    if options["html"]:
        Path(options["html"]).write_text(as_html(report), encoding="utf-8")
    if not any(point.answered for point in points):
        return 1
    return int(any(point.failed for point in points) and not options["allow_errors"])


def _measure(target: Target, loads: Sequence[Load], observer: Observer) -> list[Point]:
    async def all_of_them() -> list[Point]:
        points = []
        async for point in bench(target, loads, observer):
            points.append(point)
            click.echo(row(point))
        return points

    with asyncio.Runner(loop_factory=_loop) as runner:
        return runner.run(all_of_them())


def _loop() -> asyncio.AbstractEventLoop:
    try:
        import uvloop
    except ImportError:
        return asyncio.new_event_loop()
    return uvloop.new_event_loop()


def _loads(options: dict[str, Any]) -> Iterator[Load]:
    """The points in order: clients, then rates."""
    count = options["requests"] or math.inf
    common = {
        "warmup": options["warmup"],
        "seconds": options["seconds"] or (math.inf if options["requests"] else 10.0),
        "count": count,
        "connections": options["connections"],
        "patience": options["timeout"],
        "seed": options["seed"],
    }
    rates = numbers(options["rate"], "--rate")
    for clients in numbers(options["concurrency"] or ("" if rates else "1,8,64"), "--concurrency"):
        yield Load(max(1, round(clients)), None, **common)
    for rate in rates:
        yield Load(rate, options["arrivals"], **common)


def numbers(text: str, flag: str) -> list[float]:
    """`1,8,64` → its numbers. Raises: click.UsageError unless all are more than nothing."""
    try:
        found = [float(part) for part in text.replace(",", " ").split()]
    except ValueError:
        found = [0.0]
    if any(not 0 < number < math.inf for number in found):
        raise click.UsageError(f"{flag} takes numbers above 0, such as 1,8,64; not {text!r}")
    return found


@contextlib.contextmanager
def _place(target: str, options: dict[str, Any]) -> Iterator[Place]:
    """A route of a server that runs, or of one that runs until the end of this."""
    token = os.environ.get(TOKEN)
    if "://" in target:
        yield _at(target, options["metrics"], token)
        return
    archive = _archive(target, options["model_store"])
    name = archive.name.removesuffix(".mar") if archive else target
    path = ROUTES[options["protocol"]].format(quote(name, safe=""))
    if archive is None:
        state = lifecycle.running(lifecycle.temp_dir(os.environ))
        if state is None:
            raise client.Refused(f"{target} is no archive, none in a --model-store, and no server runs here")
        yield Place(*(client.place_of(state, "inference", token), path, _metrics(state, token), state.pid))
        return
    with own_server(archive, name, options["workers"], options["ts_config"]) as state:
        yield Place(client.place_of(state, "inference", None), path, _metrics(state, None), state.pid)


def _at(url: str, metrics: str | None, token: str | None) -> Place:
    """The route of a URL; more is known where the server is this machine's."""
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname or not parts.path.strip("/"):
        raise client.Refused(f"{url} is no prediction route, such as http://host:8080/predictions/digits")
    address = f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}"
    path = parts.path + (f"?{parts.query}" if parts.query else "")
    scraped = client.Place(metrics, token) if metrics else None
    state = lifecycle.running(lifecycle.temp_dir(os.environ))
    if state is None or state.inference != address:
        return Place(client.Place(address, token), path, scraped)
    return Place(client.place_of(state, "inference", token), path, scraped or _metrics(state, token), state.pid)


def _metrics(state: lifecycle.State, token: str | None) -> client.Place | None:
    return client.place_of(state, "metrics", token) if state.metrics else None


def _archive(target: str, store: str | None) -> Path | None:
    """The archive that is meant: a path, or a name in the store, with or without its extension."""
    for path in (Path(store, target), Path(store, f"{target}.mar")) if store else (Path(target),):
        if path.exists():
            return path.resolve()
    if store or target.endswith(".mar"):
        raise client.Refused(f"{Path(store or '.', target)} is not there")
    return None


def _bodies(place: Place, options: dict[str, Any]) -> tuple[list[bytes], str]:
    """What is sent in turns, and its media type: files, or the model's example, or so many bytes."""
    content_type = options["content_type"]
    if options["data"]:
        guessed = mimetypes.guess_type(options["data"][0])[0]
        return [Path(file).read_bytes() for file in options["data"]], content_type or guessed or "application/json"
    if place.path.endswith("/infer"):
        metadata = client.ask_json(place.inference, place.path.removesuffix("/infer"))
        return [infer_request(metadata)], content_type or "application/json"
    return [bytes(options["size"])], content_type or "application/octet-stream"


def _first(place: Place, body: bytes, content_type: str) -> None:
    """Ask once, so that what is wrong is told in the server's own words. Raises: Refused."""
    status, answer = client.ask(place.inference, "POST", place.path, body, content_type)
    if status >= 300:
        told = answer.decode(errors="replace").strip()[:500]
        raise client.Refused(f"{place.inference.address}{place.path} answers {status}: {told}")


def _requests(place: Place, bodies: Sequence[bytes], content_type: str) -> list[bytes]:
    headers = {"Content-Type": content_type} | (
        {"Authorization": f"Bearer {place.inference.token}"} if place.inference.token else {}
    )
    host = urlsplit(place.inference.address).netloc or "localhost"
    return [request_bytes("POST", place.path, host, headers, body) for body in bodies]


def _door(place: client.Place) -> Door:
    if place.address.startswith("unix:"):
        return Door(place.address.removeprefix("unix:"), None)
    parts = urlsplit(place.address)
    tls: ssl.SSLContext | None = client.trust(place) if parts.scheme == "https" else None
    return Door(parts.hostname or "", parts.port or (443 if tls else 80), tls)
