"""RowwiseHandler: a batch at once, and row by row where one of its requests is refused."""

from __future__ import annotations

from typing import Any

from .base import BaseHandler
from .errors import PredictionException


class RowwiseHandler(BaseHandler):
    """Refuses alone a request that cannot be taken; then each other one of the batch is answered by itself."""

    def _answers(self, data: list[dict[str, Any]]) -> list[Any]:
        try:
            return super()._answers(data)
        except PredictionException:
            if len(data) == 1:
                raise
        return [self._alone(row) for row in data]

    def _alone(self, row: dict[str, Any]) -> Any:
        try:
            return super()._answers([row])[0]
        except PredictionException as error:
            return error
