"""Captures with known truth of people outside every head model, rendered on this machine and kept in the user's cache.

Usage: python -m benchmarks.stand_ins [--work DIR] [--only ict-odd/rig anny-odd/loose ...]

A stand-in is a person of `stand_in_specs.PEOPLE` in one kind of capture: `rig` (cameras.json, metric), `loose` (photos of a phone),
`bare` (the same photos without EXIF), `clip` (a video). Each folder has what a capture of $RECON_DATA has: `images/` or `video.mp4`,
`gt/neutral.ply` and the expressions' meshes, `gt/frames.json`, and `gt/face_mask.npz`, since vertices are in an order of their own.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
from PIL import Image

from assets.atomic import written_beside
from benchmarks.stand_in_people import StandInPerson, face_vertices, make_person
from benchmarks.stand_in_scene import Pose, build_stand_in_scene, eye_centres, posed
from benchmarks.stand_in_shots import CLIP_FPS, StandInShot, clip_shots, expressed, loose_shots, rig_shots
from benchmarks.stand_in_skin import bake_stand_in_skin
from benchmarks.stand_in_specs import EXPRESSIONS, PEOPLE
from recon.export.ply import write_ply
from recon.video import write_video
from render import RayScene
from render.camera import Camera
from studio.sample_backdrop import Backdrop, room_backdrop
from studio.sample_develop import develop
from studio.sample_light import Irradiance
from studio.sample_noise import fractal
from studio.sample_render import render_linear
from studio.sample_skin import SkinTexture

VERSION = 1
"""Part of the cache's path: raise it whenever a picture or a truth changes."""
STAND_INS = tuple(
    [f"{name}/{kind}" for name in ("ict-odd", "anny-odd", "smooth", "hairy") for kind in ("rig", "loose")]
    + ["ict-odd/bare", "ict-odd/clip", "anny-odd/clip", "turning/loose", "turning/stranger"]
)
"""Every stand-in, PERSON/KIND."""
_LIGHT_EVERY = 8
_DIRECTIONS = 64
_MIN_OPENNESS = 0.1
"""A plane sees half of all directions, the corner of an eye a sixth."""
_R_LIGHT_CAM = np.diag([1.0, -1.0, -1.0])

Progress = Callable[[str, int, int], None]


def default_work_dir() -> Path:
    """Where the stand-ins lie: $XDG_CACHE_HOME/recon/stand-ins, outside the repository."""
    return Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "recon" / "stand-ins"


def stand_in(name: str, work: Path | None = None, *, progress: Progress | None = None) -> Path:
    """The folder of a stand-in PERSON/KIND, rendered first where it is not there yet; the same bytes on every machine of one kind."""
    folder = (default_work_dir() if work is None else work) / f"v{VERSION}" / name
    if (folder / "gt" / "frames.json").exists():
        return folder
    person_name, kind = name.split("/")
    if kind in ("bare", "stranger"):
        _derive(folder, kind, stand_in(f"{person_name}/loose", work, progress=progress), work, progress)
        return folder
    person = make_person(PEOPLE[person_name])
    shots = {"rig": rig_shots, "loose": loose_shots, "clip": clip_shots}[kind](person.spec.seed)
    folder.mkdir(parents=True, exist_ok=True)
    _write_meshes(folder / "gt", person, shots)
    pictures = _pictures(person, shots, kind == "rig", lambda done: progress(name, done, len(shots)) if progress else None)
    if kind == "clip":
        write_video(folder / "video.mp4", pictures, fps=CLIP_FPS, crf=20)
    else:
        for shot, picture in zip(shots, pictures, strict=True):
            save_photo(folder / shot.file, picture, shot.focal_35mm)
    if kind == "rig":
        _write_json(folder / "cameras.json", _rig(shots))
    # Written last: its presence says that the stand-in is whole.
    _write_json(folder / "gt" / "frames.json", _frames(person, shots))
    return folder


def _pictures(person: StandInPerson, shots: tuple[StandInShot, ...], is_rig: bool, done: Callable[[int], None]) -> Iterator[np.ndarray]:
    """(H, W, 3) uint8 of each shot. Light that stays in the room is cast once for each expression, in a clip for each eighth frame."""
    skin, lights = bake_stand_in_skin(person), dict[str, Irradiance]()
    backdrop = studio_backdrop if is_rig else room_backdrop
    for index, shot in enumerate(shots):
        key = shot.expression if shot.expression != "mixed" else f"{index // _LIGHT_EVERY}"
        yield render_shot(person, shot, skin, lights, key, backdrop)
        done(index + 1)


