"""Pictures and tensors of pictures: the functions behind transforms.py, bit for bit those of torchvision.

Sizes are (height, width); a picture is a Pillow image, a tensor (…, channels, height, width). A tensor is resized in
floating point and a picture by Pillow in 8 bit, so which of the two comes in decides the last bits of what comes out.
"""

from __future__ import annotations

from collections.abc import Sequence
from enum import Enum
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt
from PIL import Image

from .. import engine
from ..engine import Tensor
from .resampling import resample

Array = npt.NDArray[Any]
Picture: TypeAlias = Image.Image | Tensor


class InterpolationMode(Enum):
    """How a new pixel comes from old ones."""

    NEAREST = "nearest"
    NEAREST_EXACT = "nearest-exact"
    BILINEAR = "bilinear"
    BICUBIC = "bicubic"
    BOX = "box"
    HAMMING = "hamming"
    LANCZOS = "lanczos"


_FILTERS = {
    InterpolationMode.NEAREST: Image.Resampling.NEAREST,
    InterpolationMode.NEAREST_EXACT: Image.Resampling.NEAREST,
    InterpolationMode.BILINEAR: Image.Resampling.BILINEAR,
    InterpolationMode.BICUBIC: Image.Resampling.BICUBIC,
    InterpolationMode.BOX: Image.Resampling.BOX,
    InterpolationMode.HAMMING: Image.Resampling.HAMMING,
    InterpolationMode.LANCZOS: Image.Resampling.LANCZOS,
}
_BY_NUMBER = {int(number): mode for mode, number in reversed(_FILTERS.items())}
_NUMPY_TYPES = {"I": np.int32, "I;16": np.int16, "F": np.float32}


def get_dimensions(img: Picture) -> list[int]:
    """[channels, height, width]."""
    if isinstance(img, Image.Image):
        return [len(img.getbands()), img.height, img.width]
    _check_picture("get_dimensions", img)
    return [1 if img.array.ndim == 2 else img.array.shape[-3], *img.array.shape[-2:]]


def resize(
    img: Picture,
    size: int | Sequence[int],
    interpolation: InterpolationMode | int = InterpolationMode.BILINEAR,
    max_size: int | None = None,
    antialias: bool | None = True,
) -> Picture:
    """Resize to (height, width), or so that the shorter side is `size` and the longer at most `max_size`.

    `antialias` counts for tensors alone. Raises: ValueError for a mode that tensors do not have.
    """
    _, height, width = get_dimensions(img)
    target = _target(height, width, size, max_size)
    if target == (height, width):
        return img
    mode = interpolation if isinstance(interpolation, InterpolationMode) else _mode(interpolation)
    if isinstance(img, Image.Image):
        return img.resize((target[1], target[0]), _FILTERS[mode])
    return Tensor(resample(img.array, target, mode.value, bool(antialias)))


def _target(height: int, width: int, size: int | Sequence[int], max_size: int | None) -> tuple[int, int]:
    sizes = (size,) if isinstance(size, int) else tuple(size)
    if len(sizes) not in (1, 2):
        raise ValueError(f"a size is one number or two (height, width), not {size!r}")
    if len(sizes) == 2:
        if max_size is not None:
            raise ValueError("max_size goes with a single size alone")
        return sizes[0], sizes[1]
    short, long = min(height, width), max(height, width)
    new_short, new_long = sizes[0], int(sizes[0] * long / short)
    if max_size is not None:
        if max_size <= sizes[0]:
            raise ValueError(f"max_size {max_size} must be more than the size {sizes[0]}")
        if new_long > max_size:
            new_short, new_long = int(max_size * new_short / new_long), max_size
    return (new_long, new_short) if width <= height else (new_short, new_long)


def _mode(number: int) -> InterpolationMode:
    if number not in _BY_NUMBER:
        raise ValueError(f"interpolation {number!r} is no filter of Pillow's; use an InterpolationMode")
    return _BY_NUMBER[number]


def crop(img: Picture, top: int, left: int, height: int, width: int) -> Picture:
    """Cut out a rectangle; what lies outside the picture is zero."""
    if isinstance(img, Image.Image):
        return img.crop((left, top, left + width, top + height))
    _, rows, columns = get_dimensions(img)
    inside = img.array[..., max(top, 0) : max(top + height, 0), max(left, 0) : max(left + width, 0)]
    right, bottom = left + width - columns, top + height - rows
    return Tensor(_padded(inside, (max(-left, 0), max(-top, 0), max(right, 0), max(bottom, 0)), 0))


