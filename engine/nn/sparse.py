"""Tables whose rows are looked up by number."""

from __future__ import annotations

from typing import Any, Self

from ..device import require_cpu
from ..dtype import DType
from ..errors import UnsupportedOpError
from ..tensor import Tensor
from . import functional as F
from . import init
from .module import Module
from .parameter import Parameter


class _Table(Module):
    """A weight of one row for each number."""

    def __init__(
        self,
        num_embeddings: int,
        embedding_dim: int,
        padding_idx: int | None,
        max_norm: float | None,
        scale_grad_by_freq: bool,
        weight: Tensor | None,
        device: Any,
        dtype: DType | None,
    ) -> None:
        super().__init__()
        require_cpu(device)
        if max_norm is not None or scale_grad_by_freq:
            raise UnsupportedOpError(f"{type(self).__name__}: max_norm and scale_grad_by_freq are not there")
        self.num_embeddings, self.embedding_dim = num_embeddings, embedding_dim
        self.padding_idx = None if padding_idx is None else padding_idx % num_embeddings
        if weight is None:
            self.weight = Parameter.blank((num_embeddings, embedding_dim), dtype)
            self.reset_parameters()
        else:
            self.weight = Parameter(weight)

    def reset_parameters(self) -> None:
        """Draw the rows anew; the padding's is zero."""
        init.normal_(self.weight)
        if self.padding_idx is not None:
            self.weight.data[self.padding_idx] = 0

    @classmethod
    def from_pretrained(cls, embeddings: Tensor, freeze: bool = True, **options: Any) -> Self:
        """A table of given rows, trained no further unless told to."""
        make: Any = cls
        table: Self = make(*embeddings.shape, _weight=embeddings, **options)
        table.weight.requires_grad_(not freeze)
        return table


class Embedding(_Table):
    """The rows that the input names. Source: torch.nn.Embedding."""

    def __init__(
        self,
        num_embeddings: int,
        embedding_dim: int,
        padding_idx: int | None = None,
        max_norm: float | None = None,
        norm_type: float = 2.0,
        scale_grad_by_freq: bool = False,
        sparse: bool = False,
        _weight: Tensor | None = None,
        _freeze: bool = False,
        device: Any = None,
        dtype: DType | None = None,
    ) -> None:
        super().__init__(
            num_embeddings, embedding_dim, padding_idx, max_norm, scale_grad_by_freq, _weight, device, dtype
        )
        self.weight.requires_grad_(not _freeze)

    def forward(self, input: Tensor) -> Tensor:
        """(…) → (…, embedding_dim)."""
        return F.embedding(input, self.weight, self.padding_idx)

    def extra_repr(self) -> str:
        """The sizes."""
        text = f"{self.num_embeddings}, {self.embedding_dim}"
        return text if self.padding_idx is None else f"{text}, padding_idx={self.padding_idx}"


class EmbeddingBag(_Table):
    """The sum, mean or maximum of bags of rows. Source: torch.nn.EmbeddingBag."""

    def __init__(
        self,
        num_embeddings: int,
        embedding_dim: int,
        max_norm: float | None = None,
        norm_type: float = 2.0,
        scale_grad_by_freq: bool = False,
        mode: str = "mean",
        sparse: bool = False,
        _weight: Tensor | None = None,
        include_last_offset: bool = False,
        padding_idx: int | None = None,
        device: Any = None,
        dtype: DType | None = None,
    ) -> None:
        super().__init__(
            num_embeddings, embedding_dim, padding_idx, max_norm, scale_grad_by_freq, _weight, device, dtype
        )
        self.mode, self.include_last_offset = mode, include_last_offset

    def forward(self, input: Tensor, offsets: Tensor | None = None, per_sample_weights: Tensor | None = None) -> Tensor:
        """(B, N), or (N) with offsets (B), → (B, embedding_dim)."""
        if offsets is not None and self.include_last_offset:
            offsets = offsets[:-1]
        return F.embedding_bag(input, self.weight, offsets, self.mode, per_sample_weights, self.padding_idx)

    def extra_repr(self) -> str:
        """The sizes and the mode."""
        text = f"{self.num_embeddings}, {self.embedding_dim}, mode={self.mode!r}"
        return text if self.padding_idx is None else f"{text}, padding_idx={self.padding_idx}"
