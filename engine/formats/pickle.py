"""Reading a pickle with an interpreter of our own: nothing in it is imported or called, and its appetite is bounded."""

from __future__ import annotations

import struct
from typing import Any

from ..errors import FormatError
from .limits import DEFAULT, Limits
from .machine import Buffer, Language, Machine
from .opcodes import HANDLED, OPCODES

_GET, _MARK, _TUPLE, _PUT, _BYTE, _STOP = HANDLED


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
    """Run to the end. What two opcodes of three are is done right here; for all others the machine is brought up."""
    data, memo, marks, stack, position = machine.data, machine.memo, machine.marks, machine.stack, machine.position
    most = machine.limits.memo
    for _ in range(machine.limits.opcodes):
        code = data[position]
        position += 1
        if code == _GET and data[position] in memo:
            stack.append(memo[data[position]])
            position += 1
        elif code == _MARK:
            marks.append(stack)
            stack = []
        elif code == _TUPLE and marks:
            group, stack = stack, marks.pop()
            stack.append(tuple(group))
        elif code == _PUT and len(memo) < most:
            memo[int.from_bytes(data[position : position + 4], "little")] = stack[-1]
            position += 4
        elif code == _BYTE:
            stack.append(data[position])
            position += 1
        else:
            machine.position, machine.stack = position, stack
            if code == _STOP:
                return machine.result()
            OPCODES[code](machine)
            position, stack = machine.position, machine.stack
    raise FormatError(f"the pickle has more than {machine.limits.opcodes} opcodes; weights need far fewer")
