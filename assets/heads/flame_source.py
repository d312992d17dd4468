"""FLAME's model file as arrays: read from a pickle or an NPZ, checked against what a FLAME file is."""

from __future__ import annotations

import dataclasses
import hashlib
import math
import zipfile
import zlib
from lzma import LZMAError
from pathlib import Path
from typing import IO, Any, NoReturn

import numpy as np

from assets.errors import ConventionError, InputError, MissingAssetError, ShapeError
from assets.heads.flame_pickle import Wrapper, read_pickle

NUM_VERTICES, NUM_TRIANGLES, NUM_JOINTS = 5023, 9976, 5
NUM_SHAPE, NUM_EXPRESSION = 300, 100
"""Components of identity, then of expression, in `shapedirs`, in every release since 2017."""

MAX_BYTES = 1 << 30
"""FLAME's files have 50 to 55 MB; more than 1 GiB is something else."""

MAX_ARRAY_BYTES = 1 << 27
"""The largest array, `shapedirs`, has 48 MB in double precision; seven at this limit still fit into the memory of a small machine."""

JAW = 2
"""Joints: 0 root, 1 neck, 2 jaw, 3 and 4 the eyeballs (the order of `weights` and `J_regressor`)."""

_SHAPES = {
    "v_template": (NUM_VERTICES, 3),
    "f": (NUM_TRIANGLES, 3),
    "shapedirs": (NUM_VERTICES, 3, NUM_SHAPE + NUM_EXPRESSION),
    "posedirs": (NUM_VERTICES, 3, 9 * (NUM_JOINTS - 1)),
    "J_regressor": (NUM_JOINTS, NUM_VERTICES),
    "weights": (NUM_VERTICES, NUM_JOINTS),
    "kintree_table": (2, NUM_JOINTS),
}


@dataclasses.dataclass(frozen=True, eq=False)
class FlameSource:
    """What a FLAME file holds, in the file's own frame: metres, +Y up, face +Z, the origin near the head's middle."""

    path: Path
    sha256: str
    """Hex digest of the file."""
    template: np.ndarray
    """(5023, 3) float64, metres."""
    triangles: np.ndarray
    """(9976, 3) int32, counter-clockwise from outside."""
    shape_directions: np.ndarray
    """(300, 5023, 3) float64, metres for one standard deviation of the identity coefficient."""
    expression_directions: np.ndarray
    """(100, 5023, 3) float64, metres for one standard deviation of the expression coefficient."""
    pose_directions: np.ndarray
    """(36, 5023, 3) float64: correctives, one for each entry of R - I of joints 1 to 4, row-major."""
    joints: np.ndarray
    """(5, 3) float64: the joints of the template, by FLAME's regressor."""
    skinning: np.ndarray
    """(5023, 5) float64: linear blend weights; rows sum to 1."""


def read_flame(path: Path) -> FlameSource:
    """Reads FLAME 2020 or 2023 from the user's `.pkl` (never run, see flame_pickle) or an `.npz` with the same keys.

    Raises MissingAssetError where there is no such file, InputError for a file that is damaged, refused or of another kind,
    ShapeError for arrays of other shapes, ConventionError for another unit or axes.
    """
    _require(path)
    if path.stat().st_size > MAX_BYTES:
        _refuse(path, f"{path.stat().st_size / 1e6:.0f} MB")
    content = path.read_bytes()
    found = _read_npz(path) if content[:2] == b"PK" else read_pickle(content, path.name)
    return checked_source(found, path, hashlib.sha256(content).hexdigest())


def checked_source(found: dict[str, Any], path: Path, sha256: str) -> FlameSource:
    """The record of what was read by FLAME's keys, after checking shapes, numbers, indices, joints, unit and axes.

    Raises as read_flame does; `path` and `sha256` are kept in the record.
    """
    arrays = {key: _checked(path, key, found) for key in _SHAPES}
    directions = np.moveaxis(arrays["shapedirs"], 2, 0)
    source = FlameSource(
        path=path,
        sha256=sha256,
        template=arrays["v_template"],
        triangles=arrays["f"].astype(np.int32),
        shape_directions=directions[:NUM_SHAPE],
        expression_directions=directions[NUM_SHAPE:],
        pose_directions=np.moveaxis(arrays["posedirs"], 2, 0),
        joints=arrays["J_regressor"] @ arrays["v_template"],
        skinning=arrays["weights"],
    )
    _check_values(source, arrays["kintree_table"])
    return source


