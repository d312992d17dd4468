"""Pickles read as data: a machine for pickle's opcodes that can neither import nor call anything.

FLAME's files are pickles, and a pickle may name any function of any module and have it called. Python's own unpickler can
be told which names to admit, but it then hands out the real objects, whose methods, attributes and allocations are reachable
from the file (and its memo can be made to ask for any amount of memory). Here a name is only ever a name: those that FLAME's
files use (numpy's array builders, chumpy's wrappers, scipy's sparse matrices) stand for rules of this module that put arrays
together out of the file's own bytes, and every other name is refused. Opcodes: Lib/pickletools.py of Python; states of
arrays and dtypes: numpy/core/src/multiarray/methods.c and descriptor.c, `__reduce__` and `__setstate__`.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from typing import Any

from assets.heads.flame_machine import Array, Machine, text_of
from assets.heads.flame_machine import Wrapper as Wrapper

MAX_STEPS = 200_000
"""Opcodes in one file. A FLAME file has some hundreds: each array is one string of bytes."""

_DAMAGED = IndexError, KeyError, ValueError, TypeError, AttributeError, struct.error, OverflowError


def read_pickle(content: bytes, name: str) -> dict[str, Any]:
    """The dictionary that a pickle holds (protocols 0 to 5): numbers, text, arrays, lists, tuples and `Wrapper`s.

    Nothing is imported, called or allocated beyond what the bytes in the file amount to. Text of Python 2 stays bytes.
    Raises InputError, naming the offence, for a global or opcode that is not admitted, for arrays of objects, for sizes that
    disagree with the bytes, and for a damaged or truncated file. `name` is the file's, for the messages.
    """
    machine = Machine(content, name)
    try:
        top = plain(_run(machine))
    except _DAMAGED as error:
        machine.refuse(f"bytes that are no whole pickle near offset {machine.at} ({type(error).__name__}: {error!s:.200})")
    if not isinstance(top, dict):
        machine.refuse(f"a pickle of {type(top).__name__}, not of a dictionary")
    return top


def plain(value: Any) -> Any:
    """A value of the machine with its arrays taken out of their holders, for dictionaries one level down."""
    if isinstance(value, dict):
        return {key: plain(item) if not isinstance(item, dict) else item for key, item in value.items()}
    if isinstance(value, Array):
        if value.value is None:
            raise ValueError("an array without contents")
        return value.value
    if isinstance(value, Wrapper):
        return Wrapper(value.full, {key: plain(item) if isinstance(item, Array) else item for key, item in value.state.items()})
    return value


def _run(machine: Machine) -> Any:
    """What is on top of the stack at the STOP opcode."""
    for _ in range(MAX_STEPS):
        code = machine.take(1)[0]
        if code == ord("."):
            return machine.pop()
        action = _ACTIONS.get(code)
        if action is None:
            machine.refuse(f"the pickle opcode {bytes([code])!r}, which is not admitted, at offset {machine.at - 1}")
        action(machine)
    machine.refuse(f"more than {MAX_STEPS} pickle opcodes")


_ACTIONS: dict[int, Callable[[Machine], Any]] = {
    ord(code) if isinstance(code, str) else code: action
    for code, action in (
        (0x80, lambda m: m.number("<B")), (0x95, lambda m: m.number("<Q")),
        ("(", Machine.mark), ("0", Machine.pop), ("1", Machine.pop_to_mark), ("2", lambda m: m.push(m.stack[-1])),
        ("N", lambda m: m.push(None)), (0x88, lambda m: m.push(True)), (0x89, lambda m: m.push(False)),
        ("I", lambda m: m.push(m.integer_line())), ("L", lambda m: m.push(m.integer_line())),
        ("J", lambda m: m.push(m.number("<i"))), ("K", lambda m: m.push(m.number("<B"))), ("M", lambda m: m.push(m.number("<H"))),
        (0x8A, lambda m: m.push(int.from_bytes(m.counted("<B"), "little", signed=True))),
        ("F", lambda m: m.push(float(m.text_line()))), ("G", lambda m: m.push(m.number(">d"))),
        ("S", lambda m: m.push(m.quoted())), ("T", lambda m: m.push(m.counted("<i"))), ("U", lambda m: m.push(m.counted("<B"))),
        ("B", lambda m: m.push(m.counted("<I"))), ("C", lambda m: m.push(m.counted("<B"))),
        (0x8E, lambda m: m.push(m.counted("<Q"))), (0x96, lambda m: m.push(m.counted("<Q"))),
        ("V", lambda m: m.push(m.line().decode("raw-unicode-escape"))),
        ("X", lambda m: m.push(m.counted("<I").decode())), (0x8C, lambda m: m.push(m.counted("<B").decode())),
        (0x8D, lambda m: m.push(m.counted("<Q").decode())),
        (")", lambda m: m.push(())), ("t", lambda m: m.push(tuple(m.pop_to_mark()))),
        (0x85, lambda m: m.push(_last(m, 1))), (0x86, lambda m: m.push(_last(m, 2))), (0x87, lambda m: m.push(_last(m, 3))),
        ("]", lambda m: m.push([])), ("l", lambda m: m.push(m.pop_to_mark())),
        ("a", lambda m: m.append([m.pop()])), ("e", lambda m: m.append(m.pop_to_mark())),
        ("}", lambda m: m.push({})), ("d", lambda m: m.push(m.pairs(m.pop_to_mark()))),
        ("s", lambda m: m.set_items(list(_last(m, 2)))), ("u", lambda m: m.set_items(m.pop_to_mark())),
        (0x8F, lambda m: m.push([])), (0x90, lambda m: m.append(m.pop_to_mark())), (0x91, lambda m: m.push(tuple(m.pop_to_mark()))),
        ("g", lambda m: m.get(int(m.text_line()))), ("h", lambda m: m.get(m.number("<B"))), ("j", lambda m: m.get(m.number("<I"))),
        ("p", lambda m: m.put(int(m.text_line()))), ("q", lambda m: m.put(m.number("<B"))), ("r", lambda m: m.put(m.number("<I"))),
        (0x94, Machine.put),
        ("c", lambda m: m.name_global(m.text_line(), m.text_line())),
        (0x93, lambda m: m.name_global(*(text_of(part) for part in _last(m, 2)))),
        ("R", Machine.reduce), (0x81, Machine.new_object), ("b", Machine.build),
    )
}  # fmt: skip
"""Opcode to what it does. Left out, and so refused: persistent ids (P, Q), the extension registry (0x82 to 0x84), INST, OBJ
and NEWOBJ_EX (no FLAME file has them), out-of-band buffers, and numbers of more than 255 bytes."""


def _last(machine: Machine, count: int) -> tuple[Any, ...]:
    items = [machine.pop() for _ in range(count)]
    return tuple(reversed(items))
