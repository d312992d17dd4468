"""Reading FLAME files: what is understood, and every way in which a file is refused."""

from __future__ import annotations

import dataclasses
import io
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from assets import load_head
from assets.errors import ConventionError, InputError, MissingAssetError, ReconError, ShapeError
from assets.heads.flame import load_flame
from assets.heads.flame_pickle import Wrapper
from assets.heads.flame_source import FlameSource, checked_source, read_flame
from tests.assets.flame_file import flame_arrays, flame_path, make_flame_file


def test_the_pickle_gives_the_arrays_that_were_put_in():
    made, read = flame_arrays(), read_flame(flame_path())
    np.testing.assert_array_equal(read.template, made["v_template"])
    np.testing.assert_array_equal(read.triangles, made["f"])
    np.testing.assert_array_equal(read.shape_directions[7], made["shapedirs"][..., 7])
    np.testing.assert_array_equal(read.expression_directions[5], made["shapedirs"][..., 305])
    np.testing.assert_array_equal(read.pose_directions[17], made["posedirs"][..., 17])
    np.testing.assert_allclose(read.joints, made["J"], atol=1e-12)


def test_the_npz_gives_the_same_record(tmp_path):
    from_pickle, from_npz = read_flame(flame_path()), read_flame(make_flame_file(tmp_path, "npz"))
    for field in dataclasses.fields(FlameSource):
        if field.name not in ("path", "sha256"):
            np.testing.assert_array_equal(getattr(from_npz, field.name), getattr(from_pickle, field.name), err_msg=field.name)


def swap(key: str, change: Any) -> dict[str, np.ndarray]:
    arrays = flame_arrays()
    return {**arrays, key: change(arrays[key])}


def with_one(array: np.ndarray, index: Any, value: float) -> np.ndarray:
    changed = array.copy()
    changed[index] = value
    return changed


BROKEN: dict[str, tuple[type[ReconError], str, Any]] = {
    "no template": (InputError, "no 'v_template'", lambda: {k: v for k, v in flame_arrays().items() if k != "v_template"}),
    "masks instead": (InputError, "face, scalp", lambda: {"face": np.arange(5), "scalp": np.arange(5)}),
    "SMPL": (ShapeError, r"\(6890, 3\)", lambda: swap("v_template", lambda _: np.zeros((6890, 3)))),
    "fewer components": (ShapeError, r"shapedirs.*400", lambda: swap("shapedirs", lambda a: a[..., :350])),
    "not finite": (InputError, "1 numbers in 'posedirs'", lambda: swap("posedirs", lambda a: with_one(a, (3, 1, 2), np.nan))),
    "text": (InputError, "'weights' that is no array of numbers", lambda: swap("weights", lambda _: "weights")),
    "triangle out of range": (InputError, "5023", lambda: swap("f", lambda a: with_one(a, (9, 1), 5023))),
    "other joints": (InputError, "parents", lambda: swap("kintree_table", lambda a: with_one(a, (0, 3), 2))),
    "weights": (InputError, "sum to 1", lambda: swap("weights", lambda a: a * 1.5)),
    "millimetres": (ConventionError, "metres", lambda: swap("v_template", lambda a: a * 1000)),
    "mirrored": (ConventionError, "volume of -", lambda: swap("v_template", lambda a: a * (-1, 1, 1))),
    "z up": (ConventionError, r"\+Y up", lambda: swap("v_template", lambda a: a[:, [0, 2, 1]] * (1, -1, 1))),
    "computed chumpy": (InputError, "computes its numbers", lambda: swap("weights", lambda _: Wrapper("chumpy.reordering.Select", {}))),
    "sparse of other size": (
        InputError,
        "sparse matrix of a shape other",
        lambda: swap("J_regressor", lambda _: Wrapper("scipy.sparse.csc.csc_matrix", {"_shape": (10**9, 10**9)})),
    ),
    "sparse with wild pointers": (
        InputError,
        "index pointers",
        lambda: swap("J_regressor", lambda _: sparse_record(np.arange(5024) * 10**6, np.zeros(3, int), np.zeros(3))),
    ),
    "sparse with wild indices": (
        InputError,
        "indices outside",
        lambda: swap("J_regressor", lambda _: sparse_record(np.minimum(np.arange(5024), 3), np.array([0, 5, 1]), np.zeros(3))),
    ),
}


def sparse_record(indptr: np.ndarray, indices: np.ndarray, data: np.ndarray) -> Wrapper:
    state = {"_shape": (5, 5023), "indptr": indptr, "indices": indices, "data": data}
    return Wrapper("scipy.sparse.csc.csc_matrix", state)


@pytest.mark.parametrize("name", list(BROKEN))
def test_a_file_that_is_not_flames_is_refused_with_what_was_expected(name):
    kind, message, make = BROKEN[name]
    with pytest.raises(kind, match=message) as caught:
        checked_source(make(), Path("given.pkl"), "")
    assert "FLAME" in caught.value.expected and "given.pkl" in caught.value.got + caught.value.expected and caught.value.do


def test_a_missing_file_says_where_flame_is_to_be_had(tmp_path):
    with pytest.raises(MissingAssetError, match=r"flame\.is\.tue\.mpg\.de"):
        load_flame(tmp_path / "generic_model.pkl")


def test_an_npz_with_objects_or_with_a_header_beyond_its_bytes_is_refused(tmp_path):
    path = tmp_path / "evil.npz"
    np.savez(path, v_template=np.array([{"a": 1}], object))
    with pytest.raises(InputError, match="Python objects"):
        read_flame(path)
    header = io.BytesIO()
    np.lib.format.write_array_header_1_0(header, {"descr": "<f8", "fortran_order": False, "shape": (10**12, 3)})
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("v_template.npy", header.getvalue() + bytes(24))
    with pytest.raises(InputError, match="announcing"):
        read_flame(path)
    path.write_bytes(b"PK\x03\x04 cut short")
    with pytest.raises(InputError, match="damaged"):
        read_flame(path)


def test_a_malicious_file_given_as_a_head_does_not_run(tmp_path):
    path, mark = tmp_path / "generic_model.pkl", tmp_path / "ran"
    path.write_bytes(b"cos\nsystem\n(S'touch " + str(mark).encode() + b"'\ntR.")
    with pytest.raises(InputError, match=r"os\.system"):
        load_head(f"flame:{path}")
    assert not mark.exists()