def file_digest(path: Path) -> str:
    """SHA-256 of a FLAME file in hex; raises MissingAssetError where there is none."""
    _require(path)
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _require(path: Path) -> None:
    if not path.is_file():
        raise MissingAssetError(
            expected="FLAME's model file: generic_model.pkl (2020), flame2023.pkl, flame2023_Open.pkl or an .npz of the same arrays",
            got=f"no file at {path}",
            do="register at flame.is.tue.mpg.de, download FLAME and give its path, as flame:/path/to/generic_model.pkl",
        )


def _refuse(path: Path, got: str) -> NoReturn:
    raise InputError(
        expected="a FLAME 2020 or 2023 model file: generic_model.pkl, flame2023.pkl, flame2023_Open.pkl, or an .npz of the same arrays",
        got=f"{path.name} with {got}",
        do="give FLAME's model file itself (not its masks, embeddings or textures, nor SMPL or SMPL-X)",
    )


def _read_npz(path: Path) -> dict[str, Any]:
    """The arrays wanted of an NPZ; none of objects, none whose header announces more than the archive holds."""
    try:
        with zipfile.ZipFile(path) as archive:
            members = {info.filename.removesuffix(".npy"): info for info in archive.infolist()}
            return {key: _read_member(path, archive, members[key]) for key in _SHAPES if key in members}
    except (zipfile.BadZipFile, EOFError, ValueError, OSError, NotImplementedError, RuntimeError, zlib.error, LZMAError) as error:
        _refuse(path, f"damaged contents ({type(error).__name__}: {error})")


def _read_member(path: Path, archive: zipfile.ZipFile, info: zipfile.ZipInfo) -> np.ndarray:
    if info.file_size > MAX_ARRAY_BYTES:
        _refuse(path, f"an array {info.filename} of {info.file_size / 1e6:.0f} MB")
    with archive.open(info) as file:
        shape, dtype = _npy_header(file)
        if dtype.hasobject:
            _refuse(path, f"{info.filename} as an array of Python objects, which could run code")
        if math.prod(shape) * dtype.itemsize > info.file_size:
            _refuse(path, f"{info.filename} announcing {shape} of {dtype} in {info.file_size} bytes")
    with archive.open(info) as file:
        return np.lib.format.read_array(file, allow_pickle=False)


def _npy_header(file: IO[bytes]) -> tuple[tuple[int, ...], np.dtype]:
    version = np.lib.format.read_magic(file)
    read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
    shape, _, dtype = read(file)
    return shape, dtype


def _checked(path: Path, key: str, found: dict[str, Any]) -> np.ndarray:
    """One array as float64 (or int64) of FLAME's shape with finite numbers."""
    if key not in found:
        _refuse(path, f"no {key!r}; it has {', '.join(sorted(found)) or 'nothing'}"[:400])
    value = found[key]
    array = _unwrapped(path, key, value) if isinstance(value, Wrapper) else value
    if not isinstance(array, np.ndarray) or array.dtype.kind not in "iuf":
        _refuse(path, f"{key!r} that is no array of numbers")
    if array.shape != _SHAPES[key]:
        raise ShapeError(
            expected=f"{key} of shape {_SHAPES[key]}, as in FLAME 2020 and 2023",
            got=f"{array.shape} in {path.name}",
            do="give FLAME's own model file, with 300 identity and 100 expression components",
        )
    if array.dtype.kind == "f" and not np.isfinite(array).all():
        _refuse(path, f"{np.count_nonzero(~np.isfinite(array))} numbers in {key!r} that are not finite")
    return array.astype(np.int64 if key in ("f", "kintree_table") else np.float64)


def _unwrapped(path: Path, key: str, value: Wrapper) -> np.ndarray:
    """What chumpy and scipy objects hold: chumpy's plain arrays their `x`, sparse matrices their dense array."""
    if value.full.startswith("chumpy."):
        if isinstance(value.state.get("x"), np.ndarray):
            return value.state["x"]
        _refuse(path, f"{key!r} as {value.full}, which computes its numbers instead of holding them")
    return _dense(path, key, value)


