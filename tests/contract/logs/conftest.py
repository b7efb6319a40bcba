"""Servers that write their log to files, as text and as JSON; what speaks to them is the inference contract's."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

HERE = Path(__file__).parent


class Logging:
    """A server with the model `talks`, and the lines of its log files."""

    def __init__(self, contract: Any) -> None:
        self.contract = contract
        self.folder = contract.server.folder / "logs"
        contract.model("talks", handler=str(HERE / "handlers" / "talks"))


@pytest.fixture(scope="module")
def text(serving: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Logging]:
    """Lines of text, which is the default; the metrics' in a folder of their own."""
    folder = tmp_path_factory.mktemp("text")
    with serving(folder, f"metrics_mode=log\nmetrics_location={folder}/elsewhere\njob_queue_size=77\n") as contract:
        yield Logging(contract)


@pytest.fixture(scope="module")
def objects(serving: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Logging]:
    """`log_format=json`, and a file for logging.config that takes one of the loggers away."""
    folder = tmp_path_factory.mktemp("objects")
    (folder / "log.yaml").write_text(
        "handlers:\n"
        f"  mine: {{class: logging.FileHandler, filename: {folder}/logs/mine.log, formatter: json}}\n"
        "formatters: {json: {(): numserve.server.logs.JsonFormatter}}\n"
        "loggers: {numserve.model: {handlers: [mine], level: INFO, propagate: false}}\n"
    )
    (folder / "logs").mkdir()
    with serving(folder, f"log_format=json\nlog_config={folder}/log.yaml\n") as contract:
        yield Logging(contract)
