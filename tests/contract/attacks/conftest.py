"""Two servers to attack: one open, one that asks for tokens. After each attack both serve as before."""

from __future__ import annotations

import json
import socket
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import psutil
import pytest

LIMIT = 120.0
MANAGE, PREDICT = "manage-0123456789abcdef", "predict-0123456789abcdef"


class Victim:
    """A server, and what an attack costs it."""

    def __init__(self, contract: Any) -> None:
        self.contract = contract
        told = contract.server.run("numserve", "status", "--json").stdout
        self.process = psutil.Process(json.loads(told)["pid"])

    def raw(self, *pieces: bytes, listener: str = "inference") -> bytes:
        """What a listener answers to these bytes before it closes; it may do so before it has them all."""
        where = urlsplit(self.contract.addresses[listener])
        received = b""
        with socket.create_connection((where.hostname, where.port), timeout=LIMIT) as connection:
            try:
                for piece in pieces:
                    connection.sendall(piece)
            except ConnectionError:
                pass  # it has heard enough; what it said is there
            try:
                while piece := connection.recv(1 << 16):
                    received += piece
            except ConnectionError:
                pass
        return received

    def seconds(self) -> float:
        """The CPU time that the server has taken, without its workers."""
        spent = self.process.cpu_times()
        return spent.user + spent.system

    def bytes(self) -> int:
        """The memory that it has now."""
        return int(self.process.memory_info().rss)

    def worker(self, model: str = "tell") -> int:
        """The process of a model's worker."""
        (status,) = self.contract.management("GET", f"/models/{model}").json()[0]["workers"]
        return int(status["pid"])


@pytest.fixture(scope="session")
def open_victim(serving: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Victim]:
    with serving(tmp_path_factory.mktemp("victim"), "") as contract:
        contract.model("tell")
        yield Victim(contract)


@pytest.fixture
def victim(open_victim: Victim) -> Iterator[Victim]:
    """The open server; the worker that was there before an attack is there after it, and answers."""
    before = open_victim.worker()
    yield open_victim
    contract = open_victim.contract
    assert contract.request("GET", "/v2/health/live").status == 200
    assert contract.request("GET", "/v2/health/ready").status == 200
    assert contract.post("/predictions/tell", b"still here").json()["row"]["body"][1] == "still here"
    assert open_victim.worker() == before


@pytest.fixture(scope="module")
def guarded(serving: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Victim]:
    """A server that asks for tokens, of which there are two."""
    folder: Path = tmp_path_factory.mktemp("guarded")
    (folder / "tokens").write_text(f"manage {MANAGE}\npredict {PREDICT}\n")
    with serving(folder, f"token_file={folder}/tokens\n") as contract:
        yield Victim(contract)


@pytest.fixture
def canary(tmp_path: Path) -> Iterator[Callable[[], str]]:
    """`canary()` gives a path that only code of an attacker would make."""
    path = tmp_path / "canary"
    yield lambda: str(path)
    assert not path.exists()
