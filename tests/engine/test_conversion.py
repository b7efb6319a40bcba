"""Files written in other forms: what is in them stays, what cannot be is refused, and nothing is left half done."""

from __future__ import annotations

from collections import OrderedDict
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
from numserve.engine import Tensor, conversion, formats, jit, models, nn
from numserve.engine.conversion import convert
from numserve.engine.errors import FormatError
from numserve.engine.formats import RawTensor
from numserve.engine.graph import capture
from numserve.engine.onnx.exporter import write

EXPORTED = Path(__file__).parent.parent / "data" / "export"
INPUT = np.random.default_rng(3).standard_normal((3, 3, 6, 6)).astype(np.float32)


@pytest.fixture
def network() -> nn.Module:
    return nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.Flatten(), nn.Linear(64, 5)).eval()


@pytest.fixture
def weights(network: nn.Module, tmp_path: Path) -> Path:
    formats.save(network.state_dict(), tmp_path / "weights.pth")
    return tmp_path / "weights.pth"


@pytest.fixture
def program(network: nn.Module, tmp_path: Path) -> Path:
    jit.trace(network, Tensor(INPUT)).save(tmp_path / "program.pt")
    return tmp_path / "program.pt"


def same_state(path: Path, network: nn.Module) -> bool:
    found, expected = formats.load(path), network.state_dict()
    return set(found) == set(expected) and all(np.array_equal(found[n].array, expected[n].array) for n in found)


def test_weights_go_from_form_to_form(weights: Path, network: nn.Module, tmp_path: Path) -> None:
    done = convert(weights, tmp_path / "a.safetensors")
    convert(tmp_path / "a.safetensors", tmp_path / "b.pth")

    assert (done.source, done.target, done.tensors, done.notes) == ("checkpoint", "safetensors", 9, ())
    assert done.bytes == (tmp_path / "a.safetensors").stat().st_size
    assert same_state(tmp_path / "b.pth", network)
    assert formats.read_metadata(tmp_path / "a.safetensors") == {"format": "pt"}


def test_the_text_beside_tensors_is_kept(tmp_path: Path) -> None:
    formats.save_file({"w": Tensor(np.ones(2))}, tmp_path / "a.safetensors", {"by": "me"})
    convert(tmp_path / "a.safetensors", tmp_path / "b.safetensors")
    assert formats.read_metadata(tmp_path / "b.safetensors") == {"by": "me"}


def test_a_training_checkpoint_gives_its_state_dict_and_says_what_it_leaves(network: nn.Module, tmp_path: Path) -> None:
    formats.save({"state_dict": network.state_dict(), "epoch": 3, "best": 0.5}, tmp_path / "training.pth")
    done = convert(tmp_path / "training.pth", tmp_path / "weights.safetensors")
    assert same_state(tmp_path / "weights.safetensors", network)
    assert done.notes == ("left out: epoch, best",)


