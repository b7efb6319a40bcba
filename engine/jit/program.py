"""Program, all functions and classes of an archive by their names, compiled."""

from __future__ import annotations

import ast
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ..aten import find
from ..errors import FormatError, MissingOperatorsError
from ..formats.limits import quote
from ..garbage import without_collections
from .compiler import compile_function, parameters_of
from .expressions import literal
from .functions import Function
from .syntax import MOST_TEXT, chain, number_on, outline, parse
from .values import Member, ScriptClass, tuple_type
from .watching import counted

_KINDS = {
    "Module": "module",
    "NamedTuple": "tuple",
    "Enum": "enum",
    "Interface": "interface",
    "ModuleInterface": "interface",
}
_NEWEST = 10  # the newest version of operators that is known. Source: caffe2/serialize/versions.h


_LISTS = {
    "__parameters__": "parameters",
    "__buffers__": "buffers",
    "__forward_pre_hooks__": "pre_hooks",
    "__forward_hooks__": "hooks",
}


@dataclass(frozen=True)
class _Body:
    """A function that waits for all names to be known."""

    node: ast.FunctionDef
    function: Function
    file: str


class Program:
    """What an archive's code defines. `texts` are its files by the names of the modules they are ("__torch__.a.b").

    Raises: FormatError where the code is no TorchScript; MissingOperatorsError, with all names, where it asks for
    operators that the engine lacks.
    """

    def __init__(self, texts: Mapping[str, bytes] | None, constants: Sequence[Any], version: int) -> None:
        self.constants, self.version = constants, version
        self.declared: dict[str, ScriptClass] = {}  # classes that were made before their code was read
        self._texts: dict[str, bytes] = {}
        if texts is not None:
            self.compile(texts)

    @property
    def texts(self) -> dict[str, bytes]:
        """The code's files by the names of the modules that they are."""
        return self._texts

    def compile(self, texts: Mapping[str, bytes]) -> None:
        """Compile all of the code."""
        with without_collections():
            self._compile(dict(texts))
        self._texts = dict(texts)

    def _compile(self, texts: Mapping[str, bytes]) -> None:
        if sum(map(len, texts.values())) > MOST_TEXT:
            raise FormatError(f"the program is longer than {MOST_TEXT} bytes; no model's is")
        self._counts = any(b"NumToTensor" in text for text in texts.values())
        self._missing: set[str] = set()
        self._known: dict[str, Any] = {}
        trees: dict[bytes, list[ast.stmt]] = {}
        bodies = [body for name, text in texts.items() for body in self._defined(name, text, trees)]
        compiled: dict[int, Function] = {}
        for body in bodies:
            like = compiled.setdefault(id(body.node), body.function)
            if like is body.function:
                compile_function(body.node, body.function, self, body.file)
            else:
                body.function.run_as(like)
        if self._missing:
            raise MissingOperatorsError(
                f"the program uses operators that this engine lacks: {', '.join(sorted(self._missing))}"
            )

    def resolve(self, name: str) -> Any:
        """The function, class or enum member of a dotted name. Raises: FormatError where there is none."""
        if name in self._known:
            return self._known[name]
        owner, _, last = name.rpartition(".")
        cls = self._known.get(owner)
        if isinstance(cls, ScriptClass):
            if last in cls.members:
                return cls.members[last]
            if last in cls.methods:
                return cls.methods[last]
        if name.startswith("__torch__.torch.classes."):
            raise FormatError(
                f"the program needs {quote(name[10:])}, which is machine code inside PyTorch; not read here"
            )
        raise FormatError(f"the program names {quote(name)}, which it does not hold")

    def operator(self, name: str) -> Callable[..., Any]:
        """The row of an operator, as this program's version means it; one that is missing is noted."""
        function = find(name, self.version)
        if function is None:
            self._missing.add(quote(name)[1:-1])
            return _unknown
        return counted(function) if self._counts else function

    def constant(self, number: int) -> Any:
        """An entry of constants.pkl."""
        if number >= len(self.constants):
            raise FormatError(f"the program asks for constant {number} of {len(self.constants)}")
        return self.constants[number]

    def class_of(self, name: str) -> ScriptClass:
        """A class by its full name."""
        cls = self.resolve(name)
        if not isinstance(cls, ScriptClass):
            raise FormatError(f"{quote(name)} is no class")
        return cls

    def __deepcopy__(self, memo: dict[int, Any]) -> Program:
        return self

    # What files define

    def _defined(self, module: str, text: bytes, trees: dict[bytes, list[ast.stmt]]) -> Iterator[_Body]:
        """Enter what a file defines; functions are given back to be compiled later. Files alike have one tree."""
        file = f"code/{module.replace('.', '/')}.py"
        key = outline(text)
        lines = text.split(b"\n") if key in trees else []
        if key not in trees:
            trees[key] = parse(text, file)
        for node in trees[key]:
            if isinstance(node, ast.FunctionDef):
                yield self._function(node, f"{module}.{node.name}", file)
            elif isinstance(node, ast.ClassDef):
                yield from self._class(node, f"{module}.{node.name}", file, lines)
            elif not isinstance(node, (ast.Assign, ast.Pass)):  # older files begin with op_version_set = …
                raise FormatError(f"{file}:{node.lineno}: {type(node).__name__} where functions and classes belong")

    def _enter(self, name: str, value: Any) -> None:
        if name in self._known:
            raise FormatError(f"the program defines {quote(name)} twice")
        self._known[name] = value

    def _function(self, node: ast.FunctionDef, name: str, file: str) -> _Body:
        function = Function(name, parameters_of(node, file), file)
        self._enter(name, function)
        return _Body(node, function, file)

    def _class(self, node: ast.ClassDef, name: str, file: str, lines: Sequence[bytes]) -> Iterator[_Body]:
        """Enter a class. `lines` are those of the file where the tree is another's that is alike."""
        base = node.bases[0].id if node.bases and isinstance(node.bases[0], ast.Name) else ""
        if len(node.bases) > 1 or node.keywords or node.decorator_list or (node.bases and base not in _KINDS):
            raise FormatError(f"{file}:{node.lineno}: class {quote(node.name)} is of no kind that is known")
        declared = self.declared.get(name)
        cls = declared or ScriptClass(name, _KINDS.get(base, "object"))
        self._enter(name, cls)
        defaults: list[Any] = []
        for part in node.body:
            if isinstance(part, ast.FunctionDef):
                if cls.kind == "interface":
                    continue
                function = declared and declared.methods.get(part.name)
                function = function or Function(f"{name}.{part.name}", ())
                function.parameters, function.file = tuple(parameters_of(part, file)), file
                cls.methods[part.name] = function
                yield _Body(part, function, file)
            elif isinstance(part, ast.AnnAssign):
                _declare(cls, part, file, defaults, lines)
            elif isinstance(part, ast.Assign):
                _assign(cls, part, file)
            elif not isinstance(part, ast.Pass):
                raise FormatError(f"{file}:{part.lineno}: {type(part).__name__} in a class")
        if cls.kind == "tuple":
            cls.tuple_type = tuple_type(name, tuple(cls.types), tuple(defaults))


