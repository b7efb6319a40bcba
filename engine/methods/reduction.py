"""Reduction methods."""

from __future__ import annotations

from .base import Methods


class ReductionMethods(Methods):
    """Reduction of tensors."""

    __slots__ = ()
