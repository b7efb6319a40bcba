"""What one weights file may ask of us, and how values from it are quoted in messages."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Limits:
    """Bounds that honest files stay far below; whoever trusts a larger one can raise them.

    A tensor takes about 40 opcodes, so the default is good for some 100,000 tensors.
    """

    opcodes: int = 4_000_000
    memo: int = 2_000_000
    pickle_bytes: int = 64 << 20
    built_bytes: int = 256 << 20
    long_bytes: int = 256
    compound_keys: int = 10_000
    depth: int = 200
    values: int = 8_000_000
    records: int = 200_000
    inflated_bytes: int = 64 << 20
    inflation: int = 20


DEFAULT = Limits()


def quote(value: object) -> str:
    """A name or number from a file, safe to show: one line, escaped, short."""
    if isinstance(value, str):
        return ascii(value[:80]) + ("…" if len(value) > 80 else "")
    if isinstance(value, bool | int | float | type(None)):
        return repr(value)[:80]
    return f"a {type(value).__name__}"
