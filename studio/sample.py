"""The bundled sample capture: a synthetic person, photographed by this script, with ground truth.

Usage: python -m studio.sample [--out assets/sample] [--width 720] [--height 960] [--no-clip]

The person's shape lies outside the head model's own basis on purpose, so that fitting it proves something.
"""

from __future__ import annotations

import dataclasses
import functools
import json
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
from PIL import Image

from assets.atomic import written_beside
from assets.head_model import REGIONS
from recon.export.ply import write_ply
from recon.video import write_video
from render.camera import Camera
from studio.demo import SAMPLE_FOLDER
from studio.sample_develop import Exposure, develop
from studio.sample_light import Irradiance
from studio.sample_photos import CLIP_FPS, FOCAL_35MM, PHOTO_HEIGHT, PHOTO_WIDTH, Shot, clip_shots, photo_shots, sample_camera
from studio.sample_render import render_linear
from studio.sample_scene import SampleScene, build_scene, solid_light
from studio.sample_shape import EXPRESSIONS, Expression, eye_centres, load_person, pose_skin
from studio.sample_skin import bake_skin

Progress = Callable[[str, int, int], None]

_SKIN_TEXELS = 3072
_LIGHT_EVERY = 8


@dataclasses.dataclass(frozen=True)
class SampleSettings:
    """What to write and where."""

    out: Path = SAMPLE_FOLDER
    """Folder for photos, clip and ground truth."""
    width: int = PHOTO_WIDTH
    """Width of the photos in pixels."""
    height: int = PHOTO_HEIGHT
    """Height of the photos in pixels."""
    clip: bool = True
    """Also render the clip (a few minutes)."""


@dataclasses.dataclass(frozen=True, eq=False)
class SamplePhoto:
    """One picture of the sample person with its truth."""

    rgb: np.ndarray
    """(H, W, 3) uint8 sRGB."""
    camera: Camera
    """World frame: the head frame of the sample person."""
    expression: Expression
    vertices: np.ndarray
    """(V1, 3) float32 metres: the ground-truth surface, one Loop step finer than the head model, whose vertices come first."""


def sample_capture_dir() -> Path:
    """The folder of the bundled capture: twelve photos, and the folders gt and clip beside them."""
    return SAMPLE_FOLDER


def sample_clip_path() -> Path:
    """The bundled clip; in a folder of its own, so that the photos alone are one capture."""
    return sample_capture_dir() / "clip" / "clip.mp4"


def ground_truth_vertices(expression: Expression) -> np.ndarray:
    """(V1, 3) float32 metres, head frame: vertices of the rendered surface after one of its two Loop steps."""
    person = load_person()
    return pose_skin(person, expression)[: person.num_coarse].astype(np.float32)


@functools.lru_cache(maxsize=3)
def _scene(expression_name: str, gaze_deg: tuple[float, float]) -> SampleScene:
    return build_scene(EXPRESSIONS[expression_name], gaze_deg=gaze_deg)


def render_sample_photo(
    yaw_deg: float, expression: str = "neutral", size: tuple[int, int] = (360, 480), *, pitch_deg: float = 0.0, distance_m: float = 0.7
) -> SamplePhoto:
    """A picture of the sample person for tests, not one of the bundled ones.

    Args:
        yaw_deg: yaw of the head as the camera sees it; positive shows the subject turned to their own left.
        expression: a name in EXPRESSIONS.
        size: (width, height) in pixels; the skin is baked as fine as the picture needs, ten seconds the first time.
        pitch_deg: pitch of the head as the camera sees it.
        distance_m: from the camera to the middle of the face.
    """
    width, height = size
    camera = sample_camera(yaw_deg, pitch_deg, distance_m, width=width, height=height)
    scene = _scene(expression, (0.0, 0.0))
    linear = render_linear(scene, bake_skin(_texels(height)), camera)
    chosen = EXPRESSIONS[expression]
    return SamplePhoto(develop(linear, Exposure(1.1, noise=0.01, seed=7)), camera, chosen, ground_truth_vertices(chosen))


def _texels(height: int) -> int:
    """Texels of the skin maps along a side for pictures of a height."""
    return _SKIN_TEXELS if height > 800 else 2048 if height > 500 else 1024


def render_shot(shot: Shot, *, light: Irradiance | None = None) -> np.ndarray:
    """(H, W, 3) uint8 sRGB picture of one shot; `light` as in build_scene."""
    scene = build_scene(shot.expression, gaze_deg=shot.gaze_deg, light=light)
    return develop(render_linear(scene, bake_skin(_texels(shot.camera.height)), shot.camera), shot.exposure)


def _save_jpeg(path: Path, rgb: np.ndarray) -> None:
    """JPEG at quality 90 with the phone's EXIF."""
    exif = Image.Exif()
    exif[0x010F], exif[0x0110] = "recon", "synthetic phone"
    exif.get_ifd(0x8769)[0xA405] = FOCAL_35MM
    with written_beside(path) as beside:
        Image.fromarray(rgb).save(beside, "JPEG", quality=90, exif=exif.tobytes())


