"""The inside of flame_pickle: stack, memo and the few rules by which a FLAME pickle's names make arrays of its own bytes.

States of arrays and dtypes: numpy/core/src/multiarray/methods.c and descriptor.c, `__reduce__` and `__setstate__`.
"""

from __future__ import annotations

import codecs
import dataclasses
import math
import re
import struct
from collections.abc import Callable
from typing import Any, NoReturn

import numpy as np

from assets.errors import InputError

_NUMPY_MODULES = ("numpy.core.multiarray", "numpy._core.multiarray", "numpy.core.numeric", "numpy._core.numeric")
_ADMITTED = {
    **{(module, name): name for module in _NUMPY_MODULES[:2] for name in ("_reconstruct", "scalar")},
    **{(module, "_frombuffer"): "_frombuffer" for module in _NUMPY_MODULES[2:]},
    ("numpy", "ndarray"): "ndarray",
    ("numpy", "dtype"): "dtype",
    ("_codecs", "encode"): "encode",
    **{(module, "_reconstructor"): "_reconstructor" for module in ("copy_reg", "copyreg")},
    **{(module, name): name for module in ("__builtin__", "builtins") for name in ("object", "set", "frozenset")},
    ("collections", "OrderedDict"): "OrderedDict",
}
_WRAPPERS = re.compile(r"(chumpy(\.\w+)*\.\w+|scipy\.sparse(\._?(csc|csr|coo))?\.(csc|csr|coo)_(matrix|array))", re.ASCII)
_DTYPE = re.compile(r"[<>=|]?([iu][1248]|f[248]|b1|[SU][0-9]{1,4})", re.ASCII)

_ORDERS = ("<", ">", "=", "|")


@dataclasses.dataclass(frozen=True)
class Name:
    """A global that the file mentions: never looked up, only compared."""

    full: str
    """Module and name, joined by a dot."""
    rule: str
    """What it stands for in this module; "wrapper" for chumpy's and scipy's classes."""


@dataclasses.dataclass(eq=False)
class Wrapper:
    """An object of chumpy or scipy as inert data: the name of its class and the attributes that the file gives it."""

    full: str
    state: dict[str, Any] = dataclasses.field(default_factory=dict)


@dataclasses.dataclass(eq=False)
class Dtype:
    """A dtype of numbers or text: its code without and its byte order."""

    text: str
    order: str = "<"


@dataclasses.dataclass(eq=False)
class Array:
    """An array before and after its state is given."""

    value: np.ndarray | None = None


