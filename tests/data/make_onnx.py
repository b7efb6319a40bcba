"""Make the ONNX files in tests/data/onnx, with inputs and the outputs of torch or ONNX Runtime beside them.

Run it where torch, onnx, onnxscript and onnxruntime are installed: python tests/data/make_onnx.py
"""

from __future__ import annotations

import io
import logging
import lzma
import runpy
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import torch
from onnx import TensorProto, helper, numpy_helper
from onnx.backend.test.case.node import collect_testcases
from torch import nn

HERE = Path(__file__).parent / "onnx"
EXCLUDED = runpy.run_path(str(Path(__file__).parents[1] / "engine" / "onnx" / "excluded.py"))["EXCLUDED"]
Arrays = dict[str, np.ndarray]


class Pictures(nn.Module):
    """A convolutional network with what most have."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Sequential(nn.Conv2d(3, 8, 3, 2, 1), nn.BatchNorm2d(8), nn.ReLU(), nn.MaxPool2d(2))
        self.side = nn.Conv2d(8, 8, 1)
        self.deep = nn.Sequential(nn.Conv2d(8, 8, 3, 1, 1, groups=8), nn.Hardswish(), nn.Conv2d(8, 8, 1))
        self.head = nn.Linear(16, 5)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.stem(x)
        x = torch.cat([torch.relu(self.side(x) + self.deep(x)), x.clamp(-1, 1)], 1)
        return self.head(nn.functional.adaptive_avg_pool2d(x, 1).flatten(1))


class Words(nn.Module):
    """An encoder of token ids."""

    def __init__(self) -> None:
        super().__init__()
        self.table = nn.Embedding(20, 16)
        layer = nn.TransformerEncoderLayer(16, 2, 24, 0.0, "gelu", batch_first=True)
        self.encoder = nn.TransformerEncoder(layer, 1, enable_nested_tensor=False)
        self.head = nn.Linear(16, 3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.head(torch.tanh(self.encoder(self.table(x))[:, 0]))


class Series(nn.Module):
    """Recurrent layers in both directions."""

    def __init__(self) -> None:
        super().__init__()
        self.lstm = nn.LSTM(4, 5, batch_first=True, bidirectional=True)
        self.gru = nn.GRU(10, 3, batch_first=True)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.gru(self.lstm(x)[0])[0][:, -1]


class Resized(nn.Module):
    """Resizing in several ways."""

    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        resize = nn.functional.interpolate
        return (
            resize(x, scale_factor=2, mode="nearest"),
            resize(x, size=(5, 7), mode="bilinear", align_corners=True),
            resize(x, size=(9, 4), mode="bicubic"),
        )


class Looped(nn.Module):
    """A loop of a known number of turns, and a branch on the values."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        for turn in range(3):
            x = x * 0.5 + float(turn)
        if x.sum() > 10:
            x = x - 1
        return x


def calibrated(module: nn.Module, *example: torch.Tensor) -> nn.Module:
    """Running statistics of the weights there are."""
    with torch.no_grad():
        module.train()(*example)
    return module.eval()


def exported(name: str, module: Any, example: torch.Tensor, arrays: Arrays, **options: Any) -> None:
    """Export with torch, and keep what torch answers for another batch."""
    path = HERE / f"{name}.onnx"
    dynamo = options.setdefault("dynamo", True)
    if dynamo:
        options.setdefault("external_data", False)
        options["dynamic_shapes"] = ({0: torch.export.Dim("batch")},)
    else:
        options["dynamic_axes"] = {"x": {0: "batch"}}
    torch.onnx.export(module, (example,), path, input_names=["x"], verbose=False, **options)
    _stripped(path)
    other = torch.cat([example, example.flip(0)])[:3]
    with torch.no_grad():
        answers = module(other)
    arrays[f"{name}/x"] = other.numpy()
    for n, answer in enumerate(answers if isinstance(answers, tuple) else (answers,)):
        arrays[f"{name}/out{n}"] = answer.numpy()


def _stripped(path: Path) -> None:
    """Without the notes on where in the program nodes come from, which hold paths of this machine."""
    model = onnx.load(path, load_external_data=False)
    model.doc_string = ""
    del model.metadata_props[:]
    for node in model.graph.node:
        node.doc_string = ""
        del node.metadata_props[:]
    for value in (*model.graph.value_info, *model.graph.input, *model.graph.output, *model.graph.initializer):
        if hasattr(value, "metadata_props"):
            del value.metadata_props[:]
    del model.graph.value_info[:]
    del model.graph.metadata_props[:]
    path.write_bytes(model.SerializeToString())


def by_hand(name: str, opset: int, nodes: list[Any], shape: list[Any], arrays: Arrays, **weights: np.ndarray) -> None:
    """A model of nodes as an older opset has them, answered by ONNX Runtime."""
    graph = helper.make_graph(
        nodes, name, [helper.make_tensor_value_info("x", TensorProto.FLOAT, shape)],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, None)],
        [numpy_helper.from_array(array, key) for key, array in weights.items()],
    )  # fmt: skip
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=4)
    (HERE / f"{name}.onnx").write_bytes(model.SerializeToString())
    x = np.random.default_rng(opset).standard_normal([n if isinstance(n, int) else 2 for n in shape]).astype(np.float32)
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    arrays[f"{name}/x"] = x
    arrays[f"{name}/out0"] = session.run(None, {"x": x})[0]


