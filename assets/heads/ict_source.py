"""Reader of ICT-FaceKit light: its OBJ files as upstream publishes them, or the same packed into one NPZ."""

from __future__ import annotations

import dataclasses
import hashlib
import zipfile
import zlib
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

import numpy as np

from assets.cache import write_arrays
from assets.errors import InputError

NUM_VERTICES = 26719
NUM_IDENTITY = 100

EXPRESSIONS: tuple[str, ...] = tuple(
    sorted(
        [f"{name}_{side}" for side in "LR" for name in (
            "PupilDilate", "browDown", "browInnerUp", "browOuterUp", "cheekPuff", "cheekRaiser", "cheekSquint", "eyeBlink",
            "eyeLookDown", "eyeLookIn", "eyeLookOut", "eyeLookUp", "eyeSquint", "eyeWide", "mouthDimple", "mouthFrown",
            "mouthLowerDown", "mouthPress", "mouthSmile", "mouthStretch", "mouthUpperUp", "noseSneer",
        )]
        + ["jawForward", "jawLeft", "jawOpen", "jawRight", "mouthClose", "mouthFunnel", "mouthLeft", "mouthPucker", "mouthRight",
           "mouthRollLower", "mouthRollUpper", "mouthShrugLower", "mouthShrugUpper"]
    )
)  # fmt: skip
"""Upstream's 57 expression shapes, sorted as in the packed file."""

NEUTRAL_FILE = "generic_neutral_mesh.obj"

Progress = Callable[[str, int, int], None]


@dataclasses.dataclass(frozen=True, eq=False)
class IctSource:
    """ICT-FaceKit light as published: centimetres, +Y up, face +Z, polygons split into fans of triangles."""

    template: np.ndarray
    """(26719, 3) float32 cm."""
    uv: np.ndarray
    """(28911, 2) float32, several unit squares side by side in u, some of them in use twice."""
    faces: np.ndarray
    """(T, 3) int32 into `template`."""
    faces_uv: np.ndarray
    """(T, 3) int32 into `uv`."""
    face_material: np.ndarray
    """(T,) uint8 into `materials`."""
    materials: np.ndarray
    """(12,) str."""
    identity: np.ndarray
    """(100, 26719, 3) float16 cm of displacement for one standard deviation."""
    expression: np.ndarray
    """(57, 26719, 3) float16 cm of displacement at weight 1."""
    expression_names: np.ndarray
    """(57,) str, upstream's names with `_L` and `_R` for the subject's left and right."""

    def has_material(self, *names: str) -> np.ndarray:
        """(T,) bool: the triangles of these materials."""
        return np.isin(self.materials[self.face_material], [f"M_{name}" for name in names])

    def content_hash(self) -> str:
        """SHA-256 over all arrays in the order of the fields: the same for the published files and the packed one."""
        digest = hashlib.sha256()
        for field in dataclasses.fields(self):
            array = getattr(self, field.name)
            content = "\n".join(array).encode() if array.dtype.kind == "U" else np.ascontiguousarray(array).tobytes()
            digest.update(f"{field.name} {array.shape}\n".encode() + content)
        return digest.hexdigest()


def read_ict(path: Path, *, progress: Progress | None = None) -> IctSource:
    """ICT-FaceKit from a packed NPZ or from a folder that holds upstream's `FaceXModel` (or is it).

    Both give the same arrays bit for bit. Reading the folder's 158 OBJ files (400 MB) takes some ten seconds.
    Raises InputError where files are missing, damaged or of another mesh.
    """
    if not path.is_dir():
        return _read_packed(path)
    folder = _model_folder(path)
    files = ((name, (folder / name).read_bytes()) for name in needed_files() if (folder / name).is_file())
    return read_objs(files, folder, progress=progress)


def read_objs(files: Iterable[tuple[str, bytes]], origin: Path, *, progress: Progress | None = None) -> IctSource:
    """ICT-FaceKit from names and contents of its OBJ files in any order; names that are not needed are passed over.

    `origin` is what messages name. Raises InputError where files are missing, damaged or of another mesh.
    """
    wanted = {*needed_files()}
    vertices: dict[str, np.ndarray] = {}
    mesh_lines: list[bytes] = []
    for name, content in files:
        if name not in wanted:
            continue
        lines = content.splitlines()
        vertices[name] = _vertices(lines, origin / name)
        mesh_lines = lines if name == NEUTRAL_FILE else mesh_lines
        if progress is not None:
            progress("read ICT-FaceKit", len(vertices), len(wanted))
    if missing := sorted(wanted - {*vertices}):
        raise InputError(
            expected=f"all {len(wanted)} OBJ files of ICT-FaceKit's folder FaceXModel in {origin}",
            got=f"{len(missing)} missing, among them {missing[0]}",
            do="take a complete clone or archive of ICT-FaceKit",
        )
    return _from_objs(vertices, mesh_lines, origin)


def write_packed(path: Path, source: IctSource) -> None:
    """Writes the packed NPZ that `read_ict` reads, beside its place and then renamed."""
    write_arrays(path, {field.name: getattr(source, field.name) for field in dataclasses.fields(source)})


def needed_files() -> tuple[str, ...]:
    """Names of the 158 OBJ files below upstream's FaceXModel that make the head."""
    return NEUTRAL_FILE, *(f"identity{index:03d}.obj" for index in range(NUM_IDENTITY)), *(f"{name}.obj" for name in EXPRESSIONS)