def _declare(cls: ScriptClass, node: ast.AnnAssign, file: str, defaults: list[Any], lines: Sequence[bytes]) -> None:
    """`name : Type`, or `name : Final[Type] = value`."""
    if not isinstance(node.target, ast.Name):
        raise FormatError(f"{file}:{node.lineno}: a declaration of something other than a name")
    name = node.target.id
    if node.value is None:
        cls.types[name] = node.annotation
    elif cls.kind == "tuple":
        cls.types[name] = node.annotation
        defaults.append(literal(node.value, file))
    else:
        number = number_on(lines[node.lineno - 1]) if lines else None
        cls.constants[name] = literal(node.value, file) if number is None else number


def _assign(cls: ScriptClass, node: ast.Assign, file: str) -> None:
    """`__parameters__ = […]`, `__annotations__["0"] = Type`, or a member of an enum."""
    target = node.targets[0]
    if isinstance(target, ast.Subscript) and chain(target.value) == ["__annotations__"]:
        name = literal(target.slice, file)
        cls.types[str(name)] = node.value
        return
    if len(node.targets) != 1 or not isinstance(target, ast.Name):
        raise FormatError(f"{file}:{node.lineno}: an assignment to something other than a name in a class")
    value = literal(node.value, file)
    if target.id in _LISTS:
        if not isinstance(value, list) or not all(type(v) is str for v in value):
            raise FormatError(f"{file}:{node.lineno}: {target.id} is no list of names")
        setattr(cls, _LISTS[target.id], tuple(value))
    elif cls.kind == "enum":
        cls.members[target.id] = Member(cls, target.id, value)
    elif not target.id.startswith("__"):
        cls.constants[target.id] = value


def _unknown(*_: Any, **__: Any) -> None:
    """Stands for a missing operator until all of them are known."""
