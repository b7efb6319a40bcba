"""Servers with real workers for models with sequences and continuous batching; they are spoken to as in inference."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

HERE = Path(__file__).parent
RENAMED = "".join(f"ts_header_key_sequence_{part}=X-Sequence-{part.title()}\n" for part in ("id", "start", "end"))


@pytest.fixture(scope="session")
def contract(shared: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """A server with the default configuration."""
    with shared._serving(tmp_path_factory.mktemp("sequences")) as found:
        found.handlers = HERE / "handlers"
        yield found


@pytest.fixture(scope="session")
def renamed(shared: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """A server that calls the headers of sequences otherwise."""
    with shared._serving(tmp_path_factory.mktemp("renamed"), RENAMED) as found:
        found.handlers = HERE / "handlers"
        yield found


@pytest.fixture
def aside() -> Iterator[Callable[..., Future[Any]]]:
    """Begins a call in a thread, and returns what will be its result."""
    with ThreadPoolExecutor(16) as threads:
        yield threads.submit


class Gate:
    """Holds a handler until it is opened."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self.order = {"gate": str(path)}

    def open(self) -> None:
        self._path.touch()


@pytest.fixture
def gate(tmp_path: Path) -> Iterator[Gate]:
    """A gate, which is open at the end."""
    made = Gate(tmp_path / "open")
    yield made
    made.open()


class Stateful:
    """A model that counts the requests of each sequence; each test has one of its own."""

    def __init__(self, contract: Any, name: str, header: str = "ts_request_sequence_id") -> None:
        self.contract = contract
        self.name = name
        self.header = header

    def ask(self, sequence: str | None = None, **order: Any) -> Any:
        """One request; `order` is what the handler is to do (handlers/count.py)."""
        headers = {self.header: sequence} if sequence else {}
        return self.contract.json(f"/predictions/{self.name}", order, **headers)

    def told(self, sequence: str | None = None, **order: Any) -> dict[str, Any]:
        answer = self.ask(sequence, **order)
        assert answer.status == 200, answer.body
        return answer.json() | {"sequence": answer[self.header]}

    def described(self) -> dict[str, Any]:
        found: dict[str, Any] = self.contract.management("GET", f"/models/{self.name}").json()[0]
        return found

    def pending(self, count: int) -> None:
        """Wait until so many requests wait."""
        self.contract.eventually(lambda: self.described()["jobQueueStatus"]["pendingRequests"] == count)

    def in_hand(self, count: int) -> None:
        """Wait until workers have so many requests."""
        line = f'numserve_requests_in_flight{{model_name="{self.name}",model_version="1.0"}} {count}.0'
        self.contract.eventually(
            lambda: line in self.contract.request("GET", "/metrics", listener="metrics").body.decode()
        )


@pytest.fixture
def stateful(contract: Any, request: pytest.FixtureRequest) -> Callable[..., Stateful]:
    """A model with sequences, named for the test; keywords go to its YAML."""

    def make(handler: str = "count", **config: Any) -> Stateful:
        name = request.node.name.partition("[")[0]
        rules = {"sequenceBatching": True, "sequenceMaxIdleMSec": 60_000, "maxNumSequence": 4, "maxBatchDelay": 0}
        return Stateful(contract, contract.model(name, handler, **rules | config))

    return make