def _model_folder(path: Path) -> Path:
    """The folder with the OBJ files for a clone, an unpacked archive, or that folder itself."""
    for folder in (path, path / "FaceXModel", *sorted(path.glob("*/FaceXModel"))):
        if (folder / NEUTRAL_FILE).is_file():
            return folder
    raise InputError(
        expected=f"a clone of ICT-FaceKit with its folder FaceXModel and {NEUTRAL_FILE} in it",
        got=f"{path} without it",
        do="give the folder of a clone or of an unpacked archive",
    )


def _from_objs(vertices: Mapping[str, np.ndarray], mesh_lines: list[bytes], origin: Path) -> IctSource:
    template = vertices[NEUTRAL_FILE]
    uv = _uvs(mesh_lines, origin / NEUTRAL_FILE)
    faces, faces_uv, material_names = _fans(mesh_lines, origin / NEUTRAL_FILE)
    materials, face_material = np.unique(material_names, return_inverse=True)
    # Half floats keep displacements to 2 um, and make packed file and published files the same numbers.
    moved = [(vertices[name] - template).astype(np.float16) for name in needed_files()[1:]]
    return _checked(
        IctSource(
            template=template,
            uv=uv,
            faces=faces,
            faces_uv=faces_uv,
            face_material=face_material.astype(np.uint8),
            materials=materials,
            identity=np.stack(moved[:NUM_IDENTITY]),
            expression=np.stack(moved[NUM_IDENTITY:]),
            expression_names=np.array(EXPRESSIONS),
        ),
        origin,
    )


def _vertices(lines: list[bytes], path: Path) -> np.ndarray:
    """(26719, 3) float32 of an OBJ file's lines."""
    try:
        numbers = np.array(b" ".join(line[2:] for line in lines if line.startswith(b"v ")).split(), np.float64)
        return numbers.reshape(NUM_VERTICES, 3).astype(np.float32)
    except ValueError as error:
        raise _not_ict(path, f"{sum(line.startswith(b'v ') for line in lines)} vertex lines") from error


def _uvs(lines: list[bytes], path: Path) -> np.ndarray:
    """(T, 2) float32 of an OBJ file's lines."""
    try:
        return np.array([line[3:].split() for line in lines if line.startswith(b"vt ")], np.float64).astype(np.float32)
    except ValueError as error:
        raise _not_ict(path, f"a line of texture coordinates that is not of numbers: {error}") from error


def _fans(lines: list[bytes], path: Path) -> tuple[np.ndarray, np.ndarray, list[str]]:
    """Triangles, their texture coordinates and the material of each; polygons become fans about their first corner."""
    faces, faces_uv, materials, material = [], [], [], ""
    try:
        for line in lines:
            if line.startswith(b"usemtl "):
                material = line[7:].strip().decode()
            elif line.startswith(b"f "):
                corners = [tuple(map(int, corner.split(b"/")[:2])) for corner in line[2:].split()]
                for k in range(1, len(corners) - 1):
                    faces.append((corners[0][0], corners[k][0], corners[k + 1][0]))
                    faces_uv.append((corners[0][1], corners[k][1], corners[k + 1][1]))
                    materials.append(material)
        return np.array(faces, np.int32) - 1, np.array(faces_uv, np.int32) - 1, materials
    except (ValueError, IndexError, OverflowError) as error:
        raise _not_ict(path, f"a face line that is not of vertices and texture coordinates: {error}") from error


def _read_packed(path: Path) -> IctSource:
    names = [field.name for field in dataclasses.fields(IctSource)]
    try:
        with np.load(path, allow_pickle=False) as file:
            return _checked(IctSource(**{name: file[name] for name in names}), path)
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile, zlib.error) as error:
        raise _not_ict(path, str(error) or type(error).__name__) from error


def _checked(source: IctSource, path: Path) -> IctSource:
    """The source after checking that its arrays fit each other; InputError otherwise."""
    num_t = len(source.faces)
    wanted = {
        "template": (NUM_VERTICES, 3),
        "faces": (num_t, 3),
        "faces_uv": (num_t, 3),
        "face_material": (num_t,),
        "identity": (NUM_IDENTITY, NUM_VERTICES, 3),
        "expression": (len(EXPRESSIONS), NUM_VERTICES, 3),
    }
    for name, shape in wanted.items():
        if getattr(source, name).shape != shape:
            raise _not_ict(path, f"{name} of shape {getattr(source, name).shape} instead of {shape}")
    for name, limit in (("faces", NUM_VERTICES), ("faces_uv", len(source.uv)), ("face_material", len(source.materials))):
        array = getattr(source, name)
        if array.min() < 0 or array.max() >= limit:
            raise _not_ict(path, f"{name} that point outside of 0..{limit - 1}")
    if tuple(source.expression_names) != EXPRESSIONS:
        raise _not_ict(path, f"the expressions {', '.join(sorted({*source.expression_names} ^ {*EXPRESSIONS})[:4]) or 'in another order'}")
    if not all(np.isfinite(array).all() for array in (source.template, source.uv, source.identity, source.expression)):
        raise _not_ict(path, "numbers that are not finite")
    return source


def _not_ict(path: Path, got: str) -> InputError:
    return InputError(
        expected=f"ICT-FaceKit light with {NUM_VERTICES} vertices, {NUM_IDENTITY} identity modes and {len(EXPRESSIONS)} expressions",
        got=f"{got} in {path}",
        do="take the files of ICT-FaceKit's commit da5f95a, or install it again: recon assets install ict-facekit",
    )