@pytest.mark.parametrize("ending", [".pt", ".onnx", ".graph"])
def test_a_program_goes_through_every_form(ending: str, program: Path, network: nn.Module, tmp_path: Path) -> None:
    first, second = tmp_path / f"first{ending}", tmp_path / "second.onnx"

    convert(program, first, examples=[conversion.input_of("3,6,6")])
    convert(first, second, examples=[Tensor(INPUT)] if ending == ".pt" else [])

    expected = network(Tensor(INPUT)).array
    for path in (first, second):
        np.testing.assert_allclose(formats.load(path)(Tensor(INPUT)).array, expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("ending", [".pt", ".onnx"])
def test_torch_export_is_read_with_the_sizes_that_it_declares(ending: str, tmp_path: Path) -> None:
    source = EXPORTED / "convolutions.pt2"
    done = convert(source, tmp_path / f"out{ending}")
    assert done.source == "torch.export"
    assert isinstance(formats.load(tmp_path / f"out{ending}"), nn.Module)


def test_the_weights_of_a_program_are_taken_out(program: Path, network: nn.Module, tmp_path: Path) -> None:
    done = convert(program, tmp_path / "weights.safetensors")
    assert same_state(tmp_path / "weights.safetensors", network)
    assert done.notes == ("the program is left out",)


def test_weights_become_a_program_by_a_network_of_the_engine(tmp_path: Path) -> None:
    network = models.squeezenet1_1().eval()
    formats.save(network.state_dict(), tmp_path / "weights.pth")
    example = conversion.input_of("3,64,64")

    convert(tmp_path / "weights.pth", tmp_path / "out.onnx", network="squeezenet1_1", examples=[example])

    expected = network(example).array
    np.testing.assert_allclose(formats.load(tmp_path / "out.onnx")(example).array, expected, rtol=1e-3, atol=1e-4)


def test_a_program_for_one_batch_says_so(tmp_path: Path) -> None:
    class Pairs(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return x.reshape(2, 108)

    jit.trace(Pairs().eval(), Tensor(INPUT[:2])).save(tmp_path / "pairs.pt")
    done = convert(tmp_path / "pairs.pt", tmp_path / "pairs.onnx", examples=[Tensor(INPUT[:2])])
    assert done.notes[0].startswith("it is for a batch of 2 alone")


def test_a_file_of_sizes_that_are_all_given_says_so(tmp_path: Path) -> None:
    write(capture(nn.Flatten().eval(), Tensor(INPUT[:2])).at(2), tmp_path / "fixed.onnx")

    done = convert(tmp_path / "fixed.onnx", tmp_path / "out.graph")

    assert done.notes == ("it is for the sizes in the file alone: none is open",)


def test_frozen_weights_are_not_left_out_unseen(tmp_path: Path) -> None:
    frozen = Path(__file__).parent.parent / "data" / "torchscript" / "convolutions_frozen.pt"

    with pytest.raises(FormatError, match=r"no weights by names.*can become \.pt, \.onnx, \.graph"):
        convert(frozen, tmp_path / "out.pth")

    assert not (tmp_path / "out.pth").exists()


@pytest.mark.parametrize(
    ("target", "options", "reason"),
    [
        ("out.onnx", {}, "holds weights and no program"),
        ("out.pt", {}, "holds weights and no program"),
        ("out.pt", {"network": "resnet8"}, "did you mean 'resnet18'"),
        ("out.pth", {"network": "resnet18"}, "not needed"),
        ("out.pt2", {}, "read, never written"),
        ("out.bin", {}, "expected .pth"),
        ("out", {}, "expected .pth"),
    ],
)
def test_what_cannot_be_says_why(target: str, options: dict[str, str], reason: str, weights: Path) -> None:
    with pytest.raises(FormatError, match=reason):
        convert(weights, weights.parent / target, network=options.get("network"))
    assert [path.name for path in weights.parent.iterdir()] == ["weights.pth"]


def test_a_program_that_does_not_know_its_inputs_asks_for_an_example(program: Path, tmp_path: Path) -> None:
    with pytest.raises(FormatError, match="--input 3,224,224"):
        convert(program, tmp_path / "out.onnx")


def test_a_program_that_keeps_state_is_no_graph(tmp_path: Path) -> None:
    with pytest.raises(FormatError, match="cannot be written as ONNX: runs eager"):
        convert(EXPORTED / "choosing.pt2", tmp_path / "out.onnx")


def test_a_file_that_gives_other_results_is_not_left(
    program: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(conversion, "agree", lambda met, expected: False)
    (tmp_path / "out.onnx").write_bytes(b"before")

    with pytest.raises(FormatError, match="other results"):
        convert(program, tmp_path / "out.onnx", examples=[Tensor(INPUT)])

    assert (tmp_path / "out.onnx").read_bytes() == b"before"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["out.onnx", "program.pt"]


def test_values_that_a_form_has_no_word_for_are_all_named(tmp_path: Path) -> None:
    state = OrderedDict(a=Tensor(np.ones(2)), b_extra_state={"n": 1}, c_extra_state=2)
    formats.save(state, tmp_path / "a.pth")
    convert(tmp_path / "a.pth", tmp_path / "b.pth")
    with pytest.raises(FormatError, match=r"2 of the 3 values: 'b_extra_state' \(dict\), 'c_extra_state' \(int\)"):
        convert(tmp_path / "a.pth", tmp_path / "b.safetensors")


def test_bits_of_types_without_values_stay_as_they_are(tmp_path: Path) -> None:
    raw = RawTensor("float8_e4m3fn", (3,), np.array([1, 200, 255], np.uint8))
    formats.save_file({"w": raw}, tmp_path / "a.safetensors")
    convert(tmp_path / "a.safetensors", tmp_path / "b.safetensors")
    found = formats.load(tmp_path / "b.safetensors")["w"]
    assert (found.dtype, found.bits.tolist()) == ("float8_e4m3fn", [1, 200, 255])


def test_the_bar_is_told_all_bytes_in_parts(weights: Path, tmp_path: Path) -> None:
    totals, steps = [], []

    @contextmanager
    def bar(total: int):  # type: ignore[no-untyped-def]
        totals.append(total)
        yield steps.append

    convert(weights, tmp_path / "out.safetensors", bar=bar)

    assert totals[0] < sum(steps) == (tmp_path / "out.safetensors").stat().st_size


@pytest.mark.parametrize(
    ("text", "shape", "dtype"),
    [
        ("3,6,6", (2, 3, 6, 6), "float32"),
        ("16:int64", (2, 16), "int64"),
        (":bool", (2,), "bool"),
        ("", (2,), "float32"),
    ],
)
def test_inputs_are_told_without_their_batch(text: str, shape: tuple[int, ...], dtype: str) -> None:
    made = conversion.input_of(text)
    assert (made.array.shape, made.dtype.name) == (shape, dtype)


@pytest.mark.parametrize("text", ["3x224", "3,-1", "3:int5", "224,a"])
def test_other_shapes_are_refused(text: str) -> None:
    with pytest.raises(FormatError, match=r"no shape|inputs of"):
        conversion.input_of(text)


def test_examples_are_read_from_arrays_and_tensors(tmp_path: Path) -> None:
    np.save(tmp_path / "one.npy", INPUT)
    np.savez(tmp_path / "two.npz", a=INPUT, b=INPUT[:1])
    formats.save([Tensor(INPUT)], tmp_path / "list.pth")
    np.save(tmp_path / "objects.npy", np.array([{}], object))

    shapes = [[t.shape for t in conversion.read_examples(tmp_path / n)] for n in ("one.npy", "two.npz", "list.pth")]

    assert shapes == [[(3, 3, 6, 6)], [(3, 3, 6, 6), (1, 3, 6, 6)], [(3, 3, 6, 6)]]
    with pytest.raises(FormatError, match="holds no example"):
        conversion.read_examples(tmp_path / "objects.npy")
