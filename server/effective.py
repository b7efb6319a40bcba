"""The configuration that counts: each key as a configuration file writes it, and where its value comes from."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .settings import Settings

_ESCAPES = str.maketrans({"\\": "\\\\", "\n": "\\n", "\r": "\\r", "\t": "\\t"})


def as_property(key: str, value: object) -> str:
    """`key=value` as a Java properties file has it."""
    text = as_text(value).translate(_ESCAPES)
    return f"{key}={text}" if not text.startswith(" ") else f"{key}=\\{text}"


def as_text(value: object) -> str:
    """A setting's value as it is written in a configuration file; nothing stands for none."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, float):
        return f"{value:g}" if value < 1e6 else repr(value)
    if isinstance(value, tuple):
        return ",".join(value)
    if isinstance(value, Mapping):
        return json.dumps(value, default=lambda config: config.document) if value else ""
    return str(value)


def as_lines(settings: Settings, origin: bool) -> list[str]:
    """A line for each key; with `origin`, in columns, the last one telling where the value comes from."""
    values = {key: getattr(settings, key) for key in settings.known_keys()}
    if settings.model_snapshot is not None:
        values["model_snapshot"] = {"models": settings.model_snapshot}
    if not origin:
        return [as_property(key, value) for key, value in values.items() if value is not None and value != {}]
    key_width, value_width = max(map(len, values)), 32
    return [
        f"{key:<{key_width}}  {as_text(value) or '-':<{value_width}}  {settings.origins.get(key, 'default')}"
        for key, value in values.items()
    ]
