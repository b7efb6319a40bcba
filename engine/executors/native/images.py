"""Images, the shapes and pitches that a step of convolution works with."""

from __future__ import annotations

from typing import Any

from ...graph.plan import Step
from .work import address, array, optional, pitch


class Images:
    """The shapes that a step of convolution works with."""

    def __init__(self, step: Step) -> None:
        self.x, self.y, self.residual = array(step, 0), step.output, optional(step, 3)
        self.ld_x, self.ld_y = pitch(self.x), pitch(self.y)
        self.ld_residual = 0 if self.residual is None else pitch(self.residual)
        if step.op == "gemm":
            rows = self.y.size // self.y.shape[-1]
            self.shape, self.out = (rows, 1, 1, self.x.shape[-1]), (rows, 1, 1, self.y.shape[-1])
            self.stride, self.padding, self.dilation, self.groups = (1, 1), (0, 0, 0, 0), (1, 1), 1
        else:
            self.shape, self.out = self.x.shape, self.y.shape
            self.stride, self.padding = step.attributes["stride"], step.attributes["padding"]
            self.dilation, self.groups = step.attributes["dilation"], step.attributes["groups"]

    def common(self) -> dict[str, Any]:
        """The fields that all structures of convolution share."""
        return {
            "x": address(self.x), "y": address(self.y), "residual": address(self.residual),
            "ld_x": self.ld_x, "ld_y": self.ld_y, "ld_residual": self.ld_residual,
            "batch": self.shape[0], "height": self.shape[1], "width": self.shape[2],
            "out_height": self.out[1], "out_width": self.out[2], "top": self.padding[0], "left": self.padding[1],
        }  # fmt: skip
