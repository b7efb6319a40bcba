"""Other dtypes, plain copies and filling: what concerns the memory rather than the numbers."""

from __future__ import annotations

from typing import Any, Self

import numpy as np

from ..device import device, require_cpu
from ..dtype import DType, bfloat16, bool_, float16, float32, float64, int8, int16, int32, int64, named, of, uint8
from ..errors import DeviceError, DtypeError
from ..ops.shape import overwrite
from ..ops.unary import cast
from .base import Methods
from .shape import sizes_of


class ConversionMethods(Methods):
    """Conversion to dtypes, and tensors of the same kind with other contents."""

    __slots__ = ()

    def to(self, *args: Any, **kwargs: Any) -> Self:
        """In another dtype, or on a device; itself where nothing changes. Source: torch.Tensor.to."""
        wanted: DType | None = kwargs.pop("dtype", None)
        where: Any = kwargs.pop("device", None)
        copy = bool(kwargs.pop("copy", False))
        kwargs.pop("non_blocking", None)
        kwargs.pop("memory_format", None)
        if kwargs:
            raise DtypeError(f"to: unknown arguments {', '.join(kwargs)}")
        for arg in args:
            if isinstance(arg, DType):
                wanted = arg
            elif isinstance(arg, Methods):
                wanted = of(arg.array)
            elif isinstance(arg, (str, device)):
                where = arg
            elif not isinstance(arg, (bool, type(None))):
                raise DtypeError(f"to: expected a dtype, a device or a tensor, met {type(arg).__name__}")
        require_cpu(where)
        changed = self if wanted is None else self._as(wanted)
        return changed.clone() if copy and changed is self else changed  # type: ignore[attr-defined]

    def _as(self, dtype: DType) -> Self:
        if dtype is not bfloat16 and dtype.numpy == self.array.dtype:
            return self
        return self._apply(cast, dtype=dtype)

    def type(self, dtype: Any = None) -> Any:
        """As a dtype; without one, the name of the present one. Source: torch.Tensor.type."""
        return of(self.array).name if dtype is None else self._as(named(dtype))

    def type_as(self, other: Self) -> Self:
        """In another tensor's dtype. Source: torch.Tensor.type_as."""
        return self._as(of(other.array))

    def float(self) -> Self:
        """As float32. Source: torch.Tensor.float."""
        return self._as(float32)

    def double(self) -> Self:
        """As float64. Source: torch.Tensor.double."""
        return self._as(float64)

    def half(self) -> Self:
        """As float16. Source: torch.Tensor.half."""
        return self._as(float16)

    def bfloat16(self) -> Self:
        """Rounded to bfloat16, kept as float32. Source: torch.Tensor.bfloat16."""
        return self._as(bfloat16)

    def long(self) -> Self:
        """As int64. Source: torch.Tensor.long."""
        return self._as(int64)

    def int(self) -> Self:
        """As int32. Source: torch.Tensor.int."""
        return self._as(int32)

    def short(self) -> Self:
        """As int16. Source: torch.Tensor.short."""
        return self._as(int16)

    def char(self) -> Self:
        """As int8. Source: torch.Tensor.char."""
        return self._as(int8)

    def byte(self) -> Self:
        """As uint8. Source: torch.Tensor.byte."""
        return self._as(uint8)

    def bool(self) -> Self:
        """As bool: whether an element is other than 0. Source: torch.Tensor.bool."""
        return self._as(bool_)

    def cpu(self) -> Self:
        """Itself: it is on the CPU. Source: torch.Tensor.cpu."""
        return self

    def cuda(self, *_: Any, **__: Any) -> Self:
        """Refused: there is no CUDA here. Source: torch.Tensor.cuda."""
        raise DeviceError("cuda: this engine computes on the CPU alone; leave out .cuda(), or use .to('cpu')")

    @property
    def is_cuda(self) -> Any:
        """Whether it is on a CUDA device: no."""
        return False

    def get_device(self) -> Any:
        """The index of the CUDA device: -1, there is none. Source: torch.Tensor.get_device."""
        return -1

    def is_signed(self) -> Any:
        """Whether the dtype has negative numbers. Source: torch.is_signed."""
        return self.array.dtype.kind in "ifc"

    def is_floating_point(self) -> Any:
        """Whether the dtype is a floating one. Source: torch.is_floating_point."""
        return of(self.array).is_floating_point

    def is_complex(self) -> Any:
        """Whether the dtype is a complex one. Source: torch.is_complex."""
        return of(self.array).is_complex

    def element_size(self) -> Any:
        """Bytes an element takes. Source: torch.Tensor.element_size."""
        return self.array.itemsize

    @property
    def itemsize(self) -> Any:
        """Bytes an element takes."""
        return self.array.itemsize

    @property
    def nbytes(self) -> Any:
        """Bytes all elements take."""
        return self.array.nbytes

    def copy_(self, src: Any, non_blocking: Any = False) -> Self:
        """Take another tensor's values, which broadcast, in place. Source: torch.Tensor.copy_."""
        return self._become(self._before()._apply(overwrite, src))

    def fill_(self, value: Any) -> Self:
        """Set all elements to a number, in place. Source: torch.Tensor.fill_."""
        return self.copy_(value)

    def zero_(self) -> Self:
        """Set all elements to 0, in place. Source: torch.Tensor.zero_."""
        return self.copy_(0)

    def new_tensor(self, data: Any, *, dtype: DType | None = None) -> Self:
        """A tensor of data, in this one's dtype. Source: torch.Tensor.new_tensor."""
        return self._plain(np.array(data, (dtype or of(self.array)).numpy))

    def new_full(self, size: Any, fill_value: Any, *, dtype: DType | None = None, device: Any = None) -> Self:
        """A tensor of that size full of a number, in this one's dtype. Source: torch.Tensor.new_full."""
        require_cpu(device)
        return self._plain(np.full(sizes_of((size,)), fill_value, (dtype or of(self.array)).numpy))

    def new_zeros(self, *size: Any, dtype: DType | None = None, device: Any = None) -> Self:
        """Zeros in this one's dtype. Source: torch.Tensor.new_zeros."""
        return self.new_full(sizes_of(size), 0, dtype=dtype, device=device)

    def new_ones(self, *size: Any, dtype: DType | None = None, device: Any = None) -> Self:
        """Ones in this one's dtype. Source: torch.Tensor.new_ones."""
        return self.new_full(sizes_of(size), 1, dtype=dtype, device=device)

    new_empty = new_zeros
