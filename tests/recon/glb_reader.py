"""A reader of GLB files for tests, written from the format's text and not from the writer."""

from __future__ import annotations

import io
import json
import struct
from pathlib import Path

import numpy as np
from PIL import Image

COMPONENTS = {5126: "<f4", 5125: "<u4"}


def read_glb(path: Path) -> tuple[dict, bytes]:
    """The JSON and binary chunks, after checking the container's structure byte by byte."""
    data = path.read_bytes()
    magic, version, length = struct.unpack_from("<4sII", data)
    assert (magic, version, length) == (b"glTF", 2, len(data)) and length % 4 == 0
    json_length, json_type = struct.unpack_from("<I4s", data, 12)
    binary_length, binary_type = struct.unpack_from("<I4s", data, 20 + json_length)
    assert (json_type, binary_type) == (b"JSON", b"BIN\0")
    assert json_length % 4 == 0 and 28 + json_length + binary_length == len(data)
    document = json.loads(data[20 : 20 + json_length])
    binary = data[28 + json_length :]
    assert document["buffers"] == [{"byteLength": len(binary)}]
    for view in document["bufferViews"]:
        assert view["byteOffset"] % 4 == 0 and view["byteLength"] > 0
        assert view["byteOffset"] + view["byteLength"] <= len(binary)
    return document, binary


def raw(document: dict, binary: bytes, view_index: int, dtype: str, columns: int) -> np.ndarray:
    view = document["bufferViews"][view_index]
    values = np.frombuffer(binary, dtype, view["byteLength"] // np.dtype(dtype).itemsize, view["byteOffset"])
    return values.reshape(-1, columns)


def read_accessor(document: dict, binary: bytes, index: int) -> np.ndarray:
    """Dense values of any accessor: plain, sparse over zeros, or all zeros; its bounds are checked where it has some."""
    accessor = document["accessors"][index]
    dtype, columns = COMPONENTS[accessor["componentType"]], {"SCALAR": 1, "VEC2": 2, "VEC3": 3, "VEC4": 4}[accessor["type"]]
    values = np.zeros((accessor["count"], columns), dtype)
    if "bufferView" in accessor:
        values = raw(document, binary, accessor["bufferView"], dtype, columns)
        assert values.shape == (accessor["count"], columns)
    if "sparse" in accessor:
        sparse = accessor["sparse"]
        rows = raw(document, binary, sparse["indices"]["bufferView"], COMPONENTS[sparse["indices"]["componentType"]], 1)[:, 0]
        assert len(rows) == sparse["count"] and (np.diff(rows.astype(int)) > 0).all()
        values[rows] = raw(document, binary, sparse["values"]["bufferView"], dtype, columns)
    if "min" in accessor:
        np.testing.assert_array_equal(np.float32(accessor["min"]), values.min(0))
        np.testing.assert_array_equal(np.float32(accessor["max"]), values.max(0))
    return values


def corners_by_material(document: dict, binary: bytes, attribute: str, target: int | None = None) -> dict[str, np.ndarray]:
    """(F, 3, k) values at the triangles' corners, by the material's name; of the base, or of a morph target."""
    corners = {}
    for primitive in document["meshes"][0]["primitives"]:
        indices = read_accessor(document, binary, primitive["indices"]).reshape(-1, 3)
        index = (primitive["attributes"] if target is None else primitive["targets"][target])[attribute]
        corners[document["materials"][primitive["material"]]["name"]] = read_accessor(document, binary, index)[indices]
    return corners


def picture_of(document: dict, binary: bytes, texture: int) -> np.ndarray:
    view = document["bufferViews"][document["images"][document["textures"][texture]["source"]]["bufferView"]]
    return np.array(Image.open(io.BytesIO(binary[view["byteOffset"] : view["byteOffset"] + view["byteLength"]])))
