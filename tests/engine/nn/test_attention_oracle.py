"""Attention and transformers against torch: same state dict, same outputs and gradients."""

from types import ModuleType
from typing import Any

import numpy as np
import pytest
from numserve import engine
from numserve.engine import Tensor, nn

from .oracle import agree, pair

pytestmark = pytest.mark.oracle


@pytest.fixture
def torch() -> ModuleType:
    module = pytest.importorskip("torch")
    module.manual_seed(3)
    return module  # type: ignore[no-any-return]


ATTENTION = [{}, {"bias": False}, {"batch_first": True}, {"kdim": 4, "vdim": 4, "batch_first": True}]


@pytest.mark.parametrize("options", ATTENTION)
@pytest.mark.parametrize("call", [
    {}, {"need_weights": False}, {"average_attn_weights": False}, {"mask": "bool"},
    {"mask": "float", "padding": "float"},
    {"mask": "float", "need_weights": False}, {"padding": "bool"}, {"padding": "bool", "need_weights": False},
])  # fmt: skip
def test_multihead_attention(options: dict[str, Any], call: dict[str, Any], torch: ModuleType) -> None:
    theirs, ours = pair(torch, "MultiheadAttention", 6, 3, **options)
    width = options.get("kdim", 6)
    inputs = [torch.randn(2, 4, 6).double(), torch.randn(2, 5, width).double(), torch.randn(2, 5, width).double()]
    inputs = inputs if options.get("batch_first") else [x.transpose(0, 1).contiguous() for x in inputs]
    masks = {"bool": torch.rand(4, 5) < 0.3, "float": torch.randn(4, 5).double()}
    paddings = {"bool": torch.tensor([[False] * 4 + [True], [False] * 5]), "float": torch.randn(2, 5).double()}
    chosen = {"attn_mask": masks.get(call.get("mask")), "key_padding_mask": paddings.get(call.get("padding"))}
    rest = {k: v for k, v in call.items() if k not in ("mask", "padding")}

    def run(layer: Any, *given: Any) -> Any:
        ours = isinstance(given[0], Tensor)
        wrapped = {k: Tensor(v.numpy()) if ours else v for k, v in chosen.items() if v is not None}
        return layer(*given, **wrapped, **rest)

    agree(theirs, ours, inputs, run)


@pytest.mark.parametrize(
    "options", [{}, {"norm_first": True}, {"activation": "gelu", "batch_first": True}, {"bias": False}]
)
def test_encoder_layers_and_decoder_layers(options: dict[str, Any], torch: ModuleType) -> None:
    for name, count in (("TransformerEncoderLayer", 1), ("TransformerDecoderLayer", 2)):
        theirs, ours = pair(torch, name, 8, 2, dim_feedforward=16, dropout=0.0, **options)
        agree(theirs, ours, [torch.randn(3, 4, 8).double() for _ in range(count)])


def test_a_whole_transformer_with_masks(torch: ModuleType) -> None:
    options = {"num_encoder_layers": 2, "num_decoder_layers": 2, "dim_feedforward": 16, "dropout": 0.0}
    theirs, ours = pair(torch, "Transformer", 8, 2, **options, batch_first=True)
    padding = torch.tensor([[False] * 4, [False, False, True, True], [False] * 4])

    def run(layer: Any, src: Any, tgt: Any) -> Any:
        wrap = (lambda x: Tensor(x.numpy())) if isinstance(src, Tensor) else lambda x: x
        causal = wrap(torch.nn.Transformer.generate_square_subsequent_mask(5).double())
        hidden = wrap(padding)
        return layer(src, tgt, tgt_mask=causal, src_key_padding_mask=hidden, memory_key_padding_mask=hidden)

    agree(theirs, ours, [torch.randn(3, 4, 8).double(), torch.randn(3, 5, 8).double()], run)


def test_an_encoder_answers_as_torch_does_in_inference(torch: ModuleType) -> None:
    layer = {"dim_feedforward": 16, "batch_first": True, "activation": "gelu"}
    theirs = torch.nn.TransformerEncoder(torch.nn.TransformerEncoderLayer(8, 2, **layer), 2).eval()
    ours = nn.TransformerEncoder(nn.TransformerEncoderLayer(8, 2, **layer), 2).eval()
    ours.load_state_dict({k: Tensor(v.numpy().copy()) for k, v in theirs.state_dict().items()})
    x = torch.randn(3, 4, 8)
    with torch.no_grad(), engine.no_grad():
        assert np.abs(ours(Tensor(x.numpy())).numpy() - theirs(x).numpy()).max() < 1e-5
