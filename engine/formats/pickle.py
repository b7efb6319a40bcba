"""Reading a pickle with an interpreter of our own: nothing in it is imported or called, and its appetite is bounded."""

from __future__ import annotations

import struct
from typing import Any

from ..errors import FormatError
from .limits import DEFAULT, Limits
from .machine import Buffer, Language, Machine
from .opcodes import OPCODES

_STOP = ord(".")


def read_pickle(data: Buffer, start: int, language: Language, limits: Limits = DEFAULT) -> tuple[Any, int]:
    """The object of the pickle that begins at `start`, and where it ends.

    Raises: FormatError for a pickle that is damaged, asks for a name that the language lacks, or exceeds the limits.
    """
    machine = Machine(data, start, language, limits)
    try:
        return _run(machine), machine.position
    except FormatError:
        raise
    except (IndexError, ValueError, OverflowError, struct.error) as error:
        raise FormatError(f"the pickle is damaged near byte {machine.position}: {error}") from error


def _run(machine: Machine) -> Any:
    data = machine.data
    for _ in range(machine.limits.opcodes):
        code = data[machine.position]
        machine.position += 1
        if code == _STOP:
            return machine.result()
        OPCODES[code](machine)
    raise FormatError(f"the pickle has more than {machine.limits.opcodes} opcodes; weights need far fewer")
