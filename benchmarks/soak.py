"""Mixed traffic with injected faults for some minutes: is every request answered once, and does nothing grow?

    python benchmarks/soak.py [--minutes 20] [--clients 16] [--faults 0.01] [--seed 0]

A server of its own with two models of two workers each: `soak` is given one request at a time, `batched` eight.
Clients send bodies to be echoed, products to be computed by NumPy from JSON, pictures, requests for answers in pieces
(to `soak`), and bad requests; some hang up before the answer. One request in a hundred makes the handler raise, sleep
past the deadline, exit, or be killed; now and then a worker, or the process that workers are forked from, is killed or
stopped (SIGSTOP) from outside. Each answer bears the request's own number and is compared with what it must be; only a
fault, and a request that was in a worker's hands with it, may fail, and with a 5xx. `/v2/health/live` must be 200
throughout. Memory (RSS), descriptors, threads and processes of the server are sampled all the time. The exit code is 1
where an answer is wrong, missing or doubled, where something grows, or where a process, a file or shared memory stays
behind.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import io
import json
import os
import random
import signal
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import median
from urllib.parse import urlsplit

import numpy as np
import psutil
from numserve.server import client
from numserve.server.bench.own import own_server
from numserve.server.bench.report import machine
from numserve.server.bench.wire import Answer, ResponseParser, request_bytes
from PIL import Image
from served import archive

HANDLER = '''
import io, json, os, signal, time
import numpy as np
from numserve.handlers import send_intermediate_predict_response
from PIL import Image

WEIGHTS = np.random.default_rng(0).standard_normal((64, 10))


class Soak:
    """Does what the first letter of a body asks for; answers begin with the request's number."""

    def initialize(self, context):
        pass

    def handle(self, rows, context):
        return [self.one(bytes(row["body"]), context) for row in rows]

    def one(self, body, context):
        number, kind, rest = body.split(b" ", 2)
        if kind == b"echo":
            return number + b" " + rest
        if kind == b"mlp":
            return {"id": int(number), "y": (np.asarray(json.loads(rest)) @ WEIGHTS).tolist()}
        if kind == b"image":
            return number + b" %.6f" % np.asarray(Image.open(io.BytesIO(rest)).convert("RGB")).mean()
        if kind == b"pieces":
            for piece in range(3):
                send_intermediate_predict_response(
                    [number + b" %d;" % piece], context.request_ids, "part", 200, context
                )
            return "end"
        if kind == b"raise":
            raise RuntimeError("as injected")
        if kind == b"sleep":
            time.sleep(30)
        if kind == b"exit":
            os._exit(3)
        os.kill(os.getpid(), signal.SIGKILL)
