"""Attention and transformers: their ways of computing agree, and masks hide what they should."""

from typing import Any

import numpy as np
import pytest
from numserve import engine
from numserve.engine import ShapeError, Tensor, UnsupportedOpError, nn, optim, randn, tensor

attend = nn.functional.scaled_dot_product_attention


@pytest.fixture(autouse=True)
def _seeded() -> None:
    engine.manual_seed(5)


def same(one: Tensor, other: Tensor) -> None:
    assert one.shape == other.shape
    assert np.abs(one.array - other.array).max() < 1e-5


def test_heads_are_attention_of_their_parts() -> None:
    layer = nn.MultiheadAttention(4, 2, batch_first=True)
    x = randn(3, 5, 4)
    q, k, v = (
        x @ w.transpose(0, 1) + b
        for w, b in zip(layer.in_proj_weight.chunk(3), layer.in_proj_bias.chunk(3), strict=True)
    )
    heads = [attend(q[..., h : h + 2], k[..., h : h + 2], v[..., h : h + 2]) for h in (0, 2)]
    same(layer(x, x, x)[0], layer.out_proj(engine.cat(heads, -1)))


@pytest.mark.parametrize("mask", [None, "bool", "float", "heads"])
@pytest.mark.parametrize("padding", [None, "bool", "float"])
def test_with_and_without_weights_the_output_is_the_same(mask: str | None, padding: str | None) -> None:
    layer = nn.MultiheadAttention(4, 2)
    query, key = randn(3, 2, 4), randn(5, 2, 4)
    hidden = tensor(np.random.default_rng(1).random((3, 5)) < 0.3)
    masks = {"bool": hidden, "float": randn(3, 5), "heads": randn(4, 3, 5)}
    paddings = {"bool": tensor([[False] * 4 + [True], [False] * 5]), "float": randn(2, 5)}
    given: dict[str, Any] = {"attn_mask": masks.get(mask), "key_padding_mask": paddings.get(padding)}
    output, weights = layer(query, key, key, **given)
    alone, none = layer(query, key, key, need_weights=False, **given)
    same(output, alone)
    assert none is None and weights.shape == (2, 3, 5)
    assert np.allclose(weights.array.sum(-1), 1, atol=1e-5)
    if mask == "bool":
        assert not weights.array[:, hidden.array].any()
    if padding == "bool":
        assert not weights.array[0, :, 4].any()


def test_weights_of_each_head_average_to_those_of_all() -> None:
    layer, x = nn.MultiheadAttention(4, 2), randn(3, 2, 4)
    _, each = layer(x, x, x, average_attn_weights=False)
    assert each.shape == (2, 2, 3, 3)
    same(each.mean(1), layer(x, x, x)[1])


def test_without_a_batch_is_a_batch_of_one() -> None:
    layer, x = nn.MultiheadAttention(4, 2), randn(3, 4)
    output, weights = layer(x, x, x)
    batch, batch_weights = layer(*[x.unsqueeze(1)] * 3)
    same(output, batch.squeeze(1))
    same(weights, batch_weights[0])


def test_parameters_bear_pytorchs_names() -> None:
    names = ["in_proj_weight", "in_proj_bias", "out_proj.weight", "out_proj.bias"]
    assert list(nn.MultiheadAttention(4, 2).state_dict()) == names
    own = nn.MultiheadAttention(4, 2, kdim=3, vdim=5, bias=False)
    assert {k: tuple(v.shape) for k, v in own.state_dict().items()} == {
        "q_proj_weight": (4, 4), "k_proj_weight": (4, 3), "v_proj_weight": (4, 5), "out_proj.weight": (4, 4)
    }  # fmt: skip
    assert own(randn(2, 1, 4), randn(6, 1, 3), randn(6, 1, 5))[0].shape == (2, 1, 4)


