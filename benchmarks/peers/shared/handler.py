"""The models as a handler of TorchServe and of numserve: one archive for both."""

from __future__ import annotations

from typing import Any

from models import load


class Served:
    def initialize(self, context: Any) -> None:
        self.model = load()

    def handle(self, rows: list[dict[str, Any]], context: Any) -> list[Any]:
        return [self.model(_given(row["body"])) for row in rows]


def _given(body: Any) -> Any:
    return body["x"] if isinstance(body, dict) else bytes(body)