def old_forms(arrays: Arrays) -> None:
    """Operators whose form has changed since."""
    make: Callable[..., Any] = helper.make_node
    by_hand(
        "opset7", 7,
        [
            make("Slice", ["x"], ["a"], starts=[0, 1], ends=[2, -1], axes=[2, 3]),
            make("Clip", ["a"], ["b"], min=-0.5, max=0.5),
            make("Upsample", ["b"], ["c"], mode="nearest", scales=[1.0, 1.0, 2.0, 3.0]),
            make("Dropout", ["c"], ["d"], ratio=0.5),
            make("Pad", ["d"], ["e"], pads=[0, 0, 1, 0, 0, 0, 0, 2], value=0.25),
            make("ReduceSum", ["e"], ["f"], axes=[2], keepdims=0),
            make("Unsqueeze", ["f"], ["g"], axes=[1]),
            make("Softmax", ["g"], ["h"], axis=2),
            make("Squeeze", ["h"], ["y"], axes=[1]),
        ],
        ["batch", 2, 4, 5], arrays,
    )  # fmt: skip
    by_hand(
        "opset10", 10,
        [
            make("Slice", ["x", "from", "to", "axes", "by"], ["a"]),
            make("Resize", ["a", "scales"], ["b"], mode="linear"),
            make("TopK", ["b", "k"], ["c", "at"], axis=3),
            make("LogSoftmax", ["c"], ["d"], axis=1),
            make("Split", ["d"], ["e", "f"], axis=1, split=[1, 1]),
            make("Sum", ["e", "f", "e"], ["y"]),
        ],
        [2, 2, 4, 6], arrays,
        **{"from": np.array([5]), "to": np.array([-7]), "axes": np.array([3]), "by": np.array([-2])},
        scales=np.array([1, 1, 2, 2], np.float32), k=np.array([3]),
    )  # fmt: skip
    by_hand(
        "opset12", 12,
        [
            make("ReduceMean", ["x"], ["a"], axes=[-1], keepdims=1),
            make("Sub", ["x", "a"], ["b"]),
            make("Pow", ["b", "two"], ["c"]),
            make("ReduceMean", ["c"], ["d"], axes=[-1], keepdims=1),
            make("Add", ["d", "eps"], ["e"]),
            make("Sqrt", ["e"], ["f"]),
            make("Div", ["b", "f"], ["g"]),
            make("Gemm", ["g", "w", "bias"], ["h"], transB=1),
            make("Einsum", ["h", "h"], ["y"], equation="ij,ik->ijk"),
        ],
        ["batch", 6], arrays,
        two=np.array(2, np.float32), eps=np.array(1e-5, np.float32),
        w=np.linspace(-1, 1, 24, dtype=np.float32).reshape(4, 6), bias=np.linspace(0, 1, 4, dtype=np.float32),
    )  # fmt: skip


PLAIN = set("?bBhHiIlLqQefdFDO")


def operators() -> Arrays:
    """The smallest two cases of each operator in the suite for backends that the onnx package brings."""
    sizes: dict[str, list[tuple[int, str, Arrays]]] = {}
    for case in collect_testcases(None):
        kinds = {node.op_type for node in case.model.graph.node}
        given = [(f"{place}{n}", value) for place, values in zip("io", case.data_sets[0], strict=True)
                 for n, value in enumerate(values)]  # fmt: skip
        plain = all(isinstance(value, np.ndarray) and value.dtype.char in PLAIN for _, value in given)
        if len(kinds) != 1 or not plain or case.name in EXCLUDED or "training_dropout" in case.name:
            continue
        model = np.frombuffer(case.model.SerializeToString(), np.uint8)
        texts = {place: value.astype("U") if value.dtype == object else value for place, value in given}
        arrays = {f"{case.name}/{place}": value for place, value in {"model": model, **texts}.items()}
        size = sum(array.nbytes for array in arrays.values())
        sizes.setdefault(next(iter(kinds)), []).append((size, case.name, arrays))
    chosen = [row for rows in sizes.values() for row in sorted(rows, key=lambda r: r[:2])[:2] if row[0] < 6000]
    return {name: array for _, _, arrays in chosen for name, array in arrays.items()}


def packed(arrays: Arrays) -> bytes:
    """Names and arrays by turns as np.save writes them, compressed as one: there are a thousand small ones."""
    stream = io.BytesIO()
    for name, array in arrays.items():
        np.save(stream, np.array(name))
        np.save(stream, array)
    return lzma.compress(stream.getvalue(), preset=9)


def main() -> None:
    """Make everything."""
    warnings.simplefilter("ignore")
    logging.disable(logging.WARNING)
    torch.manual_seed(3)
    HERE.mkdir(exist_ok=True)
    arrays: Arrays = {}
    pictures = torch.randn(2, 3, 16, 16)
    network = calibrated(Pictures(), torch.randn(8, 3, 16, 16))
    exported("pictures", network, pictures, arrays)
    exported("pictures_legacy", network, pictures, arrays, dynamo=False, opset_version=11)
    exported("pictures_external", network, pictures, arrays, external_data=True)
    words = Words().eval()
    exported("words", words, torch.randint(0, 20, (2, 6)), arrays)
    exported("words_legacy", words, torch.randint(0, 20, (2, 6)), arrays, dynamo=False, opset_version=17)
    series = Series().eval()
    exported("series", series, torch.randn(2, 7, 4), arrays)
    exported("series_legacy", series, torch.randn(2, 7, 4), arrays, dynamo=False, opset_version=14)
    exported("resized", Resized().eval(), torch.randn(2, 2, 4, 3), arrays, dynamo=False, opset_version=18)
    exported("looped", torch.jit.script(Looped()), torch.ones(2, 4), arrays, dynamo=False, opset_version=16)
    old_forms(arrays)
    np.savez_compressed(HERE / "expected.npz", **arrays)
    (HERE / "operators.xz").write_bytes(packed(operators()))


if __name__ == "__main__":
    main()
