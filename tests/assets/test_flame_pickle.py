"""FLAME's pickles are read as data: what Python 2 and 3 write is understood, and nothing in a pickle can run."""

from __future__ import annotations

import copyreg
import os
import pickle
import struct
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from scipy.sparse import coo_matrix, csc_matrix, csr_matrix

from assets.errors import InputError
from assets.heads.flame_pickle import MAX_STEPS, Wrapper, read_pickle
from tests.assets.flame_python2 import python2_pickle


class Command:
    """Pickles to a call of any importable function."""

    def __init__(self, function: object, *arguments: object) -> None:
        self._call = function, arguments

    def __reduce__(self):
        return self._call


def small_arrays() -> dict[str, np.ndarray]:
    rng = np.random.default_rng(1)
    regressor = np.zeros((3, 7))
    regressor[0, 2], regressor[2, 6], regressor[1, 0] = 0.25, -1.5, 3.0
    return {
        "shapedirs": rng.normal(size=(4, 3, 5)),
        "f": np.arange(12, dtype=np.uint32).reshape(4, 3),
        "weights": rng.normal(size=(6, 2)).astype(np.float32),
        "J_regressor": regressor,
    }


@pytest.mark.parametrize("protocol0", [False, True])
def test_python_2s_dialect_is_read_with_chumpy_and_scipy_as_inert_records(protocol0):
    arrays = small_arrays()
    found = read_pickle(python2_pickle(arrays, protocol0=protocol0), "x.pkl")
    np.testing.assert_array_equal(found["f"], arrays["f"])
    np.testing.assert_array_equal(found["weights"], arrays["weights"])
    assert found["bs_type"] == b"lrotmin"
    assert type(found["shapedirs"]) is type(found["J_regressor"]) is Wrapper
    np.testing.assert_array_equal(found["shapedirs"].state["x"], arrays["shapedirs"])
    expected = csc_matrix(arrays["J_regressor"])
    for name in ("indptr", "indices", "data"):
        np.testing.assert_array_equal(found["J_regressor"].state[name], getattr(expected, name))
    assert found["J_regressor"].full == "scipy.sparse.csc.csc_matrix"


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_python_3s_pickles_of_every_protocol_are_read(protocol):
    arrays = small_arrays()
    fortran = np.asfortranarray(arrays["weights"])
    metadata = {"n_expr": 100, "expr_components": "last_100", "share": 0.5, "none": None, "names": ["a", ("b", True)]}
    found = read_pickle(pickle.dumps({**arrays, "fortran": fortran, "big": 2**70, "meta": metadata}, protocol), "x.pkl")
    for name, array in {**arrays, "fortran": fortran}.items():
        np.testing.assert_array_equal(found[name], array)
        assert found[name].dtype == array.dtype
    assert found["big"] == 2**70
    assert found["meta"] == metadata


@pytest.mark.parametrize("make", [csc_matrix, csr_matrix, coo_matrix])
def test_matrices_of_todays_scipy_are_read_without_scipys_classes(make):
    found = read_pickle(pickle.dumps({"m": make(np.eye(3))}), "x.pkl")["m"]
    assert type(found) is Wrapper
    np.testing.assert_array_equal(found.state["data"], np.ones(3))


def touch(mark: Path) -> str:
    return f"touch {mark}"


def commands(mark: Path) -> dict[str, Command]:
    """Calls that would make the file `mark`, through functions that are importable wherever numpy is."""
    code = f"open({str(mark)!r}, 'w')"
    return {
        "os.system": Command(os.system, touch(mark)),
        "builtins.eval": Command(eval, code),
        "builtins.exec": Command(exec, code),
        "numpy.testing": Command(np.testing._private.utils.runstring, code, {}),
        "numpy.save": Command(np.save, str(mark), np.zeros(3)),
        "os.open": Command(os.open, str(mark), os.O_CREAT),
    }


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
@pytest.mark.parametrize("name", list(commands(Path("x"))))
def test_a_pickle_that_calls_a_function_is_refused_by_name_and_does_not_run(name, protocol, tmp_path):
    mark = tmp_path / "ran"
    payload = pickle.dumps({"v_template": np.zeros((2, 3)), "f": commands(mark)[name]}, protocol)
    with pytest.raises(InputError, match="not admitted: unpickling it could run code") as caught:
        read_pickle(payload, "evil.pkl")
    assert not list(tmp_path.iterdir())
    assert name.split(".")[-1] in caught.value.got or "runstring" in caught.value.got or "posix" in caught.value.got
    # The payload is a working one: Python's own unpickler does run it.
    pickle.loads(payload)
    assert list(tmp_path.iterdir())


