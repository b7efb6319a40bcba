"""The opcodes of the pickle language, protocols 0 to 5: each a small function on the machine.

Source: Lib/pickletools.py, which describes every opcode; those that make objects of arbitrary classes are refused.
"""

from __future__ import annotations

import struct
from collections import OrderedDict
from collections.abc import Callable
from typing import Any

from ..errors import FormatError
from .machine import Machine, quote_inert, weight

Opcode = Callable[[Machine], None]

HANDLED = b"h(trK."  # those that the loop in pickle.py does itself, all but the last where nothing is wrong with them


def _unknown(m: Machine) -> None:
    code = m.data[m.position - 1]
    raise FormatError(f"byte {m.position - 1} is 0x{code:02x}, which is no pickle opcode; the file is damaged")


OPCODES: list[Opcode] = [_unknown] * 256


def opcode(code: int | str) -> Callable[[Opcode], Opcode]:
    """Enter a function into OPCODES."""

    def enter(function: Opcode) -> Opcode:
        OPCODES[ord(code) if isinstance(code, str) else code] = function
        return function

    return enter


def _refused(code: int | str, what: str) -> None:
    def refuse(m: Machine) -> None:
        raise FormatError(f"the pickle uses {what}, which no checkpoint needs")

    opcode(code)(refuse)


for _code, _what in (
    ("i", "INST, which makes an object of any class"),
    ("o", "OBJ, which makes an object of any class"),
    ("P", "a persistent id as text"),
    (0x82, "the extension registry"),
    (0x83, "the extension registry"),
    (0x84, "the extension registry"),
    (0x92, "NEWOBJ_EX, which makes an object with keyword arguments"),
    (0x97, "data outside the pickle"),
    (0x98, "data outside the pickle"),
):
    _refused(_code, _what)


@opcode(0x80)
def _protocol(m: Machine) -> None:
    version = m.number(1)
    if version > 5:
        raise FormatError(f"the pickle is of protocol {version}; 0 to 5 are known")


@opcode(0x95)
def _frame(m: Machine) -> None:
    size = m.number(8)
    if size > m.end - m.position:
        raise FormatError(f"the pickle has a frame of {size} bytes, more than there are")


# Constants and numbers.


def _constant(code: int | str, value: Any) -> None:
    opcode(code)(lambda m: m.stack.append(value))


_constant("N", None)
_constant(0x88, True)
_constant(0x89, False)
_constant(")", ())


@opcode("K")
def _binint1(m: Machine) -> None:
    m.stack.append(m.data[m.position])
    m.position += 1


@opcode("M")
def _binint2(m: Machine) -> None:
    m.stack.append(m.number(2))


@opcode("J")
def _binint(m: Machine) -> None:
    m.stack.append(int.from_bytes(m.take(4), "little", signed=True))


@opcode("G")
def _binfloat(m: Machine) -> None:
    m.stack.append(struct.unpack(">d", m.take(8))[0])


def _long(m: Machine, count: int) -> None:
    if count > m.limits.long_bytes:
        raise FormatError(f"the pickle has an integer of {count} bytes; at most {m.limits.long_bytes} are read")
    m.stack.append(int.from_bytes(m.take(count), "little", signed=True))


@opcode(0x8A)
def _long1(m: Machine) -> None:
    _long(m, m.number(1))


@opcode(0x8B)
def _long4(m: Machine) -> None:
    _long(m, m.number(4))


_BOOLEANS = {b"00": False, b"01": True}


@opcode("I")
def _int(m: Machine) -> None:
    digits = m.line()
    m.stack.append(_BOOLEANS[digits] if digits in _BOOLEANS else _decimal(m, digits))


@opcode("L")
def _long_text(m: Machine) -> None:
    m.stack.append(_decimal(m, m.line().removesuffix(b"L")))


def _decimal(m: Machine, digits: bytes) -> int:
    if len(digits) > 2 * m.limits.long_bytes:
        raise FormatError(f"the pickle has an integer of {len(digits)} digits")
    return int(digits)


@opcode("F")
def _float(m: Machine) -> None:
    m.stack.append(float(m.line()))


# Text and bytes.


@opcode("X")
def _unicode(m: Machine) -> None:
    m.stack.append(m.text(m.number(4)))


@opcode(0x8C)
def _short_unicode(m: Machine) -> None:
    m.stack.append(m.text(m.number(1)))


@opcode(0x8D)
def _unicode8(m: Machine) -> None:
    m.stack.append(m.text(m.number(8)))


@opcode("V")
def _unicode_text(m: Machine) -> None:
    m.stack.append(m.line().decode("raw-unicode-escape"))


@opcode("C")
def _short_bytes(m: Machine) -> None:
    m.stack.append(m.take(m.number(1)))


@opcode("B")
def _bytes(m: Machine) -> None:
    m.stack.append(m.take(m.number(4)))


@opcode(0x8E)
def _bytes8(m: Machine) -> None:
    m.stack.append(m.take(m.number(8)))


@opcode(0x96)
def _bytearray8(m: Machine) -> None:
    m.stack.append(bytearray(m.take(m.number(8))))


def _python2_text(raw: bytes) -> str | bytes:
    try:
        return raw.decode("utf-8")
    except UnicodeDecodeError:
        return raw


@opcode("U")
def _short_string(m: Machine) -> None:
    m.stack.append(_python2_text(m.take(m.number(1))))


@opcode("T")
def _string(m: Machine) -> None:
    m.stack.append(_python2_text(m.take(m.number(4))))


