"""Pictures out of rows: VisionHandler, the base of the handlers that are given images."""

from __future__ import annotations

import reprlib
from base64 import b64decode
from binascii import Error as Base64Error
from collections.abc import Callable, Mapping
from io import BytesIO
from typing import Any

from PIL import Image, UnidentifiedImageError

from .. import engine
from ..engine.errors import EngineError
from .context import Context
from .errors import PredictionException
from .explaining import integrated_gradients
from .library import convert, library_of
from .rowwise import RowwiseHandler
from .timing import timed

_KEYS = ("data", "body", "b64")
_UNREADABLE = (OSError, SyntaxError, ValueError, TypeError, EngineError, Image.DecompressionBombError)


class VisionHandler(RowwiseHandler):
    """Turns each row's picture into a tensor by `image_processing`, and the batch into one tensor.

    A row holds encoded image bytes, the same in base64 (a data URL too), or nested lists of numbers, which are taken
    as they are; under `data` or `body`, or in an object under one of these or `b64`.
    """

    image_processing: Callable[[Any], Any]

    def initialize(self, context: Context) -> None:
        """Load the model, and lift Pillow's limit on pixels where the server says so."""
        super().initialize(context)
        if not context.system_properties.get("limit_max_image_pixels"):
            Image.MAX_IMAGE_PIXELS = None

    def example_inputs(self) -> tuple[Any, ...]:
        """What `image_processing` makes of a blank picture."""
        try:
            image = self.image_processing(Image.new("RGB", (256, 256)))
            return (convert(library_of(image).stack([image]), self.library),)
        except Exception:  # a border: the user's transforms, which may want another picture
            return ()

    @timed
    def preprocess(self, data: Any) -> Any:
        """The pictures of the batch as one tensor."""
        images = self.images(data)
        kinds = {f"{tuple(image.shape)} of {image.dtype}" for image in images}
        if len(kinds) > 1:
            raise PredictionException(
                f"the pictures of a batch are of different shapes: {', '.join(sorted(kinds))}", 503
            )
        return convert(library_of(images[0]).stack(images), self.library)

    def images(self, data: Any) -> list[Any]:
        """The picture of each row, as a tensor. Raises: PredictionException, 503, where one cannot be read."""
        return [self._image(number, row) for number, row in enumerate(data)]

    def get_insights(self, tensor_data: Any, raw_data: Any, target: Any = 0) -> list[Any]:
        """How much each pixel counted for the class `target`, by integrated gradients."""
        insights: list[Any] = integrated_gradients(self.model, tensor_data, target).tolist()
        return insights

    def _image(self, number: int, row: Any) -> Any:
        try:
            value = picture_in(row)
            if value is None:
                held = reprlib.repr(sorted(row)) if isinstance(row, Mapping) else type(row).__name__
                raise ValueError(f"expected one under 'data' or 'body', met {held}; curl sends a picture by -T")
            if isinstance(value, bytes):
                return self.image_processing(decode(value))
            if not isinstance(value, list):
                raise ValueError(f"expected image bytes, base64 text or lists of numbers, met a {type(value).__name__}")
            return engine.as_tensor(value, dtype=engine.float32)
        except _UNREADABLE as error:
            raise PredictionException(f"request {number} holds no readable picture: {error}", 503) from error


def picture_in(row: Any) -> Any:
    """The bytes of a row's picture, its nested lists, or None where it holds neither.

    Raises: ValueError where a text is not base64.
    """
    while isinstance(row, Mapping):
        row = next((row[key] for key in _KEYS if key in row and not _empty(row[key])), None)
    if isinstance(row, str):
        return from_base64(row)
    return bytes(row) if isinstance(row, (bytearray, memoryview)) else row


def from_base64(text: str) -> bytes:
    """The bytes that a base64 text, or a data URL with one, stands for."""
    _, comma, encoded = text.partition(",") if text.startswith("data:") else ("", "", text)
    try:
        return b64decode(encoded)
    except Base64Error as error:
        raise ValueError(f"a text must be a picture in base64: {error}") from error


def decode(content: bytes) -> Image.Image:
    """The picture in encoded bytes, read to its end.

    Raises: OSError where it is no picture or breaks off.
    """
    try:
        image = Image.open(BytesIO(content))
    except UnidentifiedImageError as error:
        raise OSError(f"{len(content)} bytes, starting with {content[:8]!r}, are of no image format") from error
    image.load()
    return image


def _empty(value: Any) -> bool:
    return value is None or (hasattr(value, "__len__") and len(value) == 0)