def short(text: str) -> bytes:
    return b"\x8c" + bytes([len(text)]) + text.encode()


def gadgets(mark: Path) -> dict[str, bytes]:
    """Attacks by hand-written opcodes: other ways to name, call or set things, with admitted names as gadgets."""
    command = touch(mark).encode()
    system = b"cos\nsystem\n"
    ndarray, wrapper = b"cnumpy\nndarray\n", b"cchumpy.ch\nCh\n"
    array = b"cnumpy.core.multiarray\n_reconstruct\n(" + ndarray + b"(I0\ntS'b'\ntR"
    return {
        "INST": b"(S'" + command + b"'\nios\nsystem\n.",
        "OBJ": b"(" + system + b"S'" + command + b"'\no.",
        "stack global": b"\x80\x04" + short("os") + short("system") + b"\x93(" + b"S'" + command + b"'\ntR.",
        "memoised stack global": b"\x80\x04" + short("os") + b"\x94" + short("system") + b"\x94" + b"h\x00h\x01\x93)R.",
        "dotted name": b"\x80\x04" + short("numpy") + short("ndarray.tofile") + b"\x93)R.",
        "submodule of an admitted one": b"cnumpy.core.multiarray\nos.system\n(S'" + command + b"'\ntR.",
        "sibling of an admitted name": b"c_codecs\nlookup\n(S'latin1'\ntR.",
        "other codec": b"c_codecs\nencode\n(V" + command + b"\nS'zlib'\ntR.",
        "numpy.load": b"cnumpy\nload\n(S'/etc/passwd'\ntR.",
        "numpy scalar of objects": b"cnumpy.core.multiarray\nscalar\n(cnumpy\ndtype\n(S'O8'\nI0\nI1\ntRS'abc'\ntR.",
        "_reconstructor of a real class": b"ccopy_reg\n_reconstructor\n(csubprocess\nPopen\nc__builtin__\nobject\nNtR.",
        "_reconstructor of ndarray": b"ccopy_reg\n_reconstructor\n(" + ndarray + b"c__builtin__\nobject\nNtR.",
        "_reconstructor with a state": b"ccopy_reg\n_reconstructor\n(cchumpy.ch\nCh\nc__builtin__\nobject\nS'x'\ntR.",
        "call of a wrapper": wrapper + b"(S'" + command + b"'\ntR.",
        "call of ndarray": ndarray + b"((I1000000000\nttR.",
        "call of a text": b"S'os.system'\n(S'" + command + b"'\ntR.",
        "state given to a name": wrapper + b"(dS'__setstate__'\n" + wrapper + b"sb.",
        "slots given to a name": wrapper + b"(N(dS'__setstate__'\n" + wrapper + b"stb.",
        "slots given to a wrapper": wrapper + b")\x81(N(dS'__class__'\n" + wrapper + b"stb.",
        "state given to a dictionary": b"(d(dS'__class__'\nS'x'\nsb.",
        "new object of object": b"c__builtin__\nobject\n)\x81.",
        "NEWOBJ_EX": b"\x80\x04" + wrapper + b")}\x92.",
        "scipy beyond matrices": b"cscipy.sparse.linalg\nLinearOperator\n)\x81.",
        "scipy's file loader": b"cscipy.sparse\nload_npz\n(S'x'\ntR.",
        "other chumpy-like package": b"cchumpy_evil\nrun\n)\x81.",
        "extension registry": b"\x80\x02\x82\xf0.",
        "persistent id": b"Pos.system\n.",
        "binary persistent id": b"S'os.system'\nQ.",
        "out-of-band buffer": b"\x80\x05\x97.",
        "array of objects": array + b"(I1\n(I1\ntcnumpy\ndtype\n(S'O8'\nI0\nI1\ntRI00\n(lt" + b"b.",
        "array whose dtype is a name": array + b"(I1\n(I1\ntcos\nsystem\nI00\nS'x'\ntb.",
        "array of records": array + b"(I1\n(I1\ntcnumpy\ndtype\n(S'V8'\nI0\nI1\ntRI00\nS'abcdefgh'\ntb.",
        "array of records by its byte order": array
        + b"(I1\n(I1\ntcnumpy\ndtype\n(S'i4'\nI0\nI1\ntR(I3\nS'f4,'\nNNNI-1\nI-1\nI0\ntb"
        + b"I00\nS'abcdefgh'\ntb.",
        "no dictionary": b"(lS'x'\na.",
    }


