"""Pickles as Python 2's cPickle wrote FLAME 2020: chumpy wrappers, scipy's old module paths, arrays as `str`."""

from __future__ import annotations

import struct

import numpy as np
from scipy.sparse import csc_matrix


def python2_pickle(arrays: dict[str, np.ndarray], *, protocol0: bool = False) -> bytes:
    """The arrays as Python 2 pickled FLAME 2020: shapedirs in chumpy, J_regressor a scipy matrix, the rest plain arrays.

    With `protocol0` a few bytes differ: no PROTO opcode and all bytes as quoted, escaped text.
    """
    writer = _Python2Writer(protocol0)
    out = [b"" if protocol0 else b"\x80\x02", b"(d" if protocol0 else b"}("]
    for key, value in arrays.items():
        wrap = {"shapedirs": writer.chumpy, "J_regressor": writer.sparse}.get(key, writer.array)
        out += [writer.text(key.encode()), wrap(value), b"s" if protocol0 else b""]
    for key, value in ((b"bs_style", b"lbs"), (b"bs_type", b"lrotmin")):
        out += [writer.text(key), writer.text(value), b"s" if protocol0 else b""]
    return b"".join([*out, b"." if protocol0 else b"u."])


class _Python2Writer:
    """Opcodes of Python 2's cPickle for the few kinds of objects in a FLAME file."""

    def __init__(self, protocol0: bool) -> None:
        self._protocol0 = protocol0

    def text(self, value: bytes) -> bytes:
        """A Python-2 `str`, which is what numpy keeps an array's bytes in."""
        if self._protocol0:
            return b"S" + repr(value)[1:].encode() + b"\n"
        return b"U" + bytes([len(value)]) + value if len(value) < 256 else b"T" + struct.pack("<i", len(value)) + value

    def number(self, value: int) -> bytes:
        return b"I%d\n" % value if self._protocol0 else b"J" + struct.pack("<i", value)

    def tuple(self, *items: bytes) -> bytes:
        return b"(" + b"".join(items) + b"t"

    def array(self, value: np.ndarray) -> bytes:
        empty = self.tuple(b"cnumpy\nndarray\n", self.tuple(self.number(0)), self.text(b"b"))
        shape = self.tuple(*(self.number(size) for size in value.shape))
        state = self.tuple(self.number(1), shape, self._dtype(value.dtype), b"I00\n", self.text(np.ascontiguousarray(value).tobytes()))
        return b"cnumpy.core.multiarray\n_reconstruct\n" + empty + b"R" + state + b"b"

    def chumpy(self, value: np.ndarray) -> bytes:
        dirty = b"c__builtin__\nset\n" + self.tuple(b"(" + self.text(b"x") + b"l") + b"R"
        return self._object(b"chumpy.ch\nCh\n", x=self.array(value), _dirty_vars=dirty, _itr=b"N", _depends_on_deps=b"(d")

    def sparse(self, value: np.ndarray) -> bytes:
        matrix = csc_matrix(value)
        shape = self.tuple(*(self.number(size) for size in value.shape))
        parts = {name: self.array(getattr(matrix, name)) for name in ("indptr", "indices", "data")}
        return self._object(b"scipy.sparse.csc\ncsc_matrix\n", **parts, _shape=shape, maxprint=self.number(50))

    def _dtype(self, dtype: np.dtype) -> bytes:
        made = b"cnumpy\ndtype\n" + self.tuple(self.text(dtype.str[1:].encode()), self.number(0), self.number(1)) + b"R"
        order = self.text(dtype.byteorder.replace("=", "<").encode())
        return made + self.tuple(self.number(3), order, b"N", b"N", b"N", self.number(-1), self.number(-1), self.number(0)) + b"b"

    def _object(self, name: bytes, **state: bytes) -> bytes:
        pairs = b"".join(self.text(key.encode()) + value + b"s" for key, value in state.items())
        if self._protocol0:
            return b"ccopy_reg\n_reconstructor\n" + self.tuple(b"c" + name, b"c__builtin__\nobject\n", b"N") + b"R(d" + pairs + b"b"
        return b"c" + name + b")\x81(d" + pairs + b"b"
