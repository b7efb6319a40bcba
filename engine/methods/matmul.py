"""Matmul methods."""

from __future__ import annotations

from .base import Methods


class MatmulMethods(Methods):
    """Matmul of tensors."""

    __slots__ = ()