@pytest.mark.parametrize("name", list(gadgets(Path("x"))))
def test_hand_written_attacks_are_refused_and_leave_no_trace(name, tmp_path):
    mark = tmp_path / "ran"
    copyreg._extension_registry[("os", "system")] = 0xF0
    copyreg._inverted_registry[0xF0] = ("os", "system")
    try:
        with pytest.raises(InputError) as caught:
            read_pickle(gadgets(mark)[name], "evil.pkl")
    finally:
        del copyreg._extension_registry[("os", "system")], copyreg._inverted_registry[0xF0]
    assert "evil.pkl" in caught.value.got and "FLAME" in caught.value.expected and caught.value.do
    assert not list(tmp_path.iterdir())


def test_several_of_the_attacks_do_run_in_pythons_own_unpickler(tmp_path):
    for index, name in enumerate(("INST", "OBJ", "stack global")):
        mark = tmp_path / str(index)
        pickle.loads(gadgets(mark)[name])
        assert mark.exists(), name


def bombs() -> dict[str, bytes]:
    """Small files that ask for a great deal of memory or time."""
    array = b"cnumpy.core.multiarray\n_reconstruct\n(cnumpy\nndarray\n(I0\ntS'b'\ntR"
    doubled = b"(" + b"Nt" + b"".join(b"2\x86" for _ in range(60))
    return {
        "array of a terabyte": array + b"(I1\n(I1000000000000\ntcnumpy\ndtype\n(S'f8'\nI0\nI1\ntRI00\nS'x'\ntb.",
        "array of negative size": array + b"(I1\n(I-1\nI-8\ntcnumpy\ndtype\n(S'b1'\nI0\nI1\ntRI00\nS'12345678'\ntb.",
        "empty array with a huge side": b"cnumpy.core.multiarray\n_reconstruct\n(cnumpy\nndarray\n(I1000000000000\ntS'b'\ntR.",
        "text of an exabyte": b"\x80\x04\x8d" + struct.pack("<Q", 2**60) + b"x.",
        "bytes of an exabyte": b"\x80\x04\x8e" + struct.pack("<Q", 2**60) + b"x.",
        "negative length": b"T" + struct.pack("<i", -5) + b"x.",
        "memo at two billion": b"}r" + struct.pack("<I", 2**31 - 1) + b"0N.",
        "sets of a list": b"(l" + b"Na" * 5000 + b"p0\n" + b"0c__builtin__\nset\n(g0\ntR" * 3000 + b".",
        "exponential key": b"}" + doubled + b"Ns.",
        "exponential shape": array + b"(I1\n" + doubled + b"cnumpy\ndtype\n(S'b1'\nI0\nI1\ntRI00\nS'x'\ntb.",
        "exponential text": b"cnumpy\ndtype\n(" + doubled + b"I0\nI1\ntR.",
        "no end of opcodes": b"N" * (2 * MAX_STEPS),
        "a number of many digits": b"I" + b"9" * 100_000 + b"\n.",
    }


@pytest.mark.parametrize("name", list(bombs()))
def test_bombs_are_refused_at_once(name):
    start = time.process_time()
    with pytest.raises(InputError):
        read_pickle(bombs()[name], "bomb.pkl")
    assert time.process_time() - start < 2


def test_a_file_cut_short_anywhere_is_refused():
    whole = python2_pickle(small_arrays())
    read_pickle(whole, "x.pkl")
    for length in (*range(0, len(whole) - 1, 13), len(whole) - 1):
        with pytest.raises(InputError, match=r"x\.pkl"):
            read_pickle(whole[:length], "x.pkl")


def test_random_damage_never_raises_anything_but_an_input_error():
    rng, whole = np.random.default_rng(2), python2_pickle(small_arrays())
    outcomes = set()
    for _ in range(1500):
        damaged = bytearray(whole)
        for place in rng.integers(0, len(whole), 3):
            damaged[place] = rng.integers(256)
        try:
            read_pickle(bytes(damaged), "x.pkl")
            outcomes.add("read")
        except InputError:
            outcomes.add("refused")
    # Damage inside the numbers cannot be seen, all other damage is refused.
    assert outcomes == {"read", "refused"}


def test_reading_loads_no_module(monkeypatch):
    """Admitted names are data too, whether their package is installed or not: nothing is imported for them."""
    content = python2_pickle(small_arrays())
    assert b"chumpy" in content and b"scipy.sparse" in content
    asked: list[str] = []

    class Listener:
        @staticmethod
        def find_spec(name: str, *_: object) -> None:
            asked.append(name)

    monkeypatch.setattr(sys, "meta_path", [Listener, *sys.meta_path])
    loaded = {*sys.modules}
    read_pickle(content, "x.pkl")
    assert {*sys.modules} == loaded and not [name for name in asked if name.startswith(("chumpy", "scipy", "copy_reg"))]
