"""Clients that number their requests and count what comes of each, beside a prober of liveness."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import threading
import time
from collections import Counter
from collections.abc import Iterable
from types import TracebackType
from urllib.parse import urlsplit

from numserve.server.bench.wire import Answer, BadAnswer, ResponseParser, request_bytes

PATIENCE = 60.0
"""Seconds after which a request counts as never answered."""
PROBE_SECONDS = 0.05
HEADERS = {"Content-Type": "text/plain"}


class Traffic:
    """Each client sends a number, and wants it back, once; `outcomes` counts statuses and what is none.

    `clients` of them ask one question after the other over a connection of their own, `pause` seconds apart: with the
    defaults, 200 a second at most. Of an answer in time `seconds` keeps how long it took, by status.
    """

    def __init__(self, address: str, model: str, clients: int = 8, pause: float = 0.04, probe: bool = True) -> None:
        where = urlsplit(address)
        self._place = where.hostname or "", where.port or 0
        self._model = model
        self._clients, self._pause = clients, pause
        self._probing = probe
        self._ending = threading.Event()
        self._numbers = itertools.count()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._run()), name="traffic")
        self._broken: BaseException | None = None
        self.asked = 0
        self.outcomes: Counter[str] = Counter()
        self.probes: Counter[str] = Counter()
        self.wrong: list[str] = []
        self.seconds: dict[str, list[float]] = {}

    def __enter__(self) -> Traffic:
        self._thread.start()
        self.more(3)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._ending.set()
        self._thread.join()
        if error is None and self._broken is not None:
            raise self._broken

    def more(self, answers: int = 20, status: str = "200") -> None:
        """Return when so many more requests have been answered like that."""
        enough, until = self.outcomes[status] + answers, time.monotonic() + PATIENCE
        while self.outcomes[status] < enough:
            assert time.monotonic() < until and self._thread.is_alive(), f"no traffic: {self.outcomes}, {self._broken}"
            time.sleep(0.01)

    def check(self, allowed: Iterable[str] = ("200",)) -> None:
        """Each request was answered once, in an allowed way; the server was alive all the time."""
        assert self.asked == self.outcomes.total() > 0, (self.asked, self.outcomes)
        assert not self.wrong, self.wrong[:5]
        assert set(self.outcomes) <= {"200", *allowed}, self.outcomes
        if self._probing:
            assert set(self.probes) == {"200"}, self.probes

    async def _run(self) -> None:
        try:
            tasks = [self._client() for _ in range(self._clients)]
            await asyncio.gather(*tasks, *([self._prober()] if self._probing else []))
        except BaseException as error:
            self._broken = error

    async def _client(self) -> None:
        while not self._ending.is_set():
            async with self._connection() as connection:
                while connection and not self._ending.is_set():
                    number = b"%d" % next(self._numbers)
                    self.asked += 1
                    began = time.monotonic()
                    outcome, goes_on = await self._ask(connection, number)
                    self.outcomes[outcome] += 1
                    self.seconds.setdefault(outcome, []).append(time.monotonic() - began)
                    await asyncio.sleep(self._pause)
                    if not goes_on:
                        break
            if not connection:  # nobody listens: nothing was asked, so that nothing can be lost
                await asyncio.sleep(0.05)

    async def _ask(self, connection: Connection, number: bytes) -> tuple[str, bool]:
        """What came of a request, and whether its connection takes another one."""
        try:
            answer = await connection.ask("POST", f"/predictions/{self._model}", number)
        except BadAnswer as error:
            self.wrong.append(f"{number!r}: {error}")
            return "nonsense", False
        except (OSError, EOFError, TimeoutError) as error:
            return f"{type(error).__name__}{' in the answer' * connection.begun}", False
        if answer.status == 200 and answer.body != number:
            self.wrong.append(f"{answer.body!r} for {number!r}")
        return str(answer.status), not answer.last

    async def _prober(self) -> None:
        while not self._ending.is_set():
            async with self._connection() as connection:
                while connection and not self._ending.is_set():
                    try:
                        answer = await connection.ask("GET", "/v2/health/live", b"")
                    except (OSError, EOFError, TimeoutError, BadAnswer) as error:
                        self.probes[type(error).__name__] += 1
                        break
                    self.probes[str(answer.status)] += 1
                    await asyncio.sleep(PROBE_SECONDS)
                    if answer.last:
                        break
            if not connection:
                self.probes["refused"] += 1
                await asyncio.sleep(PROBE_SECONDS)

    @contextlib.asynccontextmanager
    async def _connection(self):
        """A connection, or None where nobody listens."""
        try:
            reader, writer = await asyncio.open_connection(*self._place)
        except ConnectionError:
            yield None
            return
        try:
            yield Connection(reader, writer)
        finally:
            writer.close()
            with contextlib.suppress(OSError):
                await writer.wait_closed()


class Connection:
    """One request after the other, each with its answer."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader, self._writer = reader, writer
        self._parser = ResponseParser(keep=True)

    @property
    def begun(self) -> bool:
        """Whether part of an answer has come."""
        return self._parser.begun

    async def ask(self, method: str, path: str, body: bytes) -> Answer:
        """Raises: OSError, EOFError where the connection ends before the answer does, TimeoutError, BadAnswer."""
        self._writer.write(request_bytes(method, path, "localhost", HEADERS, body))
        async with asyncio.timeout(PATIENCE):
            while data := await self._reader.read(1 << 16):
                if answer := self._parser.feed(data):
                    return answer
        if answer := self._parser.end():
            return answer
        raise EOFError