def render_shot(
    person: StandInPerson,
    shot: StandInShot,
    skin: SkinTexture,
    lights: dict[str, Irradiance],
    key: str,
    backdrop: Backdrop = room_backdrop,
    supersample: int = 2,
) -> np.ndarray:
    """(H, W, 3) uint8 sRGB; `lights` keeps the light under `key` for shots of the same pose."""
    T_cam_head, turn = shot.camera.T_cam_world @ shot.T_world_head, np.eye(3)
    if person.spec.light_follows_camera:
        turn = _R_LIGHT_CAM @ T_cam_head[:3, :3]
    scene = build_stand_in_scene(person, shot.pose, R_light_head=turn, light=lights.get(key))
    if not person.spec.light_follows_camera:
        lights[key] = scene.irradiance
    T_cam_light = T_cam_head.copy()
    T_cam_light[:3, :3] = T_cam_head[:3, :3] @ turn.T
    camera = Camera(shot.camera.K, T_cam_light, shot.camera.width, shot.camera.height)
    linear = render_linear(scene, skin, camera, supersample=supersample, backdrop=backdrop, adaptive=True)
    return develop(linear, shot.exposure)


def studio_backdrop(direction: np.ndarray) -> np.ndarray:
    """(N, 3) linear: a grey cyclorama, unevenly lit."""
    shade = 0.30 + 0.06 * direction[:, 1] + 0.03 * direction[:, 0] + 0.006 * fractal(direction * 40, 30, octaves=2, seed=230)
    return shade[:, None] * np.array([0.98, 1.0, 1.03])


def save_photo(path: Path, rgb: np.ndarray, focal_35mm: float | None, *, quality: int = 90) -> None:
    """JPEG, with the phone's EXIF where a focal length is given."""
    path.parent.mkdir(parents=True, exist_ok=True)
    exif = Image.Exif()
    if focal_35mm is not None:
        exif[0x010F], exif[0x0110] = "recon", "synthetic phone"
        exif.get_ifd(0x8769)[0xA405] = round(focal_35mm)
    with written_beside(path) as beside:
        Image.fromarray(rgb).save(beside, "JPEG", quality=quality, exif=exif.tobytes())


def _derive(folder: Path, kind: str, photos: Path, work: Path | None, progress: Progress | None) -> None:
    """`bare`: the photos without EXIF. `stranger`: with a photo of somebody else among them."""
    shutil.copytree(photos / "gt", folder / "gt", ignore=shutil.ignore_patterns("frames.json"), dirs_exist_ok=True)
    (folder / "images").mkdir(parents=True, exist_ok=True)
    for photo in sorted((photos / "images").iterdir()):
        if kind == "bare":
            _without_exif(photo, folder / "images" / photo.name)
        else:
            shutil.copy(photo, folder / "images" / photo.name)
    if kind == "stranger":
        other = stand_in("ict-odd/loose", work, progress=progress)
        shutil.copy(other / "images" / "IMG_2007.jpg", folder / "images" / "IMG_2006a.jpg")
    shutil.copy(photos / "gt" / "frames.json", folder / "gt" / "frames.json")


def _without_exif(source: Path, target: Path) -> None:
    """The same JPEG data without its EXIF segment; nothing is compressed again."""
    data = source.read_bytes()
    start = data.index(b"\xff\xe1")
    length = int.from_bytes(data[start + 2 : start + 4], "big")
    target.write_bytes(data[:start] + data[start + 2 + length :])


def _write_meshes(folder: Path, person: StandInPerson, shots: tuple[StandInShot, ...]) -> None:
    """One mesh an expression, in the world where the pictures show it, and the masks of its regions."""
    folder.mkdir(parents=True, exist_ok=True)
    used, triangles = truth_mesh(person)
    for name in EXPRESSIONS:
        own = [shot for shot in shots if shot.expression == name]
        T_world_head = own[0].T_world_head if own else np.eye(4)
        vertices = truth_vertices(person, expressed(name))[used] @ T_world_head[:3, :3].T + T_world_head[:3, 3]
        with written_beside(folder / f"{name}.ply") as beside:
            write_ply(beside, vertices, triangles, comment="metres, world of frames.json, +Y up, the face looks along +Z")
    np.savez_compressed(folder / "face_mask.npz", **truth_regions(person))