def _clip_frames(shots: tuple[Shot, ...], progress: Progress | None) -> Iterator[np.ndarray]:
    """Frames of the clip; shadows are cast at every eighth frame and mixed between."""
    keys: dict[int, Irradiance] = {}

    def light_at(index: int) -> Irradiance:
        if index not in keys:
            keys[index] = solid_light(shots[index].expression)
        return keys[index]

    for index, shot in enumerate(shots):
        low = index // _LIGHT_EVERY * _LIGHT_EVERY
        high = min(low + _LIGHT_EVERY, len(shots) - 1)
        t = (index - low) / max(high - low, 1)
        a, b = light_at(low), light_at(high)
        mixed = Irradiance(*((1 - t) * getattr(a, f.name) + t * getattr(b, f.name) for f in dataclasses.fields(Irradiance)))
        yield render_shot(shot, light=mixed)
        if progress:
            progress("clip", index + 1, len(shots))


def _truth(shot: Shot) -> dict[str, object]:
    """One entry of gt/frames.json."""
    camera = shot.camera
    lens = {"K": camera.K.tolist(), "world_to_camera": camera.T_cam_world.tolist(), "width": camera.width, "height": camera.height}
    personal = {"smile": round(shot.expression.smile, 4), "skeptic": round(shot.expression.skeptic, 4)}
    weights = dict(shot.expression.weights)
    return {"file": shot.file, "expression": shot.expression_name, "expression_coefficients": weights, "personal": personal, "camera": lens}


def _skin_mesh() -> tuple[np.ndarray, np.ndarray]:
    """Indices (P,) of the skin's vertices in the once refined mesh, and its triangles (T, 3) over them."""
    person = load_person()
    triangles = person.coarse.triangles[np.tile(person.head.triangle_parts, 4) == 1]
    used, inverse = np.unique(triangles, return_inverse=True)
    return used, inverse.reshape(-1, 3).astype(np.int32)


def write_ground_truth(folder: Path, shots: tuple[Shot, ...]) -> None:
    """Write neutral.ply, smile.ply, skeptic.ply, frames.json and face_mask.npz."""
    folder.mkdir(parents=True, exist_ok=True)
    person = load_person()
    used, triangles = _skin_mesh()
    for name, expression in EXPRESSIONS.items():
        with written_beside(folder / f"{name}.ply") as beside:
            write_ply(beside, ground_truth_vertices(expression)[used], triangles, comment="metres, head frame, +Y up, +Z forward")
    regions = np.concatenate([person.head.vertex_regions, np.zeros(person.num_coarse - person.head.num_vertices, np.uint8)])
    share = person.coarse.matrix @ (person.head.vertex_regions == REGIONS.index("face")).astype(np.float64)
    face = np.flatnonzero(share[used] > 0.5).astype(np.int32)
    head_vertex = np.where(used < person.head.num_vertices, used, -1).astype(np.int32)
    np.savez_compressed(folder / "face_mask.npz", face=face, head_vertex=head_vertex, region=regions[used])
    notes = {
        "units": "metres",
        "camera_convention": "OpenCV world-to-camera, x right, y down, z forward; pixel centres at +0.5",
        "world": "head frame of the sample person: +Y up, the face looks along +Z",
        "eye_centres": eye_centres(person).tolist(),
        "frames": [_truth(shot) for shot in shots],
    }
    (folder / "frames.json").write_text(json.dumps(notes, indent=1) + "\n")


def write_photos(folder: Path, shots: tuple[Shot, ...], *, progress: Progress | None = None) -> None:
    """Render the photos of a capture into a folder."""
    for index, shot in enumerate(shots):
        _save_jpeg(folder / shot.file, render_shot(shot))
        if progress:
            progress("photos", index + 1, len(shots))


def write_clip(folder: Path, shots: tuple[Shot, ...], *, progress: Progress | None = None) -> None:
    """Render the clip of a capture into `clip/clip.mp4` of a folder."""
    (folder / "clip").mkdir(parents=True, exist_ok=True)
    write_video(folder / "clip" / "clip.mp4", _clip_frames(shots, progress), fps=CLIP_FPS)


def make_sample(settings: SampleSettings, *, progress: Progress | None = None) -> None:
    """Render the capture into a folder: ground truth first, then photos, then the clip."""
    settings.out.mkdir(parents=True, exist_ok=True)
    photos, clip = photo_shots(width=settings.width, height=settings.height), clip_shots()
    write_ground_truth(settings.out / "gt", (*photos, *clip) if settings.clip else photos)
    write_photos(settings.out, photos, progress=progress)
    if settings.clip:
        write_clip(settings.out, clip, progress=progress)


def main() -> None:
    """Command line: the settings above, with a progress bar."""
    import tyro
    from rich.progress import Progress as Bars

    settings = tyro.cli(SampleSettings)
    with Bars() as bars:
        tasks = {stage: bars.add_task(stage, total=None) for stage in ("photos", "clip")[: 1 + settings.clip]}
        make_sample(settings, progress=lambda stage, done, total: bars.update(tasks[stage], completed=done, total=total))


if __name__ == "__main__":
    main()
