"""ICT-FaceKit light (USC Institute for Creative Technologies, 2020, MIT) as a HeadModel.

T. Li et al., "Learning Formation of Physically-Based Face Attributes", CVPR 2020: 100 principal components of light-stage scans.
"""

from __future__ import annotations

import hashlib
import tomllib
from pathlib import Path

import numpy as np

from assets.blendshapes import ARKIT_BLENDSHAPES
from assets.cache import cache_dir, keep_arrays, read_arrays
from assets.errors import InputError, MissingAssetError
from assets.head_model import HeadModel
from assets.heads.ict_mesh import IctMesh, head_mesh
from assets.heads.ict_source import EXPRESSIONS, IctSource, read_ict
from assets.heads.listing import ICT_LICENCE

COMPILE_VERSION = 10
"""Part of the cache key: raise it whenever the compiled arrays change."""

RESTING_LIPS = 0.018
"""Share of `mouthClose` in the neutral: upstream's template parts the lips by half a millimetre and shows a line of teeth."""

BLINK_GAIN = 1.13
"""What is taken of upstream's blinks: at 1 the inner third of the average eye stays open by 1.3 mm, at 1.12 its last closes. Of
random heads a quarter keep an open line: `assets.lids.closing_deltas` closes those."""

UPSTREAM_COMMIT = "da5f95a"

_MAPPING = Path(__file__).parent.parent / "data/ict_arkit.toml"


def load_ict(source: Path | None = None) -> HeadModel:
    """The ICT head from the user's cache, compiled first where it is absent, damaged or of another version (seconds).

    Args:
        source: a packed NPZ, a clone or an unpacked archive of ICT-FaceKit; None takes what `recon assets install ict-facekit` installed.

    A cache that cannot be written is warned of (RuntimeWarning) and done without. Raises MissingAssetError where nothing is
    installed, InputError where the files are not ICT-FaceKit light or have changed since they were installed.
    """
    file, key = _installed_file() if source is None else (source, _fingerprint(source))
    path = cache_dir() / "heads" / f"ict-{UPSTREAM_COMMIT}-{key}-{COMPILE_VERSION}.npz"
    arrays = read_arrays(path)
    if arrays is None:
        arrays = compile_ict(_pinned(file))
        keep_arrays(path, arrays)
    return HeadModel(
        name="ict",
        source=f"ICT-FaceKit light, commit {UPSTREAM_COMMIT}",
        licence=ICT_LICENCE,
        commercial=True,
        identity_names=tuple(f"identity{index:03d}" for index in range(len(arrays["identity_basis"]))),
        absent_blendshapes=tuple(arkit_mapping()["absent"]),
        absent_parts=(),
        **arrays,
    )


def compile_ict(source: IctSource) -> dict[str, np.ndarray]:
    """Arrays of the HeadModel fields from upstream's; deterministic."""
    mouth_close = source.expression[EXPRESSIONS.index("mouthClose")].astype(np.float64)
    mesh = head_mesh(source, RESTING_LIPS * mouth_close)
    identity = np.stack([mesh.identity_mode(mode) for mode in source.identity])
    return {
        "vertices": mesh.vertices,
        "triangles": mesh.triangles,
        "uvs": mesh.uvs,
        "triangle_uvs": mesh.triangle_uvs,
        "triangle_parts": mesh.triangle_parts,
        "vertex_parts": mesh.vertex_parts,
        "vertex_regions": mesh.vertex_regions,
        "identity_basis": identity.astype(np.float32),
        "blendshape_deltas": _arkit_deltas(source, mesh).astype(np.float32),
        "neck_joint": mesh.neck_joint,
        "mirror_vertices": mesh.mirror_vertices,
    }


def arkit_mapping() -> dict[str, dict]:
    """The tables of `assets/data/ict_arkit.toml`: shapes, absent, unused, gaze_deg."""
    return tomllib.loads(_MAPPING.read_text(encoding="utf-8"))


def _arkit_deltas(source: IctSource, mesh: IctMesh) -> np.ndarray:
    """(52, V, 3) metres; gaze shapes get the turn of their eyeball, which upstream leaves at rest."""
    mapping = arkit_mapping()
    deltas = np.zeros((len(ARKIT_BLENDSHAPES), len(mesh.vertices), 3))
    for number, name in enumerate(ARKIT_BLENDSHAPES):
        for upstream in mapping["shapes"].get(name, ()):
            deltas[number] += mesh.displacement(source.expression[EXPRESSIONS.index(upstream)])
        action, side = name.removesuffix("Left").removesuffix("Right"), "Left" if name.endswith("Left") else "Right"
        if action == "eyeBlink":
            deltas[number] *= BLINK_GAIN
        if angle := mapping["gaze_deg"].get(action):
            yaw, pitch = _gaze(action, side, angle)
            deltas[number] += mesh.eye_turn(side, yaw_deg=yaw, pitch_deg=pitch)
    return deltas


def _gaze(action: str, side: str, angle_deg: float) -> tuple[float, float]:
    """Yaw to the subject's left and pitch up of a gaze shape: In is towards the nose."""
    to_left = 1.0 if (side == "Left") == (action == "eyeLookOut") else -1.0
    return {
        "eyeLookIn": (to_left * angle_deg, 0.0),
        "eyeLookOut": (to_left * angle_deg, 0.0),
        "eyeLookUp": (0.0, angle_deg),
        "eyeLookDown": (0.0, -angle_deg),
    }[action]


def _installed_file() -> tuple[Path, str]:
    """The installed packed file, compared with the hash recorded at its installation, and 12 digits of that."""
    from assets.install import installed, verified_file

    asset = installed("ict-facekit")
    if asset is None:
        raise MissingAssetError(
            expected="ICT-FaceKit light, which the head ict is made from",
            got="it is not installed",
            do="recon assets install ict-facekit (or with --from and a clone, archive or packed file)",
        )
    return verified_file(asset), asset.sha256[:12]


def _pinned(file: Path) -> IctSource:
    """Upstream's arrays, of the pinned commit whatever they were read from."""
    from assets.install import INSTALLABLE, check_content

    source = read_ict(file)
    check_content(INSTALLABLE["ict-facekit"], source.content_hash(), file)
    return source


def _fingerprint(source: Path) -> str:
    """12 hex digits that change with the source: a file's content, or names, sizes and times of a folder's files."""
    if source.is_dir():
        stats = ((path.name, path.stat()) for path in sorted(source.rglob("*.obj")))
        listing = "\n".join(f"{name} {stat.st_size} {stat.st_mtime_ns}" for name, stat in stats)
        return hashlib.sha256(f"{source.resolve()}\n{listing}".encode()).hexdigest()[:12]
    try:
        with source.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()[:12]
    except OSError as error:
        raise InputError(
            expected="a packed NPZ or a folder of ICT-FaceKit", got=f"{source}: {error.strerror}", do="give the path of one that exists"
        ) from error
