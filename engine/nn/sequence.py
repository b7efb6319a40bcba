"""Sequences of different lengths as one tensor: padded to the longest, or packed without padding.

Source: torch.nn.utils.rnn.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from ..dtype import Array
from ..errors import ShapeError
from ..functions import cat, stack
from ..tensor import Tensor
from ..tracing import values_of


class PackedSequence(NamedTuple):
    """All steps of a batch of sequences, time by time: `batch_sizes` says how many sequences are still going at each.

    `sorted_indices` puts the sequences of the batch in order of length, `unsorted_indices` puts them back.
    """

    data: Tensor
    batch_sizes: Tensor
    sorted_indices: Tensor | None = None
    unsorted_indices: Tensor | None = None

    @property
    def lengths(self) -> tuple[int, ...]:
        """How long each sequence is, the longest first."""
        return tuple((self.batch_sizes.array[:, None] > np.arange(self.batch_sizes.array[0])).sum(0).tolist())


def pack_padded_sequence(
    input: Tensor, lengths: Tensor | Sequence[int], batch_first: bool = False, enforce_sorted: bool = True
) -> PackedSequence:
    """The steps of padded sequences that are not padding.

    Shapes: input (T, N, …), or (N, T, …) with batch_first.
    """
    sizes = np.asarray(values_of(lengths, "packing by lengths") if isinstance(lengths, Tensor) else lengths, np.int64)
    padded = input.transpose(0, 1) if batch_first else input
    _check_lengths(sizes, padded.array.shape)
    if not enforce_sorted:
        order = np.argsort(-sizes, kind="stable")
        packed = pack_padded_sequence(padded[:, Tensor(order)], sizes[order].tolist())
        return packed._replace(sorted_indices=Tensor(order), unsorted_indices=Tensor(np.argsort(order)))
    if (np.diff(sizes) > 0).any():
        raise ShapeError(f"lengths {sizes.tolist()} do not fall; sort the sequences or pass enforce_sorted=False")
    live = np.arange(sizes.max())[:, None] < sizes
    time, sequence = np.nonzero(live)
    return PackedSequence(padded[Tensor(time), Tensor(sequence)], Tensor(live.sum(1)))


def pad_packed_sequence(
    sequence: PackedSequence,
    batch_first: bool = False,
    padding_value: float = 0.0,
    total_length: int | None = None,
) -> tuple[Tensor, Tensor]:
    """The padded sequences that were packed, and their lengths, in the order they had before."""
    padded, lengths = unpack(sequence, padding_value, total_length), Tensor(np.array(sequence.lengths, np.int64))
    if sequence.unsorted_indices is not None:
        padded, lengths = padded[:, sequence.unsorted_indices], lengths[sequence.unsorted_indices]
    return (padded.transpose(0, 1) if batch_first else padded), lengths


def unpack(sequence: PackedSequence, padding_value: float = 0.0, total_length: int | None = None) -> Tensor:
    """(T, N, …) in the order of lengths."""
    sizes = values_of(sequence.batch_sizes, "unpacking by lengths")
    times = len(sizes) if total_length is None else total_length
    if times < len(sizes):
        raise ShapeError(f"total_length {times} is below the longest sequence's {len(sizes)}")
    rows = np.full((times, sizes[0]), len(sequence.data), np.int64)
    live = np.arange(sizes[0]) < sizes[:, None]
    rows[: len(sizes)][live] = np.arange(len(sequence.data))
    padding = Tensor(np.full_like(sequence.data.array[:1], padding_value))
    return cat([sequence.data, padding])[Tensor(rows)]


def pad_sequence(
    sequences: Sequence[Tensor], batch_first: bool = False, padding_value: float = 0.0, padding_side: str = "right"
) -> Tensor:
    """Sequences (T_i, …) as one tensor (T, N, …), or (N, T, …) with batch_first."""
    longest = max(len(s) for s in sequences)
    padded = [_padded(s, longest, padding_value, padding_side) for s in sequences]
    return stack(padded, 0 if batch_first else 1)


def _padded(sequence: Tensor, length: int, value: float, side: str) -> Tensor:
    missing = length - len(sequence)
    if not missing:
        return sequence
    padding = Tensor(np.full((missing, *sequence.array.shape[1:]), value, sequence.array.dtype))
    return cat([padding, sequence] if side == "left" else [sequence, padding])


def _check_lengths(sizes: Array, shape: tuple[int, ...]) -> None:
    if sizes.shape != shape[1:2]:
        raise ShapeError(f"{sizes.size} lengths for a batch of {shape[1]} sequences")
    if sizes.size and not 0 < sizes.min() <= sizes.max() <= shape[0]:
        raise ShapeError(f"lengths from {sizes.min()} to {sizes.max()}; expected 1 to {shape[0]}")
