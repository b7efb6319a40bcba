"""Attention, also in the fused forms that PyTorch records when it is traced in inference mode."""

from __future__ import annotations

from typing import Any

from ..dtype import bool_
from ..functions import linear
from ..nn import functional
from ..tensor import Tensor
from .normalization import layer_norm
from .table import aten, refuse

Maybe = Tensor | None


@aten("scaled_dot_product_attention")
def _(
    query: Tensor, key: Tensor, value: Tensor, attn_mask: Maybe = None, dropout_p: float = 0.0,
    is_causal: bool = False, *, scale: float | None = None, enable_gqa: bool = False,
) -> Tensor:  # fmt: skip
    return functional.scaled_dot_product_attention(
        query, key, value, attn_mask, dropout_p, is_causal, scale, enable_gqa
    )


@aten("_scaled_dot_product_flash_attention_for_cpu")
def _(
    query: Tensor, key: Tensor, value: Tensor, dropout_p: float = 0.0, is_causal: bool = False, *,
    attn_mask: Maybe = None, scale: float | None = None,
) -> tuple[Any, ...]:  # fmt: skip
    return (functional.scaled_dot_product_attention(query, key, value, attn_mask, dropout_p, is_causal, scale), None)


@aten("_native_multi_head_attention")
def multi_head_attention(
    query: Tensor, key: Tensor, value: Tensor, embed_dim: int, num_head: int, qkv_weight: Tensor, qkv_bias: Tensor,
    proj_weight: Tensor, proj_bias: Tensor, mask: Maybe = None, need_weights: bool = True,
    average_attn_weights: bool = True, mask_type: int | None = None,
) -> tuple[Tensor, Maybe]:  # fmt: skip
    """Of batches (N, L, E). True in a mask is what is not seen; its type is 0 for (L, L), 1 for (N, L)."""
    batch = query.size(0)
    weights, biases = qkv_weight.chunk(3), qkv_bias.chunk(3)
    q, k, v = (
        linear(x, w, b).reshape(batch, -1, num_head, embed_dim // num_head).transpose(1, 2)
        for x, w, b in zip((query, key, value), weights, biases, strict=True)
    )
    seen = _seen(mask, mask_type)
    together = functional.scaled_dot_product_attention(q, k, v, seen)
    output = linear(together.transpose(1, 2).reshape(batch, -1, embed_dim), proj_weight, proj_bias)
    if not need_weights:
        return output, None
    scores = q.matmul(k.transpose(-2, -1)) * (q.size(-1) ** -0.5)
    shown = scores if seen is None else scores.masked_fill(seen.logical_not(), float("-inf"))
    each = shown.softmax(-1)
    return output, each.mean(1) if average_attn_weights else each


def _seen(mask: Maybe, mask_type: int | None) -> Maybe:
    """A mask of what is seen, which broadcasts over (N, heads, L, L)."""
    if mask is None:
        return None
    seen = mask.to(bool_).logical_not()
    return seen[:, None, None, :] if mask_type == 1 and seen.dim() == 2 else seen


@aten("_transformer_encoder_layer_fwd")
def _(
    src: Tensor, embed_dim: int, num_heads: int, qkv_weight: Tensor, qkv_bias: Tensor, proj_weight: Tensor,
    proj_bias: Tensor, use_gelu: bool, norm_first: bool, eps: float, norm_weight_1: Tensor, norm_bias_1: Tensor,
    norm_weight_2: Tensor, norm_bias_2: Tensor, ffn_weight_1: Tensor, ffn_bias_1: Tensor, ffn_weight_2: Tensor,
    ffn_bias_2: Tensor, mask: Maybe = None, mask_type: int | None = None,
) -> Tensor:  # fmt: skip
    def attended(x: Tensor) -> Tensor:
        return multi_head_attention(
            x, x, x, embed_dim, num_heads, qkv_weight, qkv_bias, proj_weight, proj_bias, mask, False, True, mask_type
        )[0]

    def fed_forward(x: Tensor) -> Tensor:
        inner: Any = linear(x, ffn_weight_1, ffn_bias_1)
        return linear(functional.gelu(inner) if use_gelu else inner.relu(), ffn_weight_2, ffn_bias_2)

    def norm_1(x: Tensor) -> Tensor:
        return layer_norm(x, [embed_dim], norm_weight_1, norm_bias_1, eps)

    def norm_2(x: Tensor) -> Tensor:
        return layer_norm(x, [embed_dim], norm_weight_2, norm_bias_2, eps)

    if norm_first:
        x = src + attended(norm_1(src))
        return x + fed_forward(norm_2(x))
    x = norm_1(src + attended(src))
    return norm_2(x + fed_forward(x))


for _name in ("_nested_tensor_from_mask", "_nested_tensor_from_mask_left_aligned", "to_padded_tensor"):
    refuse(_name, "nested tensors are not there; make the encoder with enable_nested_tensor=False")
