"""Files that were converted, loaded by those whose formats they are."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from numserve.engine.conversion import convert, input_of

pytestmark = [pytest.mark.oracle, pytest.mark.filterwarnings("ignore")]
torch = pytest.importorskip("torch")
INPUT = np.random.default_rng(3).standard_normal((3, 3, 12, 12)).astype(np.float32)


class Network(torch.nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv = torch.nn.Conv2d(3, 4, 3, padding=1)
        self.norm = torch.nn.BatchNorm2d(4)
        self.last = torch.nn.Linear(4, 5)

    def forward(self, x):  # type: ignore[no-untyped-def]
        return self.last(torch.relu(self.norm(self.conv(x))).mean((2, 3)))


@pytest.fixture
def network():  # type: ignore[no-untyped-def]
    torch.manual_seed(0)
    return Network().eval()


@pytest.fixture
def sources(network, tmp_path: Path) -> dict[str, Path]:  # type: ignore[no-untyped-def]
    """The network in every form of programs that torch writes."""
    paths = {name: tmp_path / f"source.{name}" for name in ("pt", "pt2")}
    example = torch.from_numpy(INPUT[:2])
    torch.jit.script(network).save(str(paths["pt"]))
    torch.export.save(
        torch.export.export(network, (example,), dynamic_shapes=({0: torch.export.Dim("n")},)), paths["pt2"]
    )
    return paths


@pytest.mark.parametrize("form", ["pt", "pt2"])
def test_onnxruntime_runs_what_was_a_program_of_torch(form: str, network, sources, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    runtime = pytest.importorskip("onnxruntime")
    convert(sources[form], tmp_path / "out.onnx", examples=[input_of("3,12,12")])
    session = runtime.InferenceSession(tmp_path / "out.onnx")
    (met,) = session.run(None, {session.get_inputs()[0].name: INPUT})
    np.testing.assert_allclose(met, network(torch.from_numpy(INPUT)).detach().numpy(), rtol=1e-4, atol=1e-5)


def test_torch_loads_what_was_onnx(network, sources, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    convert(sources["pt2"], tmp_path / "middle.onnx")
    convert(tmp_path / "middle.onnx", tmp_path / "out.pt")
    met = torch.jit.load(str(tmp_path / "out.pt"))(torch.from_numpy(INPUT))
    np.testing.assert_allclose(met.numpy(), network(torch.from_numpy(INPUT)).detach().numpy(), rtol=1e-4, atol=1e-5)


def test_torch_and_safetensors_load_the_weights(network, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    safetensors = pytest.importorskip("safetensors.torch")
    torch.save({"state_dict": network.state_dict(), "epoch": 1}, tmp_path / "in.pth")
    convert(tmp_path / "in.pth", tmp_path / "middle.safetensors")
    convert(tmp_path / "middle.safetensors", tmp_path / "out.pth")
    for found in (
        safetensors.load_file(tmp_path / "middle.safetensors"),
        torch.load(tmp_path / "out.pth", weights_only=True),
    ):
        assert found.keys() == network.state_dict().keys()
        assert all(torch.equal(found[name], tensor) for name, tensor in network.state_dict().items())
