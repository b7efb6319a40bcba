"""Images flow with channels last from the first operation that wants them so to the last, and mean the same."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from numserve import engine
from numserve.engine import Tensor, cat, nn, sharing
from numserve.engine.graph import Graph
from numserve.engine.graph.passes.channels_last import to_channels_last
from numserve.engine.graph.passes.identities import remove_identities

from .made import calibrated, done, formula, graph_of, numbers, ops

F = nn.functional
SCALAR = Tensor(np.array(0.5, np.float32))
IMAGE, SEQUENCE = (2, 4, 8, 6), (2, 4, 9)


def turned(module: nn.Module, *shapes: tuple[int, ...], dtype: Any = np.float32) -> Graph:
    return done(remove_identities, done(to_channels_last, graph_of(module, *shapes, dtype=dtype)))


LAYERS: dict[str, tuple[nn.Module, tuple[int, ...], str]] = {
    "conv": (nn.Conv2d(4, 5, 3, stride=(2, 1), padding=(1, 2)), IMAGE, "conv_nhwc"),
    "conv without bias": (nn.Conv2d(4, 5, 3, bias=False), IMAGE, "conv_nhwc"),
    "dilated conv": (nn.Conv2d(4, 5, (3, 2), dilation=(1, 2)), IMAGE, "conv_nhwc"),
    "grouped conv": (nn.Conv2d(4, 6, 3, groups=2), IMAGE, "conv_nhwc"),
    "depthwise conv": (nn.Conv2d(4, 4, 3, padding=1, groups=4), IMAGE, "conv_nhwc"),
    "conv of sequences": (nn.Conv1d(4, 5, 3, padding=1, stride=2), SEQUENCE, "conv_nhwc"),
    "transposed conv": (nn.ConvTranspose2d(4, 5, 4, stride=2, padding=1), IMAGE, "conv_nhwc"),
    "transposed conv that ends outside": (
        nn.ConvTranspose2d(4, 5, 3, stride=2, padding=1, output_padding=1), IMAGE, "conv_nhwc",
    ),
    "transposed conv with gaps": (nn.ConvTranspose2d(4, 5, 2, stride=(3, 4), padding=(0, 1)), IMAGE, "conv_nhwc"),
    "transposed conv without a stride": (nn.ConvTranspose2d(4, 5, 3, padding=(1, 0), bias=False), IMAGE, "conv_nhwc"),
    "transposed conv of sequences": (nn.ConvTranspose1d(4, 5, 5, stride=2, padding=2), SEQUENCE, "conv_nhwc"),
    "transposed conv that tiles": (nn.ConvTranspose2d(4, 5, 2, stride=2), IMAGE, "conv_nhwc"),
    "transposed conv of bars": (nn.ConvTranspose2d(4, 5, (3, 2), stride=(3, 2), bias=False), IMAGE, "conv_nhwc"),
    "max pool": (nn.MaxPool2d(3, 2, padding=1), IMAGE, "max_pool_nhwc"),
    "dilated max pool": (nn.MaxPool2d(2, 1, dilation=2), IMAGE, "max_pool_nhwc"),
    "max pool that ends outside": (nn.MaxPool2d(3, 2, ceil_mode=True), IMAGE, "max_pool_nhwc"),
    "max pool of sequences": (nn.MaxPool1d(2, ceil_mode=True), SEQUENCE, "max_pool_nhwc"),
    "average pool": (nn.AvgPool2d(3, 2, padding=1), IMAGE, "avg_pool_nhwc"),
    "average of the inside": (nn.AvgPool2d(3, 2, padding=1, count_include_pad=False), IMAGE, "avg_pool_nhwc"),
    "average pool that ends outside": (
        nn.AvgPool2d(3, 2, ceil_mode=True, count_include_pad=False), IMAGE, "avg_pool_nhwc",
    ),
    "average pool by a divisor": (nn.AvgPool2d(2, divisor_override=3), IMAGE, "avg_pool_nhwc"),
    "norm": (calibrated(nn.BatchNorm2d(4), *IMAGE), IMAGE, "affine_nhwc"),
    "norm of sequences": (calibrated(nn.BatchNorm1d(4), *SEQUENCE), SEQUENCE, "affine_nhwc"),
}  # fmt: skip


@pytest.mark.parametrize("name", LAYERS)
def test_a_layer_is_lowered(name: str) -> None:
    module, shape, op = LAYERS[name]
    graph = turned(module, shape)

    assert ops(graph)[op] == 1
    assert ops(graph).keys() <= {op, "permute", "reshape", "getitem"}


@pytest.mark.parametrize(
    "layer",
    [
        nn.ConvTranspose2d(4, 6, 2, stride=2, groups=2),
        nn.ConvTranspose2d(4, 5, 3, stride=2, dilation=2),
        nn.ConvTranspose2d(4, 5, 2, padding=2),
    ],
)
def test_other_transposed_convolutions_stay(layer: nn.Module) -> None:
    assert ops(turned(layer, IMAGE))["conv_transpose"] == 1


def test_a_norm_of_rows_needs_no_turning() -> None:
    assert ops(turned(calibrated(nn.BatchNorm1d(4), 5, 4), (5, 4))) == {"affine_nhwc": 1}


PLAIN: dict[str, tuple[nn.Module, tuple[int, ...], Any]] = {
    "doubles": (nn.Sequential(nn.Conv2d(4, 5, 3), nn.BatchNorm2d(5)).double(), IMAGE, np.float64),
    "volumes": (nn.Conv3d(4, 5, 2), (2, 4, 5, 5, 5), np.float32),
    "weights that are computed": (formula(lambda x: F.conv2d(x, x[:, :, :2, :2])), (4, 4, 5, 5), np.float32),
    "an average that counts its padding and ends outside": (
        nn.AvgPool2d(3, 2, padding=1, ceil_mode=True), (2, 4, 8, 8), np.float32,
    ),
    "integers": (formula(lambda x: x * 2 + x), IMAGE, np.int64),
    "single images": (nn.MaxPool2d(2), (4, 6, 6), np.float32),
}  # fmt: skip


@pytest.mark.parametrize("name", PLAIN)
def test_what_has_no_such_form_stays(name: str) -> None:
    module, shape, dtype = PLAIN[name]
    before = graph_of(module, shape, dtype=dtype)

    assert ops(done(to_channels_last, before)) == ops(before)


# What is done to the result of a convolution, and what else there is then but that and two permutes.
BETWEEN: dict[str, tuple[Callable[[Tensor], Tensor], dict[str, int]]] = {
    "functions": (lambda y: y.exp().relu().clamp(0, 3), {"exp": 1, "relu": 1, "clamp": 1}),
    "a sum": (lambda y: y + y.exp(), {"exp": 1, "add": 1}),
    "numbers by channel": (lambda y: y * Tensor(numbers(4, 1, 1)), {"mul": 1}),
    "numbers by column": (lambda y: Tensor(numbers(6)) - y, {"sub": 1}),
    "numbers by row": (lambda y: y / Tensor(numbers(1, 1, 8, 1)), {"div": 1}),
    "a scalar": (lambda y: y * SCALAR, {"mul": 1}),
    "a choice": (lambda y: engine.where(y > 0, y, y * 0.1), {"gt": 1, "mul": 1, "where": 1}),
    "a mask": (lambda y: y.masked_fill(y > 1, 0.5), {"gt": 1, "masked_fill": 1}),
    "channels joined": (lambda y: cat([y, y.exp()], 1), {"exp": 1, "cat": 1}),
    "columns joined": (lambda y: cat([y, y.exp()], -1), {"exp": 1, "cat": 1}),
    "batches joined": (lambda y: cat([y, y.exp()]), {"exp": 1, "cat": 1}),
    "a softmax by channel": (lambda y: y.softmax(1), {"softmax": 1}),
    "a softmax by column": (lambda y: y.log_softmax(-1), {"log_softmax": 1}),
    "padding": (lambda y: F.pad(y, (1, 0, 2, 3), value=0.5), {"pad": 1}),
    "a part": (lambda y: y[:, 1:3, ::2, :4], {"getitem": 1}),
    "parts": (lambda y: y.chunk(2, 1)[0] * y.chunk(2, 1)[1], {"getitem": 2, "mul": 1}),
    "a resize to twice": (lambda y: F.interpolate(y, scale_factor=2), {"reshape": 2, "expand": 1}),
    "a pool of even parts": (nn.AdaptiveAvgPool2d((4, 2)), {"avg_pool_nhwc": 1}),
    "a pool of even maxima": (nn.AdaptiveMaxPool2d((4, 2)), {"max_pool_nhwc": 1}),
    "a gate by channel": (lambda y: y * y.mean((2, 3), keepdim=True), {"mean_nhwc": 1, "reshape": 1, "mul": 1}),
    "a single pixel everywhere": (
        lambda y: F.interpolate(y.mean((2, 3), keepdim=True), size=(8, 6), mode="bilinear"),
        {"mean_nhwc": 1, "reshape": 1, "expand": 1},
    ),
    "a smooth resize": (
        lambda y: F.interpolate(y, size=(11, 9), mode="bilinear"), {"reshape": 2, "matmul": 2},
    ),
    "a resize of columns": (lambda y: F.interpolate(y, size=(8, 7), mode="bicubic", align_corners=True), {"matmul": 1}),
    "a resize of rows": (lambda y: F.interpolate(y, size=(16, 6), mode="bilinear"), {"reshape": 2, "matmul": 1}),
    "a resize by a scale": (
        lambda y: F.interpolate(y, scale_factor=1.5, mode="bilinear", recompute_scale_factor=False),
        {"reshape": 2, "matmul": 2},
    ),
    "a pool of uneven parts": (nn.AdaptiveAvgPool2d((3, 4)), {"reshape": 2, "matmul": 2}),
    "maxima": (lambda y: y * y.amax((2, 3), keepdim=True), {"max_pool_nhwc": 1, "mul": 1}),
    "a turn and back": (lambda y: y.permute(0, 2, 3, 1).exp().permute(0, 3, 1, 2), {"exp": 1}),
    "channels dealt out": (
        lambda y: y.reshape(y.shape[0], 2, 2, 8, 6).transpose(1, 2).reshape(y.shape), {"reshape": 2, "permute": 1},
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", BETWEEN)
def test_it_works_on_images_with_channels_last(name: str) -> None:
    function, extra = BETWEEN[name]
    module = formula(lambda x, conv: function(conv(x)), conv=nn.Conv2d(4, 4, 3, padding=1))
    graph = turned(module, IMAGE)
    extra = {**extra, "permute": extra.get("permute", 0) + 2}

    assert ops(graph) == {"conv_nhwc": 1, **extra}


def test_what_has_to_be_plain_is_turned_once_for_all() -> None:
    def forward(x: Tensor, conv: nn.Conv2d) -> Any:
        y = conv(x)
        return y.cumsum(1), y.cumsum(2), conv(y)

    graph = turned(formula(forward, conv=nn.Conv2d(4, 4, 3, padding=1)), IMAGE)

    assert ops(graph) == {"permute": 3, "conv_nhwc": 2, "cumsum": 2}


def test_a_large_plain_operand_is_not_turned_for_a_small_image() -> None:
    module = formula(lambda x, conv: x * conv(x.mean((2, 3), keepdim=True)), conv=nn.Conv2d(4, 4, 1))
    graph = turned(module, IMAGE)
    sizes = [node.output.shape for node in graph.nodes if node.op == "permute"]

    assert all(shape[1:].count(1) == 2 for shape in sizes)


HEADS: dict[str, tuple[Callable[[Tensor], Tensor], int]] = {
    "flattened": (lambda y: y.flatten(1), 4 * 8 * 6),
    "flattened, then bent": (lambda y: y.flatten(1).tanh(), 4 * 8 * 6),
    "mean": (lambda y: y.mean((2, 3)), 4),
    "maxima": (lambda y: y.amax((2, 3)), 4),
    "pooled and flattened": (lambda y: F.adaptive_avg_pool2d(y, 1).flatten(1), 4),
    "pooled to parts": (lambda y: F.adaptive_avg_pool2d(y, (2, 3)).flatten(1), 4 * 6),
    "a pixel": (lambda y: y[:, :, 3, 4], 4),
}


@pytest.mark.parametrize("name", HEADS)
def test_a_linear_layer_follows_without_a_permute(name: str) -> None:
    function, features = HEADS[name]
    module = formula(
        lambda x, conv, fc: fc(function(conv(x))), conv=nn.Conv2d(4, 4, 3, padding=1), fc=nn.Linear(features, 3)
    )
    graph = turned(module, IMAGE)

    assert ops(graph)["permute"] == 1
    assert ops(graph)["linear"] == 1


def test_images_are_turned_rather_than_a_large_layers_weights() -> None:
    outputs = sharing.LARGE // 4 // 192 + 1
    module = formula(
        lambda x, conv, fc: fc(conv(x).flatten(1)), conv=nn.Conv2d(4, 4, 3, padding=1), fc=nn.Linear(192, outputs)
    )
    graph = turned(module, IMAGE)

    assert ops(graph)["permute"] == 2
    assert any(np.shares_memory(array, module.fc.weight.array) for array in graph.constants.values())


def test_what_is_flattened_can_also_be_an_output() -> None:
    module = formula(
        lambda x, conv, fc: ((y := conv(x).flatten(1)), fc(y), y.exp()), conv=nn.Conv2d(4, 4, 3), fc=nn.Linear(96, 3)
    )

    assert ops(turned(module, IMAGE))["linear"] == 1


def test_one_weight_may_read_what_is_flattened_and_what_is_not() -> None:
    module = formula(
        lambda x, y, conv, fc: fc(conv(x).flatten(1)) + fc(y), conv=nn.Conv2d(4, 4, 3), fc=nn.Linear(96, 3)
    )

    turned(module, IMAGE, (2, 96))


def test_patches_become_a_sequence_without_a_permute() -> None:
    def forward(x: Tensor, conv: nn.Conv2d) -> Tensor:
        return conv(x).flatten(2).transpose(1, 2)

    graph = turned(formula(forward, conv=nn.Conv2d(4, 5, 2, stride=2)), IMAGE)

    assert ops(graph) == {"permute": 1, "conv_nhwc": 1, "reshape": 1}


def test_sequences_with_channels_last_already_are_not_turned() -> None:
    module = formula(lambda x, conv: conv(x.transpose(1, 2)).relu().transpose(1, 2), conv=nn.Conv1d(4, 5, 3))
    graph = turned(module, (2, 9, 4))

    assert ops(graph) == {"reshape": 2, "conv_nhwc": 1, "relu": 1}


def test_shared_weights_stay_shared() -> None:
    graph = turned(formula(lambda x, conv: conv(conv(x)), conv=nn.Conv2d(4, 4, 3, padding=1)), IMAGE)

    assert len(graph.constants) == 2
