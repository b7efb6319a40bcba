"""load(), which makes a module of a torch.export archive. Source: torch/export/pt2_archive/_package.py."""

from __future__ import annotations

import re
from typing import Any

from ..errors import FormatError, MissingOperatorsError
from ..formats.detection import PT2, detect
from ..formats.elements import ELEMENTS as BITS
from ..formats.limits import DEFAULT, Limits, quote
from ..formats.mapping import FilePath, map_file
from ..formats.results import RawTensor, to_tensor
from ..formats.storage import Storage, TensorRecord
from ..formats.zip import Archive
from ..garbage import without_collections
from ..nn.parameter import Parameter
from ..tensor import Tensor
from .graphs import GraphCompiler
from .items import field, integer, need, only, parsed
from .program import ExportedProgram, Input, Signature
from .schema import ELEMENTS, MAJOR, STRIDED
from .trees import Tree, read_tree

_AGAIN = "save it again with torch.export.save() of PyTorch 2.8 or newer"
_MOST_JSON = 64 << 20
_SYMBOL = re.compile(r"Symbol\('(\w+)'[^()]*\)")


class ExportArchive:
    """Reads what torch.export.save writes; weights stay mapped in the file until they are written to."""

    def __init__(self, limits: Limits = DEFAULT) -> None:
        self._limits = limits

    def matches(self, path: FilePath) -> bool:
        """Whether the content is of this form."""
        return detect(path) == PT2

    def load(self, path: FilePath) -> ExportedProgram:
        """The program that was saved."""
        try:
            with without_collections():
                return _Reader(Archive(map_file(path), self._limits)).program()
        except FormatError as error:
            raise type(error)(f"torch.export: {error}") from error


def load(path: FilePath) -> ExportedProgram:
    """The program in a torch.export archive, as a module for inference. Source: torch.export.load.

    Raises: FormatError where the file is damaged, unsafe or of another schema; MissingOperatorsError, which names all
    of them, where the program asks for operators that the engine lacks.
    """
    try:
        return ExportArchive().load(path)
    except FormatError as error:
        raise type(error)(f"{path}: {error}") from error


