import json
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
from numserve.engine import Tensor
from numserve.handlers import transforms
from numserve.handlers.imaging import get_dimensions
from numserve.handlers.transforms import (
    CenterCrop,
    Compose,
    Grayscale,
    InterpolationMode,
    Lambda,
    Normalize,
    Pad,
    PILToTensor,
    Resize,
    ToTensor,
)
from PIL import Image

from . import pictures
from .conftest import oracle

DATA = Path(__file__).parent.parent / "data"
RECORDED = pictures.recorded()
KNOWN = pictures.cases(transforms) | {"as it is": Compose([])}


@pytest.mark.parametrize(("key", "digest"), json.loads((DATA / "transforms.json").read_text()).items())
def test_pictures_become_what_torchvision_made_of_them(key, digest) -> None:
    case, image = RECORDED[key]

    assert pictures.digest(pictures.run(transforms, KNOWN[case], image)) == digest


def test_the_record_is_of_all_pictures() -> None:
    assert json.loads((DATA / "transforms.json").read_text()).keys() == RECORDED.keys()


@pytest.fixture(scope="module")
def theirs() -> ModuleType:
    module: ModuleType = oracle().transforms
    return module


def outcome(library: ModuleType, transform: Any, image: Image.Image) -> tuple[Any, ...]:
    """Everything about the transformed picture, or that there is none."""
    try:
        array = pictures.run(library, transform, image)
    except (TypeError, ValueError, OSError, RuntimeError):
        return ("refused",)
    return array.dtype.str, array.shape, array.tobytes()


@pytest.mark.oracle
@pytest.mark.parametrize("mode", pictures.MODES)
@pytest.mark.parametrize(("width", "height"), pictures.SIZES)
@pytest.mark.parametrize("seed", [1, 2])
def test_pictures_are_bit_identical_to_torchvisions(theirs, mode, width, height, seed) -> None:
    image, reference = pictures.picture(mode, width, height, seed), pictures.cases(theirs)

    for name, transform in pictures.cases(transforms).items():
        assert outcome(transforms, transform, image) == outcome(theirs, reference[name], image), name


@pytest.mark.oracle
@pytest.mark.parametrize("mode", pictures.MODES)
def test_own_values_are_bit_identical_to_torchvisions(theirs, mode) -> None:
    image = pictures.picture(mode, 12, 9)

    ours, reference = PILToTensor()(image).numpy(), theirs.PILToTensor()(image).numpy()

    assert (ours.dtype, ours.tolist()) == (reference.dtype, reference.tolist())


@pytest.mark.oracle
@pytest.mark.parametrize("shape", [(3, 40, 31), (1, 31, 40), (2, 3, 20, 33)])
@pytest.mark.parametrize("size", [13, 50, (17, 60)])
@pytest.mark.parametrize("mode", ["nearest", "nearest-exact", "bilinear", "bicubic"])
@pytest.mark.parametrize("antialias", [True, False])
@pytest.mark.parametrize(("scale", "dtype", "allowed"), [(1, "float32", 5e-6), (255, "uint8", 1)])
def test_tensors_are_resized_as_torch_does_it(theirs, shape, size, mode, antialias, scale, dtype, allowed) -> None:
    torch = pytest.importorskip("torch")
    array = (np.random.default_rng(3).random(shape) * scale).astype(dtype)

    ours = Resize(size, InterpolationMode(mode), antialias=antialias)(Tensor(array)).array
    reference = theirs.Resize(size, theirs.InterpolationMode(mode), antialias=antialias)(torch.from_numpy(array))

    assert ours.dtype == dtype
    assert ours.shape == tuple(reference.shape)
    assert np.abs(ours.astype(float) - reference.numpy().astype(float)).max() <= allowed


@pytest.mark.parametrize(
    ("size", "width", "height", "expected"),
    [
        (256, 500, 375, (341, 256)),  # 256 · 500 / 375 = 341.33, cut down
        (256, 375, 500, (256, 341)),
        (256, 256, 300, (256, 300)),
        ((256, 224), 500, 375, (224, 256)),
        ([256], 500, 375, (341, 256)),
    ],
)
def test_the_shorter_side_becomes_the_size(size, width, height, expected) -> None:
    assert Resize(size)(Image.new("L", (width, height))).size == expected


def test_a_picture_of_the_right_size_is_handed_on() -> None:
    image = Image.new("RGB", (256, 300))

    assert Resize(256)(image) is image
    assert CenterCrop((300, 256))(image) is image