def truth_regions(person: StandInPerson) -> dict[str, np.ndarray]:
    """Indices of truth vertices: "face", and "wide_face" with forehead and sides of the jaw; what lies deep in a hole is in neither.

    The truth has no eyeballs, so the sockets behind them would count as seen, and nostrils are holes whose depth no picture shows.
    """
    used, _ = truth_mesh(person)
    atlas, is_open = person.atlas_mm[: person.num_truth][used], _openness(person)[used] > _MIN_OPENNESS
    face = np.isin(used, face_vertices(person))
    wide = face | ((atlas[:, 2] > -75) & (atlas[:, 1] > -125) & (np.abs(atlas[:, 0]) < 80) & (atlas[:, 1] < 95))
    return {name: np.flatnonzero(mask & is_open).astype(np.int32) for name, mask in (("face", face), ("wide_face", wide))}


def _openness(person: StandInPerson) -> np.ndarray:
    """(V1,) share of all directions that a truth vertex sees past skin, eyes and teeth; a half on a plane."""
    vertices = truth_vertices(person, expressed("neutral"))
    rays, open_ = RayScene(vertices, person.truth.triangles), np.zeros(len(vertices))
    index = np.arange(_DIRECTIONS) + 0.5
    polar, turn = np.arccos(1 - 2 * index / _DIRECTIONS), np.pi * (1 + 5**0.5) * index
    for direction in np.stack([np.cos(turn) * np.sin(polar), np.sin(turn) * np.sin(polar), np.cos(polar)], 1):
        hits = rays.cast(vertices + 5e-4 * direction, np.broadcast_to(direction, vertices.shape))
        open_ += ~np.isfinite(hits.distance)
    return open_ / _DIRECTIONS


def truth_mesh(person: StandInPerson) -> tuple[np.ndarray, np.ndarray]:
    """Indices (P,) of the skin's vertices among the truth's, and triangles (T, 3) over them; the cut of the neck is left out."""
    parts = np.tile(person.head.triangle_parts, 4)
    triangles = person.truth.triangles[(parts == 1) & (person.atlas_mm[person.truth.triangles][:, :, 1] > -150).all(1)]
    used, index = np.unique(triangles, return_inverse=True)
    return used, index.reshape(-1, 3).astype(np.int32)


def truth_vertices(person: StandInPerson, pose: Pose) -> np.ndarray:
    """(V1, 3) metres, head frame: all vertices of the ground truth with an expression."""
    return posed(person, pose)[: person.num_truth]


def _rig(shots: tuple[StandInShot, ...]) -> dict[str, object]:
    return {"units": "metres", "cameras": {shot.file: _lens(shot.camera) for shot in shots}}


def _lens(camera: Camera) -> dict[str, object]:
    return {"K": camera.K.tolist(), "world_to_camera": camera.T_cam_world.tolist(), "width": camera.width, "height": camera.height}


def _frames(person: StandInPerson, shots: tuple[StandInShot, ...]) -> dict[str, object]:
    frames = []
    for shot in shots:
        weights = dict(shot.pose.weights)
        entry = {"file": shot.file, "expression": shot.expression, "expression_coefficients": weights, "camera": _lens(shot.camera)}
        frames.append(entry | {"T_world_head": shot.T_world_head.tolist(), "focal_35mm": shot.focal_35mm})
    convention = "OpenCV world-to-camera, x right, y down, z forward; pixel centres at +0.5"
    return {"units": "metres", "camera_convention": convention, "eye_centres": eye_centres(person).tolist(), "frames": frames}


def _write_json(path: Path, content: dict[str, object]) -> None:
    with written_beside(path) as beside:
        Path(beside).write_text(json.dumps(content, indent=1) + "\n")


def main() -> None:
    """Render what is missing and print where it lies."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--work", type=Path, default=default_work_dir())
    parser.add_argument("--only", nargs="+", default=list(STAND_INS), choices=STAND_INS)
    arguments = parser.parse_args()
    for name in arguments.only:
        print(stand_in(name, arguments.work, progress=lambda text, done, total: print(f"\r{text} {done}/{total} ", end="", flush=True)))


if __name__ == "__main__":
    main()
