"""Servers with real workers, one for each way that metrics can go; what speaks to them is the inference contract's."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import pytest

HERE = Path(__file__).parent


class Measured:
    """A server that has one model, `measures`, which measures what a request orders."""

    def __init__(self, contract: Any) -> None:
        self.contract = contract
        self.handlers = HERE / "handlers"
        self.logs = contract.server.folder / "logs"
        contract.model("measures", handler=str(HERE / "handlers" / "measures"))

    def measure(self, *orders: tuple[str, list[Any], dict[str, Any]]) -> Any:
        """Have the model measure; gives the answer."""
        answer = self.contract.json("/predictions/measures", orders)
        assert answer.status == 200, answer.body
        return answer

    def scrape(self, *names: str) -> str:
        """The exposition, or the samples of these names."""
        query = "&".join(f"name[]={name}" for name in names)
        answer = self.contract.request("GET", f"/metrics?{query}", listener="metrics")
        assert answer.status == 200, answer.body
        return str(answer.body.decode())

    def value(self, name: str, **labels: str) -> float | None:
        """The value of the one sample that has these labels; None where there is none."""
        wanted = [f'{label}="{text}"' for label, text in labels.items()]
        lines = [line for line in self.scrape(name).splitlines() if not line.startswith("#")]
        found = [line for line in lines if all(each in line for each in wanted)]
        assert len(found) < 2, found
        return float(found[0].rsplit(" ", 1)[1]) if found else None


Measuring = Callable[[str, str], AbstractContextManager[Measured]]


@pytest.fixture(scope="session")
def measuring(serving: Any, tmp_path_factory: pytest.TempPathFactory) -> Measuring:
    """`with measuring(name, config) as measured`: a server that measures."""

    @contextlib.contextmanager
    def start(name: str, config: str) -> Iterator[Measured]:
        with serving(tmp_path_factory.mktemp(name), config) as contract:
            yield Measured(contract)

    return start


@pytest.fixture(scope="session")
def scraped(measuring: Measuring) -> Iterator[Measured]:
    """`metrics_mode=prometheus`, which is the default."""
    with measuring("scraped", "metric_time_interval=0.2\n") as found:
        yield found


@pytest.fixture(scope="module")
def logged(measuring: Measuring) -> Iterator[Measured]:
    """`metrics_mode=log`, written as carelessly as TorchServe takes it."""
    with measuring("logged", "metrics_mode= LOG \nmetric_time_interval=0.2\n") as found:
        yield found


@pytest.fixture(scope="module")
def legacy(measuring: Measuring) -> Iterator[Measured]:
    """`metrics_mode=legacy`, with JSON lines."""
    with measuring("legacy", "metrics_mode=legacy\nlog_format=json\n") as found:
        yield found


@pytest.fixture(scope="module")
def declared(measuring: Measuring) -> Iterator[Measured]:
    """What a metrics.yaml declares, and nothing else."""
    with measuring("declared", f"metrics_config={HERE}/metrics.yaml\n") as found:
        yield found


LABELS = re.compile(r'(\w+)="((?:[^"\\]|\\.)*)"')
"""One label of a sample."""
