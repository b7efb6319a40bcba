"""The structures of steps.h, field by field, and what their numbers mean."""

from __future__ import annotations

import ctypes
from ctypes import Structure, c_float, c_int32, c_int64, c_void_p
from enum import IntEnum

ABI_VERSION = 1


class Kind(IntEnum):
    """Which kernel runs a step."""

    CONVOLUTION = 0
    WINOGRAD = 1
    WINOGRAD_INPUT = 2
    WINOGRAD_PRODUCT = 3
    WINOGRAD_OUTPUT = 4
    DEPTHWISE = 5
    MAX_POOL = 6
    AVERAGE_POOL = 7
    MEAN = 8
    COPY = 9
    UNARY = 10
    BINARY = 11
    AFFINE = 12
    SOFTMAX = 13
    LAYER_NORM = 14
    ATTENTION = 15
    LSTM = 16
    GRU = 17
    RNN = 18


class Activation(IntEnum):
    """What is done to a result at last."""

    IDENTITY = 0
    CLAMP = 1
    SIGMOID = 2
    TANH = 3
    SILU = 4
    GELU = 5
    GELU_TANH = 6
    HARDSWISH = 7
    HARDSIGMOID = 8
    LEAKY_RELU = 9
    EXP = 10
    ERF = 11
    SQRT = 12
    RSQRT = 13
    RECIPROCAL = 14
    NEGATE = 15
    ABSOLUTE = 16
    SQUARE = 17


class Binary(IntEnum):
    """How two values become one."""

    ADD = 0
    SUBTRACT = 1
    MULTIPLY = 2
    DIVIDE = 3
    MAXIMUM = 4
    MINIMUM = 5


def _fields(*groups: tuple[type, str]) -> list[tuple[str, type]]:
    return [(name, kind) for kind, names in groups for name in names.split()]


class Finish(Structure):
    """The activation of a result, with its bounds or slope."""

    _fields_ = _fields((c_int32, "activation"), (c_float, "low high"))


class Tap(Structure):
    """Where one weight of a filter reads, from the corner of its window."""

    _fields_ = _fields((c_int32, "y x offset"))


class Panel(Structure):
    """Some output channels that are computed together."""

    _fields_ = _fields((c_int32, "vectors first"))


class Convolution(Structure):
    """A convolution by the direct algorithm, or a product of matrices."""

    _fields_ = _fields(
        (c_void_p, "x weights bias residual low high zeros y taps panels"),
        (c_int64, "ld_x ld_y ld_residual group_weights"),
        (c_int32, "batch height width out_height out_width stride_y stride_x top left channels out_channels groups"),
        (c_int32, "tap_count depth panel_count block_taps block_pixels block_panels flat"),
        (Finish, "finish"),
    )


class Winograd(Structure):
    """A 3x3 convolution by F(4x4, 3x3) or F(2x2, 3x3)."""

    _fields_ = _fields(
        (c_void_p, "x weights bias residual y images products panels"),
        (c_int64, "ld_x ld_y ld_residual"),
        (c_int32, "batch height width out_height out_width top left channels padded_channels out_channels padded_out"),
        (c_int32, "panel_count tiles_y tiles_x block_tiles m"),
        (Finish, "finish"),
    )


class Depthwise(Structure):
    """A convolution of each channel by itself."""

    _fields_ = _fields(
        (c_void_p, "x weights bias residual zeros y taps"),
        (c_int64, "ld_x ld_y ld_residual ld_weights"),
        (c_int32, "batch height width out_height out_width stride_y stride_x top left channels tap_count"),
        (Finish, "finish"),
    )


class Pooling(Structure):
    """The maximum or mean of each window."""

    _fields_ = _fields(
        (c_void_p, "x y"),
        (c_int64, "ld_x ld_y"),
        (c_int32, "batch height width out_height out_width channels"),
        (c_int32, "kernel_y kernel_x stride_y stride_x dilation_y dilation_x top left divisor"),
    )


class Mean(Structure):
    """The mean of each image."""

    _fields_ = _fields((c_void_p, "x y"), (c_int64, "ld_x ld_y"), (c_int32, "pixels channels"))


class Copy(Structure):
    """A strided copy of six dims."""

    _fields_ = [
        *_fields((c_void_p, "x y")),
        ("sizes", c_int64 * 6),
        ("x_strides", c_int64 * 6),
        ("y_strides", c_int64 * 6),
    ]


class Rowwise(Structure):
    """Work on rows."""

    _fields_ = _fields(
        (c_void_p, "a b c y"),
        (c_int64, "ld_a ld_b ld_y rows"),
        (c_int32, "columns step_a step_b block_rows operation"),
        (c_float, "epsilon"),
        (Finish, "finish"),
    )


class Attention(Structure):
    """Attention of all heads."""

    _fields_ = [
        *_fields((c_void_p, "q k v mask y")),
        *[(f"{name}_strides", c_int64 * 3) for name in "qkvy"],
        ("mask_strides", c_int64 * 3),
        *_fields(
            (c_int64, "mask_step"),
            (c_int32, "batch heads queries keys depth out_depth block_queries causal"),
            (c_float, "scale"),
        ),
    ]


class Recurrent(Structure):
    """One time of a recurrent layer."""

    _fields_ = _fields(
        (c_void_p, "gates weights bias h c y last_h last_c"),
        (c_int64, "ld_gates ld_h ld_c ld_y ld_last_h ld_last_c"),
        (c_int32, "batch size block_panels backwards"),
        (Finish, "finish"),
    )


class NativeStep(Structure):
    """One entry of a program."""

    _fields_ = _fields((c_void_p, "arguments"), (c_int32, "kind units"))


LAYOUT = (
    Finish,
    Tap,
    Panel,
    Convolution,
    Winograd,
    Depthwise,
    Pooling,
    Mean,
    Copy,
    Rowwise,
    Attention,
    Recurrent,
    NativeStep,
)
SIZES = tuple(map(ctypes.sizeof, LAYOUT))