'''
CONFIG = "default_response_timeout=1\njob_queue_size=1000\ndecode_input_request=false\nenable_model_api=true\n"
BATCHED = "batchSize: 8\nmaxBatchDelay: 5\n"
MODELS = ("soak", "batched")
STRIKES = (signal.SIGKILL, signal.SIGSTOP)
STRIKE_SECONDS = 10.0
"""Seconds on the mean between two processes that are struck from outside."""
FAULTS = ("raise", "sleep", "exit", "kill")
WEIGHTS = np.random.default_rng(0).standard_normal((64, 10))
SAMPLE_SECONDS = 2.0
SETTLE_SECONDS = 5.0
"""Seconds at the end in which nobody is struck."""
PROBE_SECONDS = 0.2
ANSWER_SECONDS = 60.0
KEPT = ("config.properties", "logs")
"""What of the server's folder is not its own."""
RSS_GROWTH = 0.10
"""The share by which the last third's median may exceed the second's."""
COUNT_GROWTH = 3
"""Descriptors, threads and processes that the last third may have more."""


@dataclass(frozen=True)
class Question:
    """A request, and what tells whether its answer is right."""

    kind: str
    body: bytes
    right: Callable[[Answer], bool]
    fault: bool = False
    model: str = "soak"


@dataclass(frozen=True)
class Sample:
    """The server at one moment, over all its processes."""

    seconds: float
    answered: int
    rss: int
    descriptors: int
    threads: int
    processes: int


class Questions:
    """Draws requests by their weights."""

    def __init__(self, faults: float, seed: int) -> None:
        self._random = random.Random(seed)
        self._faults = faults
        self._number = 0
        picture = io.BytesIO()
        Image.effect_mandelbrot((96, 96), (-2, -1.5, 1, 1.5), 60).convert("RGB").save(picture, "JPEG")
        self._picture = picture.getvalue()
        self._mean = np.asarray(Image.open(picture).convert("RGB")).mean()
        self._makers = {self._echo: 50, self._mlp: 20, self._image: 15, self._pieces: 10, self._bad: 5}

    def draw(self) -> Question:
        """The next request."""
        self._number += 1
        number = b"%d" % self._number
        if self._random.random() < self._faults:
            kind = self._random.choice(FAULTS)
            body = b"%b %b -" % (number, kind.encode())
            return Question(kind, body, lambda answer: answer.status >= 500, True, self._random.choice(MODELS))
        maker = self._random.choices(list(self._makers), list(self._makers.values()))[0]
        question = maker(number)
        # a piece of a batch is one of each of its answers
        return question if question.kind in ("pieces", "bad") else replace(question, model=self._random.choice(MODELS))

    def hangs_up(self) -> bool:
        """Whether this client leaves before its answer."""
        return self._random.random() < 0.02

    def _echo(self, number: bytes) -> Question:
        rest = self._random.randbytes(self._random.choice((10, 1000, 50_000)))
        return Question("echo", number + b" echo " + rest, lambda answer: answer.body == number + b" " + rest)

    def _mlp(self, number: bytes) -> Question:
        x = [self._random.random() for _ in range(64)]

        def right(answer: Answer) -> bool:
            told = json.loads(answer.body)
            return told["id"] == int(number) and np.allclose(told["y"], np.asarray(x) @ WEIGHTS)

        return Question("mlp", number + b" mlp " + json.dumps(x).encode(), right)

    def _image(self, number: bytes) -> Question:
        expected = number + b" %.6f" % self._mean
        return Question("image", number + b" image " + self._picture, lambda answer: answer.body == expected)

    def _pieces(self, number: bytes) -> Question:
        expected = b"".join(number + b" %d;" % piece for piece in range(3)) + b"end"
        return Question("pieces", number + b" pieces -", lambda answer: answer.body == expected)

    def _bad(self, number: bytes) -> Question:
        return Question("bad", b"", lambda answer: answer.status == 404, model="none")


class Soak:
    """The clients and their count."""

    def __init__(self, address: str, questions: Questions) -> None:
        parts = urlsplit(address)
        self._host, self._port = parts.hostname, parts.port
        self._questions = questions
        self.outcomes: Counter[tuple[str, str]] = Counter()
        self.wrong: list[str] = []
        self.answered = 0

    async def client(self, until: float) -> None:
        """Ask one question after the other over one connection, and a new one where it ends."""
        while time.monotonic() < until:
            reader, writer = await asyncio.open_connection(self._host, self._port)
            try:
                while time.monotonic() < until and await self._ask(reader, writer):
                    pass
            finally:
                writer.close()
                with contextlib.suppress(OSError):
                    await writer.wait_closed()

    async def probe(self, until: float) -> None:
        """Ask all the time whether the server lives."""
        while time.monotonic() < until:
            try:
                async with asyncio.timeout(ANSWER_SECONDS):
                    reader, writer = await asyncio.open_connection(self._host, self._port)
                    writer.write(request_bytes("GET", "/v2/health/live", "localhost", {"Connection": "close"}, b""))
                    answer = await _answer(reader)
                    writer.close()
                told = "right" if answer.status == 200 else f"failed {answer.status}"
            except (OSError, TimeoutError, EOFError, ValueError) as error:
                told = f"no answer: {type(error).__name__}"
            self.outcomes["is it alive", told] += 1
            if told != "right":
                self.wrong.append(f"/v2/health/live: {told}")
            await asyncio.sleep(PROBE_SECONDS)

    async def _ask(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        """One question; whether the connection can take another."""
        question = self._questions.draw()
        headers = {"Content-Type": "application/octet-stream"}
        writer.write(request_bytes("POST", f"/predictions/{question.model}", "localhost", headers, question.body))
        if self._questions.hangs_up():
            self.outcomes[question.kind, "hung up"] += 1
            return False
        try:
            async with asyncio.timeout(ANSWER_SECONDS):
                answer = await _answer(reader)
        except (OSError, TimeoutError, EOFError, ValueError) as error:
            self._count(question, None, f"{type(error).__name__}: {error}")
            return False
        self._count(question, answer, "")
        return not answer.last

    def _count(self, question: Question, answer: Answer | None, reason: str) -> None:
        self.answered += 1
        if answer is None:
            # an answer in pieces has begun with 200, and can only be broken off
            outcome = "broken off" if question.kind == "pieces" and "EOF" in reason else "no answer"
        elif (200 <= answer.status < 300 or question.kind == "bad" or question.fault) and question.right(answer):
            outcome = "right"
        elif answer.status >= 500:
            outcome = f"failed {answer.status}"
        else:
            outcome = "wrong"
        self.outcomes[question.kind, outcome] += 1
        if outcome in ("wrong", "no answer"):
            told = reason or f"{answer.status} {answer.body[:60]!r}"  # type: ignore[union-attr]
            self.wrong.append(f"{question.kind}: {told}")


async def _answer(reader: asyncio.StreamReader) -> Answer:
    parser = ResponseParser(keep=True)
    while data := await reader.read(1 << 16):
        if answer := parser.feed(data):
            return answer
    raise EOFError("EOF before the end of the answer")


def sample(server: psutil.Process, began: float, answered: int) -> Sample:
    """What the server and its descendants hold."""
    rss = descriptors = threads = processes = 0
    for process in (server, *server.children(recursive=True)):
        with contextlib.suppress(psutil.Error):
            with process.oneshot():
                held = process.memory_info().rss, process.num_threads()
            descriptors += process.num_fds()
            rss, threads, processes = rss + held[0], threads + held[1], processes + 1
    return Sample(time.monotonic() - began, answered, rss, descriptors, threads, processes)


async def soak(
    address: str, server: psutil.Process, given: argparse.Namespace, questions: Questions
) -> tuple[Soak, list[Sample]]:
    """Run the clients, and sample until they are done."""
    run, samples, began = Soak(address, questions), [], time.monotonic()
    until = began + 60 * given.minutes
    clients = [asyncio.create_task(run.client(until)) for _ in range(given.clients)]
    others = [
        asyncio.create_task(run.probe(until)),
        asyncio.create_task(strike(run, server, until - SETTLE_SECONDS, random.Random(given.seed))),
    ]
    while not all(client.done() for client in clients):
        await asyncio.wait(clients, timeout=SAMPLE_SECONDS)
        samples.append(sample(server, began, run.answered))
    await asyncio.gather(*clients, *others)
    return run, samples


async def strike(run: Soak, server: psutil.Process, until: float, draw: random.Random) -> None:
    """Kill or stop one of the server's processes now and then, as the kernel or an operator may."""
    while (pause := draw.expovariate(1 / STRIKE_SECONDS)) + time.monotonic() < until:
        await asyncio.sleep(pause)
        number = draw.choice(STRIKES)
        with contextlib.suppress(psutil.Error, IndexError):
            draw.choice(leaders(server)).send_signal(number)
            run.outcomes["a process", number.name] += 1


def leaders(server: psutil.Process) -> list[psutil.Process]:
    """The processes that lead a session of their own: workers, and what they are forked from."""
    children = server.children()
    return [child for child in children if child.is_running() and os.getsid(child.pid) == child.pid]


def growth(samples: list[Sample]) -> list[tuple[str, float, float, bool]]:
    """Of each resource, the medians of the second and the last third, and whether that is flat."""
    third = len(samples) // 3
    rows = []
    for name in ("rss", "descriptors", "threads", "processes"):
        second, last = (
            median(getattr(each, name) for each in part) for part in (samples[third : 2 * third], samples[2 * third :])
        )
        flat = last <= second * (1 + RSS_GROWTH) if name == "rss" else last <= second + COUNT_GROWTH
        rows.append((name, second, last, flat))
    return rows


def of_model(address: str) -> int:
    """Requests that wait for a worker or are in its hands, by the server's own metrics."""
    _, text = client.ask(address, "GET", "/metrics")
    names = ("numserve_queue_depth", "numserve_requests_in_flight")
    lines = [line for line in text.decode().splitlines() if line.startswith(names)]
    return round(sum(float(line.rpartition(" ")[2]) for line in lines))


async def settled(ask: Callable[[], Awaitable[bool]]) -> bool:
    """Whether something becomes true within half a minute."""
    for _ in range(60):
        if await ask():
            return True
        await asyncio.sleep(0.5)
    return False


def await_end(server: psutil.Process) -> None:
    """Wait until the server has ended; a test of what it leaves behind is of no use before."""
    with contextlib.suppress(psutil.NoSuchProcess):
        server.wait(60)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=20)
    parser.add_argument("--clients", type=int, default=16)
    parser.add_argument("--faults", type=float, default=0.01)
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    shared = set(os.listdir("/dev/shm"))
    with tempfile.TemporaryDirectory() as folder:
        work = Path(folder)
        (work / "soak.py").write_text(HANDLER)
        (work / "config.properties").write_text(CONFIG)
        (work / "batched.yaml").write_text(BATCHED)
        archive(work, "soak", "--handler", work / "soak.py")
        archive(work, "batched", "--handler", work / "soak.py", "--config-file", work / "batched.yaml")
        with own_server(work / "soak.mar", "soak", 2, str(work / "config.properties")) as state:
            server = psutil.Process(state.pid)
            temp = Path(server.environ()["TEMP"])
            status, said = client.ask(
                state.management, "POST", "/models?url=batched.mar&initial_workers=2&synchronous=true"
            )
            assert status == 200, said
            run, samples = asyncio.run(soak(state.inference, server, given, Questions(given.faults, given.seed)))

            async def idle() -> bool:
                return of_model(state.metrics or "") == 0

            emptied = asyncio.run(settled(idle))
            family = [server, *server.children(recursive=True)]
            server.terminate()
            await_end(server)
            files = sorted(str(each.relative_to(temp)) for each in temp.iterdir() if each.name not in KEPT)
    orphans = [process.pid for process in family if process.is_running() and process.status() != "zombie"]
    left = sorted(set(os.listdir("/dev/shm")) - shared)
    raise SystemExit(
        tell(given, run, samples, {"queue": not emptied, "processes": orphans, "shared memory": left, "files": files})
    )


def tell(given: argparse.Namespace, run: Soak, samples: list[Sample], left: dict[str, object]) -> int:
    """Print the tables and the verdict; returns the exit code."""
    told = machine()
    print(
        f"{given.minutes:g} minutes, {given.clients} clients, {given.faults:.1%} faults; {told['cpu']}, "
        f"{told['cores']} cores, Python {sys.version.split()[0]}\n"
    )
    outcomes = sorted({outcome for _, outcome in run.outcomes})
    print("| request |", " | ".join(outcomes), "|\n|---|" + "---:|" * len(outcomes))
    for kind in sorted({kind for kind, _ in run.outcomes}):
        print(f"| {kind} |", " | ".join(str(run.outcomes[kind, outcome] or "") for outcome in outcomes), "|")
    print("\n| minute | answered | RSS MB | descriptors | threads | processes |\n|---:|---:|---:|---:|---:|---:|")
    for each in samples[:: max(1, len(samples) // 10)]:
        print(
            f"| {each.seconds / 60:.1f} | {each.answered} | {each.rss / 1e6:.0f} | {each.descriptors} | {each.threads}"
            f" | {each.processes} |"
        )
    grown = growth(samples)
    print("\n| | second third | last third | |\n|---|---:|---:|---|")
    for name, second, last, flat in grown:
        scale = 1e6 if name == "rss" else 1
        print(f"| {name} | {second / scale:.0f} | {last / scale:.0f} | {'flat' if flat else 'GROWS'} |")
    good = not run.wrong and all(flat for *_, flat in grown) and not any(left.values())
    for line in run.wrong[:20]:
        print(f"WRONG {line}")
    for name, what in left.items():
        if what:
            print(f"LEFT BEHIND {name}: {what}")
    print(f"\n{run.answered} requests waited for their answer; verdict: {'passed' if good else 'FAILED'}")
    return int(not good)


if __name__ == "__main__":
    main()
