"""Lets a torchvision that was built for CUDA be imported beside a torch without: its own operators are only declared.

Python imports this at its start, by PYTHONPATH. Nothing here calls these operators.
"""

from __future__ import annotations

import sys
from typing import Any

NAMES = ("nms", "qnms")


class Declaring:
    """Finds no module; declares the operators just before torchvision is imported."""

    declared: Any = None

    @classmethod
    def find_spec(cls, name: str, path: object, target: object = None) -> None:
        if name == "torchvision":
            import torch

            if torch.version.cuda is None:
                cls.declared = torch.library.Library("torchvision", "DEF")
                for each in NAMES:
                    cls.declared.define(f"{each}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")


sys.meta_path.insert(0, Declaring)