class _Reader:
    """Reads one archive."""

    def __init__(self, archive: Archive) -> None:
        self._archive = archive
        if "serialized_exported_program.json" in archive.records:
            raise FormatError(f"the file was written by PyTorch 2.7 or older; {_AGAIN}")
        if archive.read("archive_format") != b"pt2":
            raise FormatError("the archive is none of torch.export's")
        if any("/data/aotinductor/" in name for name in archive.records):
            raise FormatError(
                "the package was compiled by AOTInductor: it holds machine code, which is not run; save the program "
                "itself with torch.export.save()"
            )
        self._name = self._model_name()
        self._storages: dict[str, Storage] = {}

    def program(self) -> ExportedProgram:
        """The program of the archive."""
        model = self._json(f"models/{self._name}.json")
        version = field(model, "schema_version", dict)
        if version.get("major") != MAJOR:
            met = quote(version.get("major"))
            raise FormatError(f"the program is of schema {met}, and {MAJOR} is known; {_AGAIN}")
        module = field(model, "graph_module", dict)
        weights, constants = self._tensors("weights"), self._tensors("constants")
        tensors = weights | constants
        missing: set[str] = set()
        compiled = GraphCompiler(missing).compiled(field(module, "graph", dict))
        if missing:
            raise MissingOperatorsError(
                f"the program uses operators that this engine lacks: {', '.join(sorted(missing))}"
            )
        signature = _signature(module, model)
        if len(compiled.inputs) != len(signature.state) + len(signature.inputs):
            raise FormatError("the graph has other inputs than its signature says")
        unknown = next((name for name in signature.state if name not in tensors), None)
        if unknown is not None:
            raise FormatError(f"the archive lacks the tensor {quote(unknown)}")
        wanted = {*signature.state, *(t for t in signature.mutations if isinstance(t, str))}
        state = {name: tensor for name, tensor in tensors.items() if name in wanted}
        return ExportedProgram(compiled, signature, state, frozenset(constants))

    def _model_name(self) -> str:
        start, end = f"{self._archive.root}/models/", ".json"
        names = [n[len(start) : -len(end)] for n in self._archive.records if n.startswith(start) and n.endswith(end)]
        if not names:
            raise FormatError("the archive holds no program")
        return "model" if "model" in names else names[0]

    def _json(self, record: str) -> dict[str, Any]:
        content = self._archive.read(record)
        if len(content) > _MOST_JSON:
            raise FormatError(f"{record} has {len(content)} bytes; at most {_MOST_JSON} are read")
        return parsed(content, record)

    def _tensors(self, kind: str) -> dict[str, Tensor]:
        """The tensors of `weights` or `constants` by name; those that are tied are one."""
        record = f"data/{kind}/{self._name}_{kind}_config.json"
        if record not in self._archive:
            return {}
        found: dict[str, Tensor] = {}
        same: dict[str, Tensor] = {}
        for name, entry in field(self._json(record), "config", dict).items():
            if not name or any(not part for part in name.split(".")):
                raise FormatError(f"a tensor is named {quote(name)}")
            key = f"{entry!r}"
            if key not in same:
                same[key] = self._tensor(f"data/{kind}", name, entry)
            found[name] = same[key]
        return found

    def _tensor(self, folder: str, name: str, entry: Any) -> Tensor:
        if field(entry, "use_pickle", bool):
            raise FormatError(f"tensor {quote(name)} is pickled; {_AGAIN}")
        meta = field(entry, "tensor_meta", dict)
        number = field(meta, "dtype", int)
        element = BITS.get(ELEMENTS.get(number, ""))
        if element is None or field(meta, "layout", int) != STRIDED:
            raise FormatError(f"tensor {quote(name)} is of dtype {number} or a layout that the engine does not have")
        path = f"{folder}/{field(entry, 'path_name', str)}"
        if path not in self._storages:
            data = self._archive.array(path)
            self._storages[path] = Storage(element, len(data) // element.itemsize, lambda: data)
        shape = tuple(integer(s, "a size") for s in field(meta, "sizes", list))
        strides = tuple(integer(s, "a stride") for s in field(meta, "strides", list))
        offset = integer(field(meta, "storage_offset", dict), "an offset")
        storage = self._storages[path]
        if storage.element is not element:
            raise FormatError(f"tensor {quote(name)} shares a record with one of another dtype")
        tensor = to_tensor(TensorRecord(storage, offset, shape, strides, element))
        if isinstance(tensor, RawTensor):
            raise FormatError(f"tensor {quote(name)} is of {tensor.dtype}, which the engine cannot compute with")
        return Parameter(tensor, requires_grad=False) if field(entry, "is_param", bool) else tensor


# The signature

_STATE = {"parameter": "parameter_name", "buffer": "buffer_name", "tensor_constant": "tensor_constant_name"}


def _signature(module: dict[str, Any], model: dict[str, Any]) -> Signature:
    graph, signature = field(module, "graph", dict), field(module, "signature", dict)
    values = field(graph, "tensor_values", dict)
    state: list[str] = []
    inputs: list[Input] = []
    for spec in field(signature, "input_specs", list):
        kind, content = only(spec, "an input")
        if kind in _STATE and not inputs:
            state.append(field(content, _STATE[kind], str))
        elif kind == "user_input":
            inputs.append(_input(field(content, "arg", dict), values))
        else:
            raise FormatError(f"an input of kind {quote(kind)}, which programs do not have here")
    names = [i.name for i in inputs]
    mutations: list[str | int] = []
    for spec in field(signature, "output_specs", list):
        kind, content = only(spec, "an output")
        if kind == "buffer_mutation":
            mutations.append(field(content, "buffer_name", str))
        elif kind == "user_input_mutation":
            target = field(content, "user_input_name", str)
            mutations.append(names.index(target) if target in names else -1)
        elif kind != "user_output":
            raise FormatError(f"an output of kind {quote(kind)}, which programs do not have here")
    call = field(field(module, "module_call_graph", list)[0], "signature", dict)
    fields = module.get("treespec_namedtuple_fields") or {}
    fields = {
        k: v.get("field_names", ()) if isinstance(v, dict) else v for k, v in need(fields, dict, "fields").items()
    }
    given = read_tree(field(call, "in_spec", str), fields)
    if given.size != len(inputs) or len(given.parts) != 2 or given.kind != "builtins.tuple":
        raise FormatError("the program takes other values than its graph")
    result = read_tree(field(call, "out_spec", str), fields)
    _check_outputs(result, len(field(graph, "outputs", list)) - len(mutations))
    known = call.get("forward_arg_names")
    order = tuple(n for n in known if type(n) is str) if isinstance(known, list) else ()
    ranges = _ranges(model.get("range_constraints"))
    return Signature(tuple(state), tuple(inputs), tuple(mutations), given, order, result, ranges)


def _check_outputs(result: Tree, count: int) -> None:
    if result.size != count:
        raise FormatError("the program gives other values than its graph")


def _input(arg: dict[str, Any], values: dict[str, Any]) -> Input:
    kind, content = only(arg, "an input")
    if kind != "as_tensor":
        constant = None if kind == "as_none" else content
        return Input("a constant", constant=constant if isinstance(constant, (int, float, str, bool)) else None)
    name = field(content, "name", str)
    meta = field(values, name, dict)
    shape = tuple(_size(size) for size in field(meta, "sizes", list))
    return Input(name, shape, ELEMENTS.get(field(meta, "dtype", int), ""))


def _size(size: Any) -> int | str:
    """A size, or the text of the expression that it follows."""
    kind, content = only(size, "a size")
    if kind == "as_int":
        return need(content, int, "a size")
    return _SYMBOL.sub(r"\1", field(content, "expr_str", str)) if kind == "as_expr" else "?"


def _ranges(constraints: Any) -> dict[str, tuple[int, int]]:
    """The least and the greatest of the sizes that are free."""
    found = {}
    for name, bounds in (constraints or {}).items() if isinstance(constraints, dict) else ():
        low, high = (bounds.get(k) if isinstance(bounds, dict) else None for k in ("min_val", "max_val"))
        # Sizes of 0 and 1 are told apart while exporting, so that 2 is the least of those that may be any.
        found[name] = (low if type(low) is int and low > 2 else 0, high if type(high) is int else 1 << 62)
    return found
