"""Module, the base of all layers and models: it knows its parameters, buffers and parts by name."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Iterator, Mapping
from typing import Any, NoReturn, Self

from ..device import require_cpu
from ..dtype import DType, bfloat16, cast, float16, float32, float64
from ..errors import DtypeError, EngineError
from ..tensor import Tensor
from . import state
from .changes import CHANGES
from .hooks import Hook, Hooks, RemovableHandle, after_forward, before_forward, register
from .parameter import Buffer, Parameter
from .state import IncompatibleKeys


class Module:
    """A layer or model. A subclass calls super().__init__(), assigns its parts, and defines forward()."""

    _version = 1
    training: bool
    _parameters: dict[str, Parameter | None]
    _buffers: dict[str, Tensor | None]
    _modules: dict[str, Module | None]
    _transient_buffers: set[str]
    _forward_hooks: Hooks
    _forward_pre_hooks: Hooks

    def __init__(self) -> None:
        vars(self).update(
            training=True, _parameters={}, _buffers={}, _modules={}, _transient_buffers=set(),
            _forward_hooks={}, _forward_pre_hooks={},
        )  # fmt: skip

    def _forward_missing(self, *args: Any, **kwargs: Any) -> NoReturn:
        raise NotImplementedError(f"{type(self).__name__} has no forward(); define one")

    forward: Callable[..., Any] = _forward_missing

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Call forward, with the hooks around it; errors of the engine are told the layer they come from."""
        try:
            if not self._forward_hooks and not self._forward_pre_hooks:
                return self.forward(*args, **kwargs)
            args, kwargs = before_forward(self._forward_pre_hooks, self, args, kwargs)
            result = self.forward(*args, **kwargs)
            return after_forward(self._forward_hooks, self, args, kwargs, result)
        except EngineError as error:
            self._locate(error)
            raise

    def _locate(self, error: EngineError) -> None:
        if error.module is None and not error.layer:
            error.module = self
        elif error.module is not None:
            error.layer = next((name for name, part in self.named_modules() if part is error.module), error.layer)

    # Registering

    def register_parameter(self, name: str, param: Parameter | None) -> None:
        """Add a parameter by name; None keeps the name without one."""
        self._check_name(name, self._parameters, "parameter")
        if param is not None and not isinstance(param, Parameter):
            raise TypeError(f"parameter {name!r}: expected a Parameter or None, met {type(param).__name__}")
        CHANGES.count += 1
        self._parameters[name] = param

    def register_buffer(self, name: str, tensor: Tensor | None, persistent: bool = True) -> None:
        """Add a tensor that is state but not trained; only a persistent one is part of state_dict()."""
        self._check_name(name, self._buffers, "buffer")
        if tensor is not None and not isinstance(tensor, Tensor):
            raise TypeError(f"buffer {name!r}: expected a Tensor or None, met {type(tensor).__name__}")
        CHANGES.count += 1
        self._buffers[name] = tensor
        self._transient_buffers.discard(name)
        if not persistent:
            self._transient_buffers.add(name)

    def register_module(self, name: str, module: Module | None) -> None:
        """Add a part by name; None keeps the name without one."""
        self._check_name(name, self._modules, "module")
        if module is not None and not isinstance(module, Module):
            raise TypeError(f"module {name!r}: expected a Module or None, met {type(module).__name__}")
        CHANGES.count += 1
        self._modules[name] = module

    add_module = register_module

    def _check_name(self, name: str, among: Mapping[str, Any], kind: str) -> None:
        if not isinstance(name, str) or not name or "." in name:
            raise KeyError(f"{name!r} cannot name a {kind}; expected a text that is not empty and holds no dot")
        if hasattr(self, name) and name not in among:
            raise KeyError(f"{type(self).__name__} has an attribute {name!r} already; the {kind} needs another name")

    def __setattr__(self, name: str, value: Any) -> None:
        CHANGES.count += 1
        kind = next((home for home, cls in _HOMES.items() if isinstance(value, cls)), None)
        if kind is not None and "_parameters" not in vars(self):
            raise AttributeError(f"cannot assign {name!r} before {type(self).__name__} calls super().__init__()")
        home = self._home(name)
        if kind is None and home is None:
            object.__setattr__(self, name, value)
        elif kind is not None:
            self._keep(name, value, kind, home)
        elif value is None or (home == "_buffers" and isinstance(value, Tensor)):
            vars(self)[home or ""][name] = value
        else:
            expected = _HOMES[home or ""].__name__
            raise TypeError(f"{name!r} of {type(self).__name__} is a {expected}; met {type(value).__name__}")

    def __getattr__(self, name: str) -> Any:
        home = self._home(name)
        if home is not None:
            return vars(self)[home][name]
        hint = "" if "_parameters" in vars(self) else "; its class must call super().__init__() first"
        raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}{hint}")

    def __delattr__(self, name: str) -> None:
        CHANGES.count += 1
        home = self._home(name)
        if home is None:
            object.__delattr__(self, name)
        else:
            del vars(self)[home][name]

    def _home(self, name: str) -> str | None:
        """The table that has the name."""
        attributes = vars(self)
        return next((home for home in _HOMES if name in attributes.get(home, ())), None)

    def _keep(self, name: str, value: Any, kind: str, home: str | None) -> None:
        """Register a parameter, buffer or part, in the place of whatever had the name."""
        if home is not None and home != kind:
            del vars(self)[home][name]
        vars(self).pop(name, None)
        if kind == "_parameters":
            self.register_parameter(name, value)
        elif kind == "_modules":
            self.register_module(name, value)
        else:
            self.register_buffer(name, value, value.persistent)

    # Looking around

    def children(self) -> Iterator[Module]:
        """The parts directly below, each once."""
        return (module for _, module in self.named_children())

    def named_children(self) -> Iterator[tuple[str, Module]]:
        """The parts directly below with their names, each once."""
        seen: set[Module] = set()
        for name, module in self._modules.items():
            if module is not None and module not in seen:
                seen.add(module)
                yield name, module

    def modules(self) -> Iterator[Module]:
        """This module and all below, each once."""
        return (module for _, module in self.named_modules())

    def named_modules(
        self, memo: set[Module] | None = None, prefix: str = "", remove_duplicate: bool = True
    ) -> Iterator[tuple[str, Module]]:
        """This module and all below with their dotted names; a shared one once unless told otherwise."""
        memo = set() if memo is None else memo
        if self in memo:
            return
        if remove_duplicate:
            memo.add(self)
        yield prefix, self
        for name, module in self._modules.items():
            if module is not None:
                yield from module.named_modules(memo, f"{prefix}.{name}" if prefix else name, remove_duplicate)

    def parameters(self, recurse: bool = True) -> Iterator[Parameter]:
        """The parameters of this module and of all below, each once."""
        return (parameter for _, parameter in self.named_parameters(recurse=recurse))

    def named_parameters(
        self, prefix: str = "", recurse: bool = True, remove_duplicate: bool = True
    ) -> Iterator[tuple[str, Parameter]]:
        """The parameters with their dotted names; a shared one once unless told otherwise."""
        return self._named("_parameters", prefix, recurse, remove_duplicate)

    def buffers(self, recurse: bool = True) -> Iterator[Tensor]:
        """The buffers of this module and of all below, each once."""
        return (buffer for _, buffer in self.named_buffers(recurse=recurse))

    def named_buffers(
        self, prefix: str = "", recurse: bool = True, remove_duplicate: bool = True
    ) -> Iterator[tuple[str, Tensor]]:
        """The buffers with their dotted names; a shared one once unless told otherwise."""
        return self._named("_buffers", prefix, recurse, remove_duplicate)

    def _named(self, table: str, prefix: str, recurse: bool, once: bool) -> Iterator[tuple[str, Any]]:
        seen: set[int] = set()
        owners = self.named_modules(prefix=prefix, remove_duplicate=once) if recurse else [(prefix, self)]
        for path, module in owners:
            for name, tensor in vars(module)[table].items():
                if tensor is None or (once and id(tensor) in seen):
                    continue
                seen.add(id(tensor))
                yield (f"{path}.{name}" if path else name), tensor

    def get_submodule(self, target: str) -> Module:
        """The part at a dotted name; the module itself for an empty one."""
        module: Any = self
        for name in target.split(".") if target else ():
            found = module._modules.get(name)
            if found is None:
                raise AttributeError(f"{type(module).__name__} has no part {name!r} (of {target!r}); {_known(module)}")
            module = found
        return module  # type: ignore[no-any-return]

    def get_parameter(self, target: str) -> Parameter:
        """The parameter at a dotted name."""
        path, _, name = target.rpartition(".")
        parameter = self.get_submodule(path)._parameters.get(name)
        if parameter is None:
            raise AttributeError(f"{type(self).__name__} has no parameter {target!r}")
        return parameter

    def get_buffer(self, target: str) -> Tensor:
        """The buffer at a dotted name."""
        path, _, name = target.rpartition(".")
        buffer = self.get_submodule(path)._buffers.get(name)
        if buffer is None:
            raise AttributeError(f"{type(self).__name__} has no buffer {target!r}")
        return buffer

    # Changing all at once

    def apply(self, fn: Callable[[Module], Any]) -> Self:
        """Call fn with every part and then with this module."""
        for module in self.children():
            module.apply(fn)
        fn(self)
        return self

    def train(self, mode: bool = True) -> Self:
        """Set training mode here and in all parts: it matters to dropout and batch norm."""
        for module in self.modules():
            module.training = mode
        return self

    def eval(self) -> Self:
        """Set inference mode here and in all parts."""
        return self.train(False)

    def requires_grad_(self, requires_grad: bool = True) -> Self:
        """Ask for gradients of all parameters, or stop asking."""
        for parameter in self.parameters():
            parameter.requires_grad_(requires_grad)
        return self

    def zero_grad(self, set_to_none: bool = True) -> None:
        """Forget the gradients, or set them to zero."""
        for parameter in self.parameters():
            if set_to_none or parameter.grad is None:
                parameter.grad = None
            else:
                parameter.grad = Tensor(parameter.grad.array * 0)

    def to(self, *args: Any, **kwargs: Any) -> Self:
        """Turn floating parameters and buffers into a dtype: to(dtype), to(device, dtype) or to(tensor)."""
        wanted = [*args, *(kwargs[key] for key in ("device", "dtype", "tensor") if key in kwargs)]
        for item in wanted:
            if isinstance(item, (DType, Tensor)):
                self._cast(item if isinstance(item, DType) else item.dtype)
            elif not isinstance(item, bool):
                require_cpu(item)
        return self

    def _cast(self, dtype: DType) -> Self:
        if not dtype.is_floating_point:
            raise DtypeError(f"to: parameters can only become floating point numbers; met {dtype.name}")
        for tensor in (*self.parameters(), *self.buffers()):
            if tensor.dtype.is_floating_point and tensor.dtype is not dtype:
                tensor.array = cast(tensor.array, dtype)
                tensor.grad = None if tensor.grad is None else Tensor(cast(tensor.grad.array, dtype))
        return self

    def float(self) -> Self:
        """Floating parameters and buffers as float32."""
        return self._cast(float32)

    def double(self) -> Self:
        """Floating parameters and buffers as float64."""
        return self._cast(float64)

    def half(self) -> Self:
        """Floating parameters and buffers as float16."""
        return self._cast(float16)

    def bfloat16(self) -> Self:
        """Floating parameters and buffers rounded to bfloat16."""
        return self._cast(bfloat16)

    def cpu(self) -> Self:
        """The module itself: it is there already."""
        return self

    def cuda(self, device: Any = None) -> Self:
        """Refused: there is no GPU in this engine."""
        require_cpu("cuda")
        return self

    # State

    def state_dict(
        self, destination: Any = None, prefix: str = "", keep_vars: bool = False
    ) -> OrderedDict[str, Tensor]:
        """Parameters and persistent buffers by dotted name, sharing memory with the module's own."""
        result: OrderedDict[str, Tensor] = OrderedDict() if destination is None else destination
        metadata = vars(result).setdefault("_metadata", OrderedDict())
        for path, module in self.named_modules(remove_duplicate=False):
            metadata[f"{prefix}{path}".rstrip(".")] = {"version": module._version}
        for name, tensor in state.named_state(self):
            result[prefix + name] = tensor if keep_vars else tensor.detach()
        return result

    def load_state_dict(
        self, state_dict: Mapping[str, Any], strict: bool = True, assign: bool = False
    ) -> IncompatibleKeys:
        """Take the values of a state dict; StateDictError lists every key that is missing, unexpected or mis-shaped.

        Values that lie in a mapped file are used where they lie until they are to be changed; others are copied.
        With `assign` the tensors of the dict themselves become the module's. Without `strict` only shapes must fit.
        """
        return state.load(self, state_dict, strict, assign)

    def _load_from_state_dict(
        self,
        state_dict: dict[str, Any],
        prefix: str,
        local_metadata: dict[str, Any],
        strict: bool,
        missing_keys: list[str],
        unexpected_keys: list[str],
        error_msgs: list[str],
    ) -> None:
        """Load what this module holds itself; a subclass may rename old keys in state_dict first."""
        state.load_part(self, state_dict, prefix, bool(local_metadata.get("assign")), missing_keys, error_msgs)

    def _own_state(self) -> Iterator[tuple[str, Tensor]]:
        for name, parameter in self._parameters.items():
            if parameter is not None:
                yield name, parameter
        for name, buffer in self._buffers.items():
            if buffer is not None and name not in self._transient_buffers:
                yield name, buffer

    # Hooks

    def register_forward_pre_hook(
        self, hook: Callable[..., Any], *, prepend: bool = False, with_kwargs: bool = False
    ) -> RemovableHandle:
        """Call hook(module, args) before forward; what it returns replaces the arguments."""
        return register(self._forward_pre_hooks, Hook(hook, with_kwargs), prepend)

    def register_forward_hook(
        self, hook: Callable[..., Any], *, prepend: bool = False, with_kwargs: bool = False
    ) -> RemovableHandle:
        """Call hook(module, args, result) after forward; what it returns replaces the result."""
        return register(self._forward_hooks, Hook(hook, with_kwargs), prepend)

    # Printing

    def extra_repr(self) -> str:
        """What stands between the brackets when a module without parts is printed."""
        return ""

    def __repr__(self) -> str:
        extra = self.extra_repr().splitlines()
        parts = [f"({name}): {_indented(repr(module))}" for name, module in self._modules.items()]
        if not parts and len(extra) <= 1:
            return f"{type(self).__name__}({''.join(extra)})"
        return f"{type(self).__name__}(\n  " + "\n  ".join(extra + parts) + "\n)"

    def __dir__(self) -> list[str]:
        return sorted({*super().__dir__(), *self._parameters, *self._buffers, *self._modules})


_HOMES: dict[str, type] = {"_parameters": Parameter, "_buffers": Buffer, "_modules": Module}


def _indented(text: str) -> str:
    return text.replace("\n", "\n  ")


def _known(module: Module) -> str:
    return f"its parts: {', '.join(module._modules) or 'none'}"
