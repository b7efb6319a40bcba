"""CHANGES, which counts every change of any module, so that what was made of one knows when to look at it again."""

from __future__ import annotations


class Changes:
    """How often an attribute was set or deleted, a part registered, or a hook registered or removed."""

    count = 0


CHANGES = Changes()
