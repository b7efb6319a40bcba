"""convert(), which writes what one file holds as a file of another form: weights, or a program with its weights."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import Any

import numpy as np

from . import formats, models
from .autograd import no_grad
from .dtype import DTYPES, of
from .errors import EngineError, FormatError
from .export import ExportedProgram
from .formats.mapping import FilePath
from .formats.writing import Progress, reporting, staged
from .graph import CaptureError, Graph, GraphModule, Imported, capture, save_graph
from .graph.capture import agree
from .graph.structure import take_apart
from .jit import ScriptModule
from .jit.tracing import program_of
from .nn.module import Module
from .onnx.exporter import write as write_onnx
from .tensor import Tensor

Bar = Callable[[int], AbstractContextManager[Progress]]
NETWORKS = [name for name in models.__all__ if name.islower()]

# Extension → what is written.
WEIGHTS = {".pth": "checkpoint", ".safetensors": "safetensors"}
PROGRAMS = {".pt": "TorchScript", ".onnx": "ONNX", ".graph": "graph"}
_NAMES = {
    "checkpoint-zip": "checkpoint", "checkpoint-legacy": "checkpoint (legacy form)", "safetensors": "safetensors",
    "graph": "graph", "torchscript": "TorchScript", "pt2": "torch.export", "onnx": "ONNX",
}  # fmt: skip


@dataclass(frozen=True)
class Conversion:
    """What came of it: the forms, how many tensors and bytes were written, and what there is to know."""

    source: str
    target: str
    tensors: int
    bytes: int
    notes: tuple[str, ...] = ()


@contextmanager
def silent(total: int) -> Iterator[Progress]:
    """No bar."""
    yield lambda count: None


def convert(
    source: FilePath,
    target: FilePath,
    *,
    network: str | None = None,
    examples: Sequence[Tensor] = (),
    bar: Bar = silent,
) -> Conversion:
    """Write what `source` holds, told by its content, in the form that the extension of `target` stands for.

    A file of weights becomes a program by a `network` of the engine's own models, by name. `examples` are inputs that
    the program is run with to see what it does; where they can be known without, they may be left out. A program is
    compared with what was written before the file takes its place; on an exception nothing has changed. `bar` is told
    the bytes to write, and then those written, part by part.
    Raises: FormatError for what cannot be converted, and why; what reading `source` raises.
    """
    form = _form_of(target)
    kind = formats.detect(source)
    loaded = formats.load(source)
    if network is not None and (form in WEIGHTS.values() or isinstance(loaded, Module)):
        what = f"{form} holds no program" if form in WEIGHTS.values() else f"{source} carries its own program"
        raise FormatError(f"the network {network!r} is not needed: {what}")
    if form in WEIGHTS.values():
        tensors, notes = _write_weights(source, kind, loaded, form, target, bar)
    else:
        module = loaded if isinstance(loaded, Module) else _network(source, kind, loaded, network, form)
        inputs = list(examples) or _usual_inputs(module, network)
        tensors, notes = _write_program(module.eval(), inputs, form, target, bar)
    return Conversion(_NAMES.get(kind, kind), form, tensors, Path(target).stat().st_size, tuple(notes))


def _form_of(target: FilePath) -> str:
    extension = Path(target).suffix.lower()
    if extension == ".pt2":
        raise FormatError(
            f"{target}: torch.export files are read, never written: only PyTorch makes them, each release its own; "
            "write .pt (TorchScript) or .onnx"
        )
    known = {**WEIGHTS, **PROGRAMS}
    if extension not in known:
        listed = ", ".join(f"{ending} ({form})" for ending, form in known.items())
        raise FormatError(f"{target}: the extension says what to write; expected {listed}")
    return known[extension]


# Weights


def _write_weights(
    source: FilePath, kind: str, loaded: Any, form: str, target: FilePath, bar: Bar
) -> tuple[int, list[str]]:
    state = formats.state_dict_of(loaded)
    if not state and isinstance(loaded, Module):
        listed = ", ".join(PROGRAMS)
        raise FormatError(f"{source} has no weights by names, as those of a frozen program; it can become {listed}")
    _refuse_unwritable(state, form)
    notes = []
    if isinstance(loaded, Module):
        notes.append("the program is left out")
    elif left := [str(name) for name, value in loaded.items() if not _is_kept(str(name), value, state)]:
        notes.append(f"left out: {', '.join(left)}")
    with bar(_bytes_of(state.values())) as progress, reporting(progress):
        if form == "checkpoint":
            formats.save(state, target)
        else:
            told = formats.read_metadata(source) if kind == "safetensors" else {"format": "pt"}
            formats.save_file(state, target, told)
    return len(state), notes


def _is_kept(name: str, value: Any, state: Mapping[str, Any]) -> bool:
    """Whether an entry of a checkpoint is in the state_dict, or holds it."""
    first = next(iter(state.values()), None)
    held = isinstance(value, Mapping) and any(item is first for item in value.values())
    return held or name.removeprefix("module.") in state


def _refuse_unwritable(state: Mapping[str, Any], form: str) -> None:
    writable = (Tensor, formats.RawTensor) if form == "safetensors" else (Tensor,)
    met = {
        name: getattr(value, "dtype", None) or type(value).__name__
        for name, value in state.items()
        if not isinstance(value, writable) and not (form == "checkpoint" and name.endswith("_extra_state"))
    }
    if met:
        shown = ", ".join(f"{name!r} ({kind})" for name, kind in list(met.items())[:5]) + ", …" * (len(met) > 5)
        raise FormatError(f"{form} cannot hold {len(met)} of the {len(state)} values: {shown}")


# Programs


def _network(source: FilePath, kind: str, loaded: Any, name: str | None, form: str) -> Module:
    """One of the engine's own models with the file's weights."""
    what = _NAMES.get(kind, kind)
    if name is None:
        raise FormatError(
            f"{source} is a {what} file: it holds weights and no program, and {form} is a form of programs. Name one "
            "of the engine's networks (--network resnet18), or convert a TorchScript, ONNX or torch.export file of the "
            "model, or load the weights into the model's class in Python and call onnx.export or jit.trace"
        )
    if name not in NETWORKS:
        near = get_close_matches(name, NETWORKS, n=1)
        raise FormatError(f"no network is called {name!r}" + (f"; did you mean {near[0]!r}?" if near else ""))
    module: Module = getattr(models, name)()
    module.load_state_dict(formats.state_dict_of(loaded))
    return module


def _write_program(
    module: Module, examples: Sequence[Tensor], form: str, target: FilePath, bar: Bar
) -> tuple[int, list[str]]:
    notes: list[str] = []
    with bar(_bytes_of(module.state_dict().values())) as progress, staged(target) as partial:
        if isinstance(module, ScriptModule) and form == "TorchScript":
            with reporting(progress):
                module.save(partial)
        else:
            graph = _captured(module, examples, form)
            if not graph.polymorphic:
                notes.append(f"it is {graph.note or 'for one batch alone'}")
            with reporting(progress):
                _write_graph(module, graph, form, partial)
            examples = examples or random_inputs(graph.at(2).inputs)
        if examples:
            _compare(module, formats.load(partial), examples, form)
    return len(module.state_dict()), notes


def _captured(module: Module, examples: Sequence[Tensor], form: str) -> Graph:
    try:
        return capture(module, *examples)
    except CaptureError as error:
        advice = "" if examples else "; give an example of the inputs (--input 3,224,224, or --example FILE)"
        raise FormatError(f"the program cannot be written as {form}: {error}{advice}") from error


def _write_graph(module: Module, graph: Graph, form: str, target: Path) -> None:
    if form == "ONNX":
        write_onnx(graph, target)
    elif form == "TorchScript":
        program_of(module, graph).save(target)
    else:
        save_graph(graph, target)


def _compare(module: Module, written: Module, examples: Sequence[Tensor], form: str) -> None:
    """Refuse a file that does not give what the program gives."""
    with no_grad():
        expected, met = (
            take_apart(each.eval()(*(Tensor(e.array.copy()) for e in examples)))[1] for each in (module, written)
        )
    if len(met) != len(expected) or not all(agree(m.array, e.array) for m, e in zip(met, expected, strict=True)):
        raise FormatError(f"the program gives other results when it is written as {form}; nothing was written")


# Inputs


def _usual_inputs(module: Module, network: str | None) -> list[Tensor]:
    """Inputs where nobody gave an example; none where the module itself knows, or where none are needed."""
    if network is not None:
        side = 299 if network.startswith("inception") else 224
        return [random_input((1, 3, side, side))]
    if isinstance(module, ExportedProgram):
        free = {size for given in module.declared for size in given.shape or () if isinstance(size, str)}
        if len(free) < 2 and all(given.shape is not None for given in module.declared):
            return [
                random_input(tuple(2 if isinstance(size, str) else size for size in given.shape or ()), given.dtype)
                for given in module.declared
            ]
    if isinstance(module, GraphModule):
        return random_inputs(module.graph.at(2).inputs)
    if isinstance(module, (Imported, ScriptModule)):
        return []
    raise FormatError(
        "which sizes the inputs have is not known; give an example (--input 3,224,224, or --example FILE)"
    )


def random_inputs(values: Sequence[Any]) -> list[Tensor]:
    """Inputs for a graph's."""
    return [random_input(value.shape, value.dtype.name) for value in values]