def test_what_does_not_fit_is_refused() -> None:
    with pytest.raises(ShapeError, match="5 features cannot be shared evenly by 2 heads"):
        nn.MultiheadAttention(5, 2)
    with pytest.raises(UnsupportedOpError, match="add_bias_kv"):
        nn.MultiheadAttention(4, 2, add_bias_kv=True)
    layer = nn.MultiheadAttention(4, 2)
    with pytest.raises(ShapeError, match=r"key of shape \(3, 1, 5\); expected 3 dims, the last of size 4"):
        layer(randn(3, 1, 4), randn(3, 1, 5), randn(3, 1, 4))
    with pytest.raises(ShapeError, match="give that mask too"):
        layer(*[randn(3, 1, 4)] * 3, is_causal=True)
    with pytest.raises(ShapeError, match=r"q \(2, 3\), k \(2, 4\)"):
        attend(randn(2, 3), randn(2, 4), randn(2, 4))


def test_dropout_of_attention_keeps_the_mean() -> None:
    q, k, v = randn(1, 1, 2), randn(1, 6, 2), engine.ones(1, 6, 1)
    drawn = [attend(q, k, v, dropout_p=0.5).item() for _ in range(400)]
    assert 0.9 < np.mean(drawn) < 1.1 and np.std(drawn) > 0.1


def test_grouped_queries_share_keys() -> None:
    q, k, v = randn(1, 4, 3, 2), randn(1, 2, 3, 2), randn(1, 2, 3, 2)
    shared = attend(q, k, v, enable_gqa=True)
    same(shared[:, 1], attend(q[:, 1], k[:, 0], v[:, 0]))
    same(shared[:, 2], attend(q[:, 2], k[:, 1], v[:, 1]))


def encoder(**options: Any) -> nn.TransformerEncoder:
    layer = nn.TransformerEncoderLayer(8, 2, dim_feedforward=16, batch_first=True, **options)
    return nn.TransformerEncoder(layer, num_layers=2, norm=nn.LayerNorm(8)).eval()


@pytest.mark.parametrize("options", [{}, {"norm_first": True}, {"activation": "gelu", "bias": False}])
def test_a_causal_mask_hides_the_future(options: dict[str, Any]) -> None:
    net, x = encoder(**options), randn(2, 5, 8)
    mask = nn.Transformer.generate_square_subsequent_mask(5)
    whole = net(x, mask, is_causal=True)
    same(whole[:, :3], net(x[:, :3], mask[:3, :3]))
    assert np.abs(net(x).array[:, :3] - whole.array[:, :3]).max() > 1e-3


def test_padding_changes_nothing_that_is_seen() -> None:
    net, x = encoder(), randn(2, 5, 8)
    padding = tensor([[False, False, False, True, True]] * 2)
    same(net(x, src_key_padding_mask=padding)[:, :3], net(x[:, :3]))


def test_a_decoder_sees_the_memory_that_is_not_hidden() -> None:
    layer = nn.TransformerDecoderLayer(8, 2, dim_feedforward=16, batch_first=True)
    net = nn.TransformerDecoder(layer, 2).eval()
    target, memory = randn(2, 3, 8), randn(2, 5, 8)
    hidden = tensor([[False, False, True, True, True]] * 2)
    same(net(target, memory, memory_key_padding_mask=hidden), net(target, memory[:, :2]))


def test_layers_are_copies_of_their_own() -> None:
    net = encoder()
    a, b = (layer.linear1.weight for layer in net.layers)
    assert a is not b and (a.array == b.array).all()


def test_a_transformer_learns_to_copy() -> None:
    net = nn.Transformer(8, 2, 1, 1, 16, dropout=0.0, batch_first=True)
    optimizer = optim.Adam(net.parameters(), lr=0.01)
    x = randn(4, 3, 8)
    losses = []
    for _ in range(25):
        optimizer.zero_grad()
        loss = nn.functional.mse_loss(net(x, x), x)
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < losses[0] / 2


def test_an_unknown_activation_is_named() -> None:
    with pytest.raises(ValueError, match="activation 'swish'; expected 'relu', 'gelu'"):
        nn.TransformerEncoderLayer(4, 2, activation="swish")