def center_crop(img: Picture, output_size: int | Sequence[int]) -> Picture:
    """Cut (height, width) out of the middle; a smaller picture is padded with zeros first."""
    target_height, target_width = _pair(output_size)
    _, height, width = get_dimensions(img)
    if target_width > width or target_height > height:
        across, down = max(target_width - width, 0), max(target_height - height, 0)
        img = pad(img, [across // 2, down // 2, (across + 1) // 2, (down + 1) // 2])
        _, height, width = get_dimensions(img)
    if (target_height, target_width) == (height, width):
        return img
    top, left = round((height - target_height) / 2.0), round((width - target_width) / 2.0)
    return crop(img, top, left, target_height, target_width)


def pad(img: Picture, padding: int | Sequence[int], fill: float = 0, padding_mode: str = "constant") -> Picture:
    """Add a border of `fill`: on all sides, (left and right, top and bottom), or (left, top, right, bottom)."""
    if padding_mode != "constant":
        raise ValueError(f"padding_mode {padding_mode!r} is not built in; use 'constant'")
    left, top, right, bottom = _sides(padding)
    if isinstance(img, Tensor):
        return Tensor(_padded(img.array, (left, top, right, bottom), fill))
    colour: Any = fill if len(img.getbands()) == 1 else (int(fill),) * len(img.getbands())
    padded = Image.new(img.mode, (img.width + left + right, img.height + top + bottom), colour)
    if img.mode == "P":
        padded.putpalette(img.getpalette() or [])
    padded.paste(img, (left, top))
    return padded


def _sides(padding: int | Sequence[int]) -> tuple[int, int, int, int]:
    sides = (padding,) if isinstance(padding, int) else tuple(padding)
    if len(sides) not in (1, 2, 4):
        raise ValueError(f"padding is one number, two or four, not {padding!r}")
    left, top, right, bottom = (sides * (4 // len(sides)))[:4]
    return left, top, right, bottom


def _padded(array: Array, sides: tuple[int, int, int, int], fill: float) -> Array:
    left, top, right, bottom = sides
    widths = [(0, 0)] * (array.ndim - 2) + [(top, bottom), (left, right)]
    return np.pad(array, widths, constant_values=fill)


def _pair(size: int | Sequence[int]) -> tuple[int, int]:
    sizes = (size,) if isinstance(size, int) else tuple(size)
    return sizes[0], sizes[-1]


def to_tensor(pic: Image.Image | Array) -> Tensor:
    """A picture, or an array (height, width[, channels]), as a tensor; 8-bit values become 0…1 in float32."""
    array = _layers_first(pic if isinstance(pic, np.ndarray) else _pixels(pic))
    return engine.from_numpy(array.astype(np.float32) / np.float32(255) if array.dtype == np.uint8 else array)


def _pixels(picture: Image.Image) -> Array:
    if not isinstance(picture, Image.Image):
        raise TypeError(f"expected a Pillow image or an array, not {type(picture).__name__}")
    pixels = np.array(picture, _NUMPY_TYPES.get(picture.mode, np.uint8))
    return pixels * np.uint8(255) if picture.mode == "1" else pixels


def pil_to_tensor(pic: Image.Image) -> Tensor:
    """A picture as a tensor of its own values, in their own type."""
    return engine.from_numpy(_layers_first(np.array(pic)))


def _layers_first(array: Array) -> Array:
    if array.ndim not in (2, 3):
        raise ValueError(f"a picture has 2 or 3 dimensions, not {array.ndim}: shape {array.shape}")
    layered = array[:, :, None] if array.ndim == 2 else array
    return np.ascontiguousarray(layered.transpose(2, 0, 1))


def normalize(tensor: Tensor, mean: Sequence[float], std: Sequence[float], inplace: bool = False) -> Tensor:
    """(tensor - mean) / std, a mean and a deviation for each channel.

    Raises: TypeError where the values are no floating-point tensor, ValueError where the numbers do not fit.
    """
    _check_picture("normalize", tensor)
    if not np.issubdtype(tensor.array.dtype, np.floating):
        raise TypeError(f"normalize: expected floating-point values, met {tensor.dtype}: use ToTensor first")
    channels = tensor.array.shape[-3] if tensor.array.ndim > 2 else 1
    means, deviations = (_per_channel(values, channels, tensor.array.dtype) for values in (mean, std))
    if not deviations.all():
        raise ValueError(f"normalize: a deviation of zero in {list(std)} would divide by zero")
    result = np.subtract(tensor.array, means, out=tensor.array if inplace else None)
    np.divide(result, deviations, out=result)
    return tensor if inplace else Tensor(result)


def _per_channel(values: Sequence[float], channels: int, dtype: Any) -> Array:
    array = np.asarray(values, dtype).reshape(-1, 1, 1)
    if len(array) not in (1, channels):
        raise ValueError(f"normalize: {len(array)} values for a picture of {channels} channels")
    return array


def rgb_to_grayscale(img: Image.Image, num_output_channels: int = 1) -> Image.Image:
    """The picture in shades of grey, in one channel or three equal ones."""
    grey = img.convert("L")
    return grey if num_output_channels == 1 else Image.merge("RGB", (grey, grey, grey))


def _check_picture(function: str, tensor: Any) -> None:
    if not isinstance(tensor, Tensor) or tensor.array.ndim < 2:
        shape = f" of shape {tensor.array.shape}" if isinstance(tensor, Tensor) else ""
        raise TypeError(
            f"{function}: expected a Pillow image or a tensor (…, channels, height, width),"
            f" met a {type(tensor).__name__}{shape}"
        )
