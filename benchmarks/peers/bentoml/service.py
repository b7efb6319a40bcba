"""BentoML: the model behind JSON, an array in JSON, and a file."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import bentoml
import numpy as np
from bentoml.validators import DType, Shape
from models import load


@bentoml.service(workers=1, traffic={"timeout": 60})
class Served:
    def __init__(self) -> None:
        self.model = load()

    @bentoml.api
    def text(self, x: str) -> str:
        return self.model(x)

    @bentoml.api
    def numbers(self, x: Annotated[np.ndarray, DType("float32"), Shape((784,))]) -> list[float]:
        return self.model(x)

    @bentoml.api
    def file(self, x: Path) -> Any:
        return self.model(x.read_bytes())