class Machine:
    """Stack, marks and memo of one reading; `at` is the offset of the next byte, `stack` what the opcodes work on."""

    def __init__(self, content: bytes, name: str) -> None:
        self.at, self._content, self._name = 0, content, name
        self.stack: list[Any] = []
        self._marks: list[int] = []
        self._memo: dict[int, Any] = {}
        # Copies of what is in the file (decoded text, sets made of lists) may not add up to many times the file.
        self._budget = 4 * len(content) + 65536

    def refuse(self, got: str) -> NoReturn:
        """Raises the InputError for something in the file that does not belong there."""
        raise InputError(
            expected="a FLAME model file: a pickle of nothing but numpy arrays, chumpy arrays and scipy sparse matrices",
            got=f"{self._name} with {got}",
            do="use the file as downloaded from flame.is.tue.mpg.de (generic_model.pkl, flame2023.pkl); open this one with nothing else",
        )

    def take(self, count: int) -> bytes:
        """The next bytes; ValueError where the file has fewer."""
        if not 0 <= count <= len(self._content) - self.at:
            raise ValueError(f"{count} bytes announced, {len(self._content) - self.at} left")
        self.at += count
        return self._content[self.at - count : self.at]

    def line(self) -> bytes:
        """Bytes up to the next newline, which is passed over."""
        end = self._content.index(b"\n", self.at)
        line = self.take(end - self.at)
        self.at += 1
        return line

    def number(self, form: str) -> int:
        """The next bytes as one number of a struct form."""
        return struct.unpack(form, self.take(struct.calcsize(form)))[0]

    def counted(self, form: str) -> bytes:
        """Bytes that come after their count, itself a number of a struct form."""
        return self.take(self.number(form))

    def spend(self, amount: int) -> None:
        """Counts a copy of what is in the file, and refuses too many of them."""
        self._budget -= amount
        if self._budget < 0:
            self.refuse("contents that unpack to many times the file's size")

    def push(self, value: Any) -> None:
        """Puts a value on the stack."""
        self.stack.append(value)

    def pop(self) -> Any:
        """Takes the top of the stack; IndexError where it is empty."""
        return self.stack.pop()

    def mark(self) -> None:
        """Remembers how high the stack is."""
        self._marks.append(len(self.stack))

    def pop_to_mark(self) -> list[Any]:
        """Takes what was pushed since the last mark."""
        start = self._marks.pop()
        items = self.stack[start:]
        del self.stack[start:]
        return items

    def put(self, key: int | None = None) -> None:
        """Keeps the top of the stack under a number, the next one by default."""
        self._memo[len(self._memo) if key is None else key] = self.stack[-1]

    def get(self, key: int) -> None:
        """Pushes what was kept under a number."""
        self.push(self._memo[key])

    def text_line(self) -> str:
        """A line of ASCII text."""
        return self.line().decode("ascii")

    def quoted(self) -> bytes:
        """A line of quoted text with Python's escapes."""
        line = self.line()
        if len(line) < 2 or line[:1] not in (b"'", b'"') or line[-1:] != line[:1]:
            raise ValueError("text without quotes")
        return codecs.escape_decode(line[1:-1])[0]  # pyright: ignore[reportAttributeAccessIssue]

    def integer_line(self) -> int | bool:
        """A line that is an integer, or protocol 1's 00 and 01 for truth values."""
        line = self.text_line()
        return {"00": False, "01": True}.get(line, int(line.rstrip("L")))

    def append(self, items: list[Any]) -> None:
        """Adds to the list on top of the stack."""
        target = self.stack[-1]
        if not isinstance(target, list):
            self.refuse(f"an append to {type(target).__name__}")
        target.extend(items)

    def set_items(self, flat: list[Any]) -> None:
        """Adds to the dictionary on top of the stack."""
        target = self.stack[-1]
        if not isinstance(target, dict):
            self.refuse(f"an item set on {type(target).__name__}")
        target.update(self.pairs(flat))

    def pairs(self, flat: list[Any]) -> dict[str, Any]:
        """Alternating keys and values as a dictionary of text keys."""
        if len(flat) % 2:
            raise ValueError("a key without a value")
        return {text_of(key): value for key, value in zip(flat[::2], flat[1::2], strict=True)}

    def name_global(self, module: str, name: str) -> None:
        """Pushes a name that is admitted, and refuses every other."""
        full = f"{module}.{name}"
        rule = _ADMITTED.get((module, name)) or ("wrapper" if _WRAPPERS.fullmatch(full) else None)
        if rule is None:
            self.refuse(f"the global {full[:200]!r}, which is not admitted: unpickling it could run code")
        self.push(Name(full, rule))

    def reduce(self) -> None:
        """Applies the rule that a name stands for to a tuple of arguments."""
        arguments, name = self.pop(), self.pop()
        if not isinstance(name, Name) or not isinstance(arguments, tuple):
            self.refuse("a call of something that is no name")
        rule = _RULES.get(name.rule)
        if rule is None:
            self.refuse(f"a call of {name.full!r}, which FLAME's files do not call")
        self.push(rule(self, *arguments))

    def new_object(self) -> None:
        """Makes an empty wrapper for a class of chumpy or scipy."""
        arguments, name = self.pop(), self.pop()
        if not isinstance(name, Name) or name.rule != "wrapper" or arguments != ():
            self.refuse("a new object that is neither chumpy's nor scipy's")
        self.push(Wrapper(name.full))

    def build(self) -> None:
        """Gives an array, a dtype or a wrapper its state."""
        state, target = self.pop(), self.stack[-1]
        if isinstance(target, Array):
            target.value = self._array_of(*state[1:])
        elif isinstance(target, Dtype):
            target.order = text_of(state[1])
            # NumPy would read more than an order in front of the code as the start of another dtype, such as a record's.
            if target.order not in _ORDERS or any(part is not None for part in (state[2], state[3], state[4])):
                self.refuse("an array of records")
        elif isinstance(target, Wrapper) and isinstance(state, dict):
            target.state.update(state)
        else:
            self.refuse(f"a state given to {type(target).__name__}")

    def _array_of(self, shape: Any, dtype: Any, fortran: Any, raw: Any) -> np.ndarray:
        if isinstance(raw, list):
            self.refuse("an array of objects")
        return self.array_from(raw, dtype, shape, "F" if fortran else "C")

    def array_from(self, raw: Any, dtype: Any, shape: Any, order: Any = "C") -> np.ndarray:
        """An array over the file's own bytes, whose size must be what shape and dtype announce."""
        if isinstance(raw, str):
            raw = self.encode(raw)
        if not isinstance(raw, bytes) or not isinstance(dtype, Dtype) or not isinstance(shape, tuple):
            self.refuse("an array without bytes, dtype or shape")
        if not all(isinstance(size, int) and size >= 0 for size in shape) or len(shape) > 8:
            # Written out, a tuple of tuples of tuples could fill the memory.
            self.refuse("an array whose shape is no short row of sizes")
        made = np.dtype({"=": "<", "|": "|"}.get(dtype.order, dtype.order) + dtype.text)
        if math.prod(shape) * made.itemsize != len(raw):
            self.refuse(f"an array of shape {shape} and {made} in {len(raw)} bytes")
        return np.frombuffer(raw, made).reshape(shape, order="F" if order == "F" else "C")

    def encode(self, text: Any, encoding: Any = "latin1") -> bytes:
        """Text that Python 3 wrote for bytes, as those bytes."""
        if not isinstance(text, str) or text_of(encoding) not in ("latin1", "latin-1"):
            self.refuse("text in an encoding other than latin1")
        self.spend(len(text))
        return text.encode("latin1")

    def dtype(self, text: Any, *_: Any) -> Dtype:
        """A dtype by its code; refuses objects, records and times."""
        text = text_of(text)
        if not _DTYPE.fullmatch(text):
            self.refuse(f"an array of dtype {text!r:.80}, which is neither numbers nor text")
        return Dtype(text.lstrip("<>=|"), text[0] if text[0] in "<>" else "<")

    def wrapper_of(self, name: Any, base: Any, state: Any = None) -> Wrapper:
        """An empty wrapper, as protocols 0 and 1 make it."""
        if not isinstance(name, Name) or name.rule != "wrapper" or state is not None:
            self.refuse("a new object that is neither chumpy's nor scipy's")
        return Wrapper(name.full)

    def sequence(self, items: Any = ()) -> tuple[Any, ...]:
        """A set as a tuple: as data it needs no hashing, which for nested tuples takes exponential time."""
        self.spend(8 * len(items))
        return tuple(items)

    def ordered(self, pairs: Any = ()) -> dict[str, Any]:
        """An OrderedDict as a dictionary."""
        self.spend(8 * len(pairs))
        return {text_of(key): value for key, value in pairs}

    def scalar(self, dtype: Any, raw: Any) -> np.ndarray:
        """A number as an array without dimensions."""
        return self.array_from(raw, dtype, ())


def text_of(value: Any) -> str:
    """Python 2's or 3's text as text; ValueError for anything else."""
    if isinstance(value, bytes):
        return value.decode("latin1")
    if not isinstance(value, str):
        raise ValueError(f"{type(value).__name__} where text belongs")
    return value


_RULES: dict[str, Callable[..., Any]] = {
    "_reconstruct": lambda machine, *_: Array(),
    "_frombuffer": lambda machine, raw, dtype, shape, order="C": Array(machine.array_from(raw, dtype, shape, text_of(order))),
    "scalar": Machine.scalar,
    "dtype": Machine.dtype,
    "encode": Machine.encode,
    "_reconstructor": Machine.wrapper_of,
    "set": Machine.sequence,
    "frozenset": Machine.sequence,
    "OrderedDict": Machine.ordered,
}