@pytest.mark.parametrize(("height", "target", "first"), [(5, 2, 2), (7, 2, 2), (6, 4, 1), (2, 5, -1)])
def test_the_middle_is_rounded_half_to_even(height, target, first) -> None:
    column = Tensor(np.arange(1, height + 1, dtype=np.float32).reshape(1, height, 1))

    cropped = CenterCrop((target, 1))(column).array.ravel()

    assert cropped.tolist() == [n + first + 1 if 0 <= n + first < height else 0 for n in range(target)]


@pytest.mark.parametrize(
    ("mode", "pixel", "dtype", "value"),
    [
        ("L", 51, "float32", np.float32(51) / np.float32(255)),
        ("1", 1, "float32", 1.0),
        ("I", 70000, "int32", 70000),
        ("F", 0.25, "float32", 0.25),
        ("I;16", 300, "int16", 300),
    ],
)
def test_what_a_pixel_becomes(mode, pixel, dtype, value) -> None:
    tensor = ToTensor()(Image.new(mode, (2, 3), pixel))

    assert (tensor.array.shape, tensor.array.dtype) == ((1, 3, 2), dtype)
    assert tensor.array[0, 0, 0] == value


def test_arrays_are_taken_as_rows_of_pixels() -> None:
    array = np.arange(12, dtype=np.uint8).reshape(2, 2, 3)

    assert ToTensor()(array).array.tolist() == (array.transpose(2, 0, 1) / np.float32(255)).tolist()
    assert ToTensor()(np.ones((2, 4))).array.shape == (1, 2, 4)


def test_normalising_in_place() -> None:
    tensor = Tensor(np.ones((1, 2, 2), np.float32))

    assert Normalize([0.5], [0.25], inplace=True)(tensor) is tensor
    assert tensor.array.tolist() == [[[2.0, 2.0], [2.0, 2.0]]]


def test_grey_and_functions() -> None:
    image = Image.new("RGB", (2, 2), (10, 20, 30))

    assert Grayscale()(image).mode == "L"
    assert Grayscale(3)(image).getpixel((0, 0)) == (18, 18, 18)
    assert Lambda(lambda x: x.size)(image) == (2, 2)
    assert Compose([Resize(4), Lambda(lambda x: x.size)])(image) == (4, 4)


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (
            lambda: Normalize([0, 0, 0], [1, 1, 1])(Tensor(np.ones((1, 2, 2), np.float32))),
            ValueError,
            "3 values .* 1 channels",
        ),
        (lambda: Normalize([0], [0])(Tensor(np.ones((1, 2, 2), np.float32))), ValueError, "divide by zero"),
        (lambda: Normalize([0], [1])(Tensor(np.ones((1, 2, 2), np.uint8))), TypeError, "floating-point"),
        (lambda: Normalize([0], [1])(Image.new("L", (2, 2))), TypeError, "met a Image"),
        (lambda: Resize(4)(np.ones((3, 3))), TypeError, "met a ndarray"),
        (lambda: Resize(4)(Tensor(np.ones(3))), TypeError, r"of shape \(3,\)"),
        (lambda: Resize((1, 2, 3))(Image.new("L", (9, 9))), ValueError, "one number or two"),
        (lambda: Resize((4, 4), max_size=9)(Image.new("L", (9, 9))), ValueError, "single size"),
        (lambda: Resize(4, max_size=3)(Image.new("L", (9, 9))), ValueError, "must be more than the size 4"),
        (lambda: Resize(4, interpolation=17)(Image.new("L", (9, 9))), ValueError, "no filter of Pillow's"),
        (lambda: Resize(4, InterpolationMode.BOX)(Tensor(np.ones((1, 9, 9)))), ValueError, "not by box"),
        (lambda: Pad(1, padding_mode="edge")(Image.new("L", (9, 9))), ValueError, "'edge' is not built in"),
        (lambda: Pad((1, 2, 3))(Image.new("L", (9, 9))), ValueError, "one number, two or four"),
        (lambda: ToTensor()("cat"), TypeError, "not str"),
        (lambda: ToTensor()(np.ones(3)), ValueError, r"shape \(3,\)"),
    ],
)
def test_what_is_refused(call, error, message) -> None:
    with pytest.raises(error, match=message):
        call()


def test_dimensions() -> None:
    assert get_dimensions(Image.new("RGB", (4, 5))) == [3, 5, 4]
    assert get_dimensions(Tensor(np.ones((2, 3, 5, 4)))) == [3, 5, 4]
    assert get_dimensions(Tensor(np.ones((5, 4)))) == [1, 5, 4]