@opcode("S")
def _string_text(m: Machine) -> None:
    quoted = m.line()
    if len(quoted) < 2 or quoted[0] != quoted[-1] or quoted[0] not in b"'\"" or b"\\" in quoted:
        raise FormatError("the pickle has text of protocol 0 with escapes; save with a newer protocol")
    m.stack.append(_python2_text(quoted[1:-1]))


# The stack and the memo.


@opcode("(")
def _mark(m: Machine) -> None:
    m.marks.append(m.stack)
    m.stack = []


@opcode("0")
def _pop(m: Machine) -> None:
    if m.stack:
        m.stack.pop()
    else:
        m.since_mark()


@opcode("1")
def _pop_mark(m: Machine) -> None:
    m.since_mark()


@opcode("2")
def _dup(m: Machine) -> None:
    m.stack.append(m.stack[-1])


@opcode("q")
def _binput(m: Machine) -> None:
    m.remember(m.data[m.position])
    m.position += 1


@opcode("r")
def _long_binput(m: Machine) -> None:
    m.remember(m.number(4))


@opcode("p")
def _put(m: Machine) -> None:
    m.remember(_decimal(m, m.line()))


@opcode(0x94)
def _memoize(m: Machine) -> None:
    m.remember(len(m.memo))


@opcode("h")
def _binget(m: Machine) -> None:
    m.recall(m.data[m.position])
    m.position += 1


@opcode("j")
def _long_binget(m: Machine) -> None:
    m.recall(m.number(4))


@opcode("g")
def _get(m: Machine) -> None:
    m.recall(_decimal(m, m.line()))


# Containers.


@opcode("]")
def _empty_list(m: Machine) -> None:
    m.spend(56)
    m.stack.append([])


@opcode("l")
def _list(m: Machine) -> None:
    m.spend(56)
    group = m.since_mark()
    m.stack.append(group)


@opcode("}")
def _empty_dict(m: Machine) -> None:
    m.spend(64)
    m.stack.append({})


@opcode("d")
def _dict(m: Machine) -> None:
    m.spend(64)
    items = m.since_mark()
    built: dict[Any, Any] = {}
    _set_pairs(m, built, items)
    m.stack.append(built)


@opcode(0x8F)
def _empty_set(m: Machine) -> None:
    m.spend(216)
    m.stack.append(set())


@opcode(0x91)
def _frozenset(m: Machine) -> None:
    m.spend(216)
    values = m.since_mark()
    m.stack.append(frozenset([m.key(value) for value in values]))


@opcode("t")
def _tuple(m: Machine) -> None:
    group = m.since_mark()
    m.stack.append(tuple(group))


@opcode(0x85)
def _tuple1(m: Machine) -> None:
    m.stack[-1] = (m.stack[-1],)


@opcode(0x86)
def _tuple2(m: Machine) -> None:
    second = m.stack.pop()
    m.stack[-1] = (m.stack[-1], second)


@opcode(0x87)
def _tuple3(m: Machine) -> None:
    third, second = m.stack.pop(), m.stack.pop()
    m.stack[-1] = (m.stack[-1], second, third)


def _top(m: Machine, *kinds: type) -> Any:
    """The container on top of the stack."""
    if type(m.stack[-1]) not in kinds:
        raise FormatError(f"the pickle adds items to {quote_inert(m.stack[-1])}; the file is damaged")
    return m.stack[-1]


@opcode("a")
def _append(m: Machine) -> None:
    value = m.stack.pop()
    _top(m, list).append(value)


@opcode("e")
def _appends(m: Machine) -> None:
    values = m.since_mark()
    _top(m, list).extend(values)


@opcode("s")
def _setitem(m: Machine) -> None:
    value, key = m.stack.pop(), m.stack.pop()
    _top(m, dict, OrderedDict)[m.key(key)] = value


@opcode("u")
def _setitems(m: Machine) -> None:
    items = m.since_mark()
    _set_pairs(m, _top(m, dict, OrderedDict), items)


def _set_pairs(m: Machine, target: dict[Any, Any], items: list[Any]) -> None:
    if len(items) % 2:
        raise FormatError("the pickle gives a dict a key without a value; the file is damaged")
    for i in range(0, len(items), 2):
        target[m.key(items[i])] = items[i + 1]


@opcode(0x90)
def _additems(m: Machine) -> None:
    values = m.since_mark()
    _top(m, set).update([m.key(value) for value in values])


# Names, and what is made with them.


@opcode("c")
def _global(m: Machine) -> None:
    module = m.line().decode("utf-8")
    m.find(module, m.line().decode("utf-8"))


@opcode(0x93)
def _stack_global(m: Machine) -> None:
    name, module = m.stack.pop(), m.stack.pop()
    if type(name) is not str or type(module) is not str:
        raise FormatError("the pickle names a global by something other than text; the file is damaged")
    m.find(module, name)


@opcode("R")
@opcode(0x81)
def _call(m: Machine) -> None:
    arguments = m.stack.pop()
    m.call(m.stack.pop(), arguments)


@opcode("b")
def _build(m: Machine) -> None:
    state = m.stack.pop()
    parts = state if type(state) is tuple else state.values() if type(state) is dict else ()
    m.spend(weight((state,)) + weight(parts))
    m.language.fill(m.stack[-1], state)


@opcode("Q")
def _persistent(m: Machine) -> None:
    m.stack.append(m.language.persistent(m.stack.pop()))