def random_input(shape: Sequence[int], dtype: str = "float32") -> Tensor:
    """Numbers around 0; of integers and bools 0 and 1, which are places in any table."""
    numbers = np.random.default_rng(0)
    name = "float32" if dtype == "bfloat16" else dtype
    if name not in DTYPES:
        raise FormatError(f"inputs of {dtype!r}; expected {', '.join(DTYPES)}")
    kind = DTYPES[name].numpy
    drawn = numbers.standard_normal(shape) if kind.kind in "fc" else numbers.integers(0, 2, shape)
    return Tensor(drawn.astype(kind))


def input_of(text: str) -> Tensor:
    """An input as the command line says it, without the batch: "3,224,224", "128:int64"."""
    sizes, _, dtype = text.partition(":")
    parts = [part.strip() for part in sizes.split(",") if part.strip()]
    if not all(part.isdecimal() for part in parts):
        raise FormatError(f"{text!r} is no shape; expected sizes without the batch, such as 3,224,224 or 128:int64")
    return random_input((2, *map(int, parts)), dtype or "float32")


def read_examples(path: FilePath) -> list[Tensor]:
    """The arrays of a .npy or .npz file, or the tensors of a file of weights, in their order."""
    if Path(path).suffix in (".npy", ".npz"):
        try:
            held = np.load(path, allow_pickle=False)
            arrays = [held] if isinstance(held, np.ndarray) else [held[name] for name in held.files]
            return [Tensor(array) for array in arrays if of(array)]
        except (OSError, ValueError, EngineError) as error:
            raise FormatError(f"{path} holds no example: {error}") from error
    return list(take_apart(formats.load(path))[1])


def _bytes_of(values: Any) -> int:
    return sum({id(array): array.nbytes for array in map(_array_of, values) if array is not None}.values())


def _array_of(value: Any) -> Any:
    return value.array if isinstance(value, Tensor) else getattr(value, "bits", None)


__all__ = ["NETWORKS", "PROGRAMS", "WEIGHTS", "Conversion", "convert", "input_of", "read_examples"]
