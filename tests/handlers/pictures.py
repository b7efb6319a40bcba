"""Pictures and transforms that the quick tests, the oracle tests and the recording script have in common."""

from __future__ import annotations

import hashlib
from typing import Any

import numpy as np
from PIL import Image

MODES = ("RGB", "L", "RGBA", "1", "I", "F", "I;16", "LA", "CMYK", "P")
FILTERED = ("RGB", "L", "RGBA")
SIZES = ((40, 31), (31, 40), (37, 37), (64, 20), (9, 8))  # width, height
FILTERS = ("nearest", "bilinear", "bicubic", "lanczos", "box", "hamming")


def picture(mode: str, width: int, height: int, seed: int = 0) -> Image.Image:
    """A picture of noise over a gradient, so that every pixel counts."""
    random = np.random.default_rng([seed, width, height])
    slope = np.add.outer(np.arange(height), np.arange(width)) * (160 // (width + height))
    noisy = (slope[:, :, None] + random.integers(0, 96, (height, width, 4))).astype(np.uint8)
    if mode in ("I", "F", "I;16"):
        kind = {"I": np.int32, "F": np.float32, "I;16": np.uint16}[mode]
        return Image.fromarray((noisy[:, :, 0].astype(np.float64) * 123.25).astype(kind))
    return Image.fromarray(noisy, "RGBA" if mode == "RGBA" else "CMYK").convert(mode if mode != "RGBA" else "RGBA")


def cases(transforms: Any) -> dict[str, Any]:
    """Name → transform of a picture, over torchvision's transforms or ours."""
    modes = transforms.InterpolationMode
    found: dict[str, Any] = {
        f"resize {size} {name}": transforms.Resize(size, modes(name)) for size in (13, (17, 22)) for name in FILTERS
    }
    found |= {f"resize {size}": transforms.Resize(size) for size in (8, 31, 50, [20], (31, 40))}
    found["resize at most"] = transforms.Resize(13, max_size=15)
    found["resize by number"] = transforms.Resize((9, 9), interpolation=3)
    found |= {f"crop {size}": transforms.CenterCrop(size) for size in (8, 9, 33, (10, 41), (51, 6), [12])}
    found["pad 3"] = transforms.Pad(3)
    found["pad 1 2"] = transforms.Pad((1, 2), fill=7)
    found["pad 1 2 3 4"] = transforms.Pad((1, 2, 3, 4))
    found["classifier"] = transforms.Compose([transforms.Resize(25), transforms.CenterCrop(22)])
    return found


def run(transforms: Any, transform: Any, image: Image.Image) -> np.ndarray[Any, Any]:
    """The transformed picture as an array: 8-bit values as floats 0…1, normalised where there are three channels."""
    tensor = transforms.ToTensor()(transform(image))
    if len(image.getbands()) == 3:
        tensor = transforms.Normalize((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))(tensor)
    return np.ascontiguousarray(tensor.numpy())


def digest(array: np.ndarray[Any, Any]) -> str:
    """A short name for exactly this array."""
    return hashlib.sha256(f"{array.dtype.str} {array.shape}".encode() + array.tobytes()).hexdigest()[:16]


def recorded() -> dict[str, tuple[str, Image.Image]]:
    """Key → (case, picture): what the fixture holds a digest for."""
    return {
        f"{case} of {mode} {width}x{height}": (case, picture(mode, width, height))
        for mode in FILTERED
        for width, height in SIZES[:2]
        for case in _CASES
    } | {f"as it is of {mode}": ("as it is", picture(mode, 7, 5)) for mode in MODES}


_CASES = (
    *(f"resize {size} {name}" for size in ("13", "(17, 22)") for name in FILTERS),
    "resize 31",
    "resize 50",
    "resize at most",
    "crop 9",
    "crop (10, 41)",
    "crop (51, 6)",
    "pad 1 2 3 4",
    "classifier",
)
