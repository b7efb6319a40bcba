"""MultiheadAttention."""

from __future__ import annotations

import math
from typing import cast

import numpy as np

from ..dtype import Array
from ..errors import ShapeError, UnsupportedOpError
from ..functions import where
from ..tensor import Tensor
from . import functional, init
from .linear import Linear
from .module import Module
from .parameter import Parameter


class MultiheadAttention(Module):
    """Attention in several heads, each on its part of the features. Source: torch.nn.MultiheadAttention.

    Shapes: query (L, N, E), key (S, N, kdim), value (S, N, vdim), batch first with batch_first, or without a batch.
    Gives the output, of query's shape, and the weights (N, L, S), or None where `need_weights` is false. Masks are
    True, or -inf, where a key is not to be seen.
    """

    def __init__(
        self,
        embed_dim: int,
        num_heads: int,
        dropout: float = 0.0,
        bias: bool = True,
        add_bias_kv: bool = False,
        add_zero_attn: bool = False,
        kdim: int | None = None,
        vdim: int | None = None,
        batch_first: bool = False,
    ) -> None:
        super().__init__()
        if num_heads < 1 or embed_dim % num_heads:
            raise ShapeError(f"MultiheadAttention: {embed_dim} features cannot be shared evenly by {num_heads} heads")
        if add_bias_kv or add_zero_attn:
            raise UnsupportedOpError("MultiheadAttention: add_bias_kv and add_zero_attn are not there; leave them out")
        self.embed_dim, self.num_heads, self.head_dim = embed_dim, num_heads, embed_dim // num_heads
        self.kdim, self.vdim = kdim or embed_dim, vdim or embed_dim
        self.dropout, self.batch_first = dropout, batch_first
        alike = self.kdim == self.vdim == embed_dim
        self.register_parameter("in_proj_weight", Parameter.blank((3 * embed_dim, embed_dim)) if alike else None)
        for name, size in zip("qkv", (embed_dim, self.kdim, self.vdim), strict=True):
            self.register_parameter(f"{name}_proj_weight", None if alike else Parameter.blank((embed_dim, size)))
        self.register_parameter("in_proj_bias", Parameter.blank((3 * embed_dim,)) if bias else None)
        self.out_proj = Linear(embed_dim, embed_dim, bias=bias)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Glorot's even numbers for the projections, zeros for the biases."""
        for name, parameter in self.named_parameters(recurse=False):
            if name == "in_proj_bias":
                init.zeros_(parameter)
            else:
                init.xavier_uniform_(parameter)
        if self.out_proj.bias is not None:
            init.zeros_(self.out_proj.bias)

    def forward(
        self,
        query: Tensor,
        key: Tensor,
        value: Tensor,
        key_padding_mask: Tensor | None = None,
        need_weights: bool = True,
        attn_mask: Tensor | None = None,
        average_attn_weights: bool = True,
        is_causal: bool = False,
    ) -> tuple[Tensor, Tensor | None]:
        """What the queries gather from the values, and how much from each."""
        if is_causal and attn_mask is None:
            raise ShapeError("MultiheadAttention: is_causal is a hint about attn_mask; give that mask too")
        single = query.array.ndim == 2
        q, k, v = (self._projected(part, x, single) for part, x in enumerate((query, key, value)))
        mask = self._mask(key_padding_mask, attn_mask, q.array)
        p = self.dropout if self.training else 0.0
        if need_weights:
            gathered, weights = _attend(q, k, v, mask, p)
        else:
            gathered, weights = functional.scaled_dot_product_attention(q, k, v, mask, p), None
        batch, _, length, _ = gathered.shape
        out: Tensor = self.out_proj(gathered.transpose(1, 2).reshape(batch, length, self.embed_dim))
        if weights is not None and average_attn_weights:
            weights = weights.mean(1)
        if single:
            return out[0], None if weights is None else weights[0]
        return (out if self.batch_first else out.transpose(0, 1)), weights

    def _projected(self, part: int, x: Tensor, single: bool) -> Tensor:
        """Query, key or value (part 0 to 2) as (N, heads, length, features of a head)."""
        rows = slice(part * self.embed_dim, (part + 1) * self.embed_dim)
        own = self._parameters[f"{'qkv'[part]}_proj_weight"]
        weight = cast(Tensor, self.in_proj_weight)[rows] if own is None else own
        bias = None if self.in_proj_bias is None else self.in_proj_bias[rows]
        if x.array.ndim != (2 if single else 3) or x.shape[-1] != weight.shape[1]:
            raise ShapeError(
                f"MultiheadAttention: {('query', 'key', 'value')[part]} of shape {tuple(x.shape)}; "
                f"expected {2 if single else 3} dims, the last of size {weight.shape[1]}"
            )
        batch = x.unsqueeze(0) if single else x if self.batch_first else x.transpose(0, 1)
        features = functional.linear(batch, weight, bias)
        return features.reshape(len(batch), -1, self.num_heads, self.head_dim).transpose(1, 2)

    def _mask(self, padding: Tensor | None, attention: Tensor | None, q: Array) -> Tensor | None:
        """Both masks as one that is added, broadcast to (N, heads, L, S)."""
        total: Tensor | None = None
        for mask, shape in ((padding, (-1, 1, 1)), (attention, None)):
            if mask is None:
                continue
            added = _added(mask, q.dtype)
            if shape is not None:
                added = added.reshape(*shape, mask.shape[-1])
            elif added.array.ndim == 3:
                added = added.reshape(-1, self.num_heads, *mask.shape[1:])
            total = added if total is None else total + added
        return total


def _added(mask: Tensor, dtype: np.dtype[np.generic]) -> Tensor:
    """A mask of what is not to be seen, as what is added to the scores."""
    if mask.array.dtype == np.bool_:
        return where(mask, Tensor(np.asarray(-np.inf, dtype)), Tensor(np.zeros((), dtype)))  # type: ignore[no-any-return]
    return mask


def _attend(q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None, p: float) -> tuple[Tensor, Tensor]:
    """Attention step by step, where its weights are asked for."""
    scores = (q * (1 / math.sqrt(q.shape[-1]))) @ k.transpose(-2, -1)
    weights = (scores if mask is None else scores + mask).softmax(-1)
    weights = functional.dropout(weights, p, p > 0)
    return weights @ v, weights