def _dense(path: Path, key: str, value: Wrapper) -> np.ndarray:
    """A scipy matrix (CSC, CSR or COO) put together from its three arrays, all of them checked."""
    state, shape = value.state, _SHAPES[key]
    stated = state.get("_shape", state.get("shape"))
    if not isinstance(stated, tuple) or not all(map(_is_integer, stated)) or stated != shape:
        # What the file states is not written out: nested tuples could fill the memory.
        _refuse(path, f"{key!r} as a sparse matrix of a shape other than {shape}")
    layout = value.full.rpartition(".")[2][:3]
    names = ("row", "col", "data") if layout == "coo" else ("indptr", "indices", "data")
    parts = [state.get(name) for name in names]
    if not all(isinstance(part, np.ndarray) and part.ndim == 1 and part.dtype.kind in "iuf" for part in parts):
        _refuse(path, f"{key!r} as a sparse matrix without {', '.join(names)}")
    rows, columns, data = (np.asarray(part) for part in parts)
    if layout != "coo":
        rows, columns = _expanded(path, key, rows, columns, shape[1] if layout == "csc" else shape[0])
        rows, columns = (columns, rows) if layout == "csc" else (rows, columns)
    inside = len(rows) == len(columns) == len(data) and ((rows >= 0) & (rows < shape[0]) & (columns >= 0) & (columns < shape[1])).all()
    if not inside:
        _refuse(path, f"{key!r} as a sparse matrix with indices outside it")
    dense = np.zeros(shape)
    np.add.at(dense, (rows.astype(np.int64), columns.astype(np.int64)), data)
    return dense


def _is_integer(size: Any) -> bool:
    """Python's or NumPy's; comparing anything else could take exponential time, or be no truth value."""
    return isinstance(size, int) or (isinstance(size, np.ndarray) and size.ndim == 0)


def _expanded(path: Path, key: str, pointers: np.ndarray, minor: np.ndarray, num_major: int) -> tuple[np.ndarray, np.ndarray]:
    """Compressed index pointers as one major index for each entry."""
    runs = np.diff(pointers.astype(np.int64))
    if len(pointers) != num_major + 1 or (runs < 0).any() or pointers[0] != 0 or pointers.max() != len(minor):
        _refuse(path, f"{key!r} as a sparse matrix whose index pointers do not fit")
    return np.repeat(np.arange(num_major), runs), minor


def _check_values(source: FlameSource, kintree: np.ndarray) -> None:
    """Indices, the joint tree, weights, and unit and axes by what lies where."""
    triangles = source.triangles
    if triangles.min() < 0 or triangles.max() >= NUM_VERTICES:
        _refuse(source.path, f"triangles of vertices {triangles.min()} to {triangles.max()}, of which there are {NUM_VERTICES}")
    if kintree[0, 1:].tolist() != [0, 1, 1, 1]:
        _refuse(source.path, f"joints with the parents {kintree[0].tolist()}, not FLAME's root, neck, jaw and two eyes")
    if np.abs(source.skinning.sum(1) - 1).max() > 1e-3 or source.skinning.min() < -1e-3:
        _refuse(source.path, "skinning weights that do not sum to 1")
    left, right = source.joints[3], source.joints[4]
    apart = float(np.linalg.norm(left - right))
    if not 0.04 < apart < 0.09:
        raise ConventionError(
            expected="a FLAME head in metres, with its eyeballs 40 to 90 mm apart",
            got=f"{apart * 1000:.3g} mm, taking {source.path.name} for metres",
            do="use the file as published, not scaled",
        )
    middle, top = (left + right) / 2, source.template[:, 1].max()
    upright = source.joints[1, 1] < middle[1] < top and middle[2] > source.template[:, 2].mean()
    corners = (source.template - middle)[triangles]
    volume = float(np.linalg.det(corners).sum() / 6)
    if not upright or volume <= 0:
        raise ConventionError(
            expected="a FLAME head with +Y up, the face towards +Z and triangles counter-clockwise from outside",
            got=f"eyes at {np.round(middle, 3).tolist()} and a volume of {volume * 1e6:.0f} ml in {source.path.name}",
            do="use the file as published, not turned, mirrored or inside out",
        )
