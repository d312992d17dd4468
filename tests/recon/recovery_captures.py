"""Small captures of a made-up person outside the head's basis, with known truth, for recovery tests. Not a test itself."""

from __future__ import annotations

import dataclasses
import functools
import json
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from assets.head_model import REGIONS, HeadModel
from assets.similarity import fit_similarity
from benchmarks.geometry_captures import FrameTruth
from benchmarks.stand_in_people import StandInPerson, face_vertices, make_person
from benchmarks.stand_in_scene import Pose, build_stand_in_scene
from benchmarks.stand_in_shots import camera_at, expressed
from benchmarks.stand_in_skin import bake_stand_in_skin
from benchmarks.stand_in_specs import EVERYTHING, EXPRESSIONS, PersonSpec, SkinSpec
from benchmarks.stand_ins import save_photo, truth_mesh, truth_vertices
from recon import Avatar
from recon.quality import GeometryError, geometry_error
from recon.video import write_video
from render import Camera
from studio.sample_develop import Exposure, develop
from studio.sample_light import Irradiance
from studio.sample_photos import focal_px
from studio.sample_render import render_linear
from studio.sample_scene import SampleScene
from studio.sample_skin import SkinTexture

PERSON = PersonSpec("anny", seed=7, identity_scale=1.6, dents=EVERYTHING, ear_grow=(1.12, 1.0), skin=SkinSpec(brow_up_mm=(1.0, 2.5)))
SMOOTH = dataclasses.replace(PERSON, skin=SkinSpec((0.64, 0.45, 0.36), detail=0.12, freckles=0.0, stubble=0.0))
STRANGER = PersonSpec("anny", seed=11, identity_scale=1.8, skin=SkinSpec((0.36, 0.22, 0.16), brow_width=1.5))
FOCAL_35MM = 38
"""What EXIF says of the loose photos; the true focal length is TRUE_FOCAL_35MM."""
TRUE_FOCAL_35MM = 38.4
PHOTO_PX = (320, 416)
RIG_PX = (352, 352)


@dataclasses.dataclass(frozen=True, eq=False)
class Rendered:
    """A capture on disk and what is true of it."""

    folder: Path
    """Holds `images/`, and `cameras.json` for a rig; or `video.mp4`."""
    person: StandInPerson
    frames: Mapping[str, FrameTruth]
    """By the view's name."""
    T_world_head: np.ndarray
    """(4, 4) of the rig's world; identity for loose pictures."""

    @property
    def focal(self) -> float:
        """Pixels, of every picture alike."""
        return next(iter(self.frames.values())).K[0, 0]


class Studio:
    """Photographs one person; shadows are cast once, scenes kept while the pose stays."""

    def __init__(self, spec: PersonSpec) -> None:
        self.person = make_person(spec)
        self._skin: SkinTexture = bake_stand_in_skin(self.person, texels=1024)
        self._light: Irradiance | None = None
        self._last: tuple[Pose, SampleScene] | None = None

    def photograph(self, pose: Pose, camera: Camera, seed: int, *, gain: float = 1.1) -> np.ndarray:
        """(H, W, 3) uint8; `camera` in the head frame."""
        if self._last is None or self._last[0] != pose:
            self._last = (pose, build_stand_in_scene(self.person, pose, light=self._light))
            self._light = self._last[1].irradiance
        return develop(render_linear(self._last[1], self._skin, camera, adaptive=True), Exposure(gain, noise=0.008, seed=seed))


@functools.lru_cache(maxsize=2)
def studio_of(spec: PersonSpec) -> Studio:
    return Studio(spec)


def make_rig(
    folder: Path, spec: PersonSpec = PERSON, *, expressions: Sequence[str] = ("neutral",), yaws: Sequence[float] = (-72, -36, 0, 36, 72)
) -> Rendered:
    """Fixed cameras of a metric rig whose world is turned and shifted: neutral from all, other expressions from all but the outer two."""
    T_world_head = np.eye(4)
    T_world_head[:3, :3] = camera_at(11, -7, 1, 1, (2, 2)).T_cam_world[:3, :3].T @ np.diag([1.0, -1.0, -1.0])
    T_world_head[:3, 3] = (0.21, 1.37, -0.16)
    focal, studio, frames, lenses = RIG_PX[0] * 0.8 / 0.31, studio_of(spec), {}, {}
    for expression in expressions:
        for index, yaw in enumerate(yaws):
            if expression != "neutral" and index in (0, len(yaws) - 1):
                continue
            camera = camera_at(yaw, (4, -12, 9)[index % 3], 0.78 + 0.02 * index, focal, RIG_PX)
            name = f"{expression}_cam{index:02d}.jpg"
            save_photo(folder / "images" / name, studio.photograph(expressed(expression), camera, index), None, quality=93)
            in_world = Camera(camera.K, camera.T_cam_world @ np.linalg.inv(T_world_head), camera.width, camera.height)
            frames[name] = FrameTruth(expression, EXPRESSIONS[expression], camera.K, camera.T_cam_world, in_world.T_cam_world)
            lens = {
                "K": camera.K.tolist(),
                "world_to_camera": in_world.T_cam_world.tolist(),
                "width": camera.width,
                "height": camera.height,
            }
            lenses[f"images/{name}"] = lens
    (folder / "cameras.json").write_text(json.dumps({"units": "metres", "cameras": lenses}))
    return Rendered(folder, studio.person, frames, T_world_head)


def make_loose(folder: Path, spec: PersonSpec = PERSON, *, yaws: Sequence[float], focal_35mm: float | None = FOCAL_35MM) -> Rendered:
    """Hand-held photos of a phone; `focal_35mm` is what EXIF says, None leaves EXIF out."""
    focal, studio, frames = focal_px(TRUE_FOCAL_35MM, *PHOTO_PX), studio_of(spec), {}
    for index, yaw in enumerate(yaws):
        distance = focal * 0.33 / PHOTO_PX[1] * (1, 1.15, 1.06, 1.22)[index % 4]
        aim, roll = ((0.0, 0.01, -0.012)[index % 3], (0.005, -0.01)[index % 2]), (-3, 2, 4)[index % 3]
        camera = camera_at(yaw, (2, -6, 5, -2)[index % 4], distance, focal, PHOTO_PX, aim_m=aim, roll_deg=roll)
        picture = studio.photograph(expressed("neutral"), camera, index, gain=(1.0, 1.2, 0.92)[index % 3])
        name = f"IMG_{index:02d}.jpg"
        save_photo(folder / "images" / name, picture, focal_35mm, quality=92)
        frames[name] = FrameTruth("neutral", {}, camera.K, camera.T_cam_world, camera.T_cam_world)
    return Rendered(folder, studio.person, frames, np.eye(4))


def make_clip(folder: Path, spec: PersonSpec = PERSON, *, frames: int = 16) -> Rendered:
    """A short clip that swings from side to side while a smile comes."""
    size, studio, truths, pictures = (288, 384), studio_of(spec), {}, []
    focal = 1.25 * size[1]
    for index in range(frames):
        t = index / (frames - 1)
        strength = round(max(t - 0.5, 0) * 1.6, 2)
        weights = {name: round(strength * weight, 3) for name, weight in EXPRESSIONS["smile"].items()} if strength else {}
        camera = camera_at(-46 + 92 * t, 4 * np.sin(7 * t), focal * 0.35 / size[1], focal, size, aim_m=(0.006 * np.sin(9 * t), 0.0))
        pictures.append(studio.photograph(Pose(weights, smile=0.5 * strength), camera, 50 + index))
        truths[f"video.mp4#{index:06d}"] = FrameTruth("mixed", weights, camera.K, camera.T_cam_world, camera.T_cam_world)
    folder.mkdir(parents=True, exist_ok=True)
    write_video(folder / "video.mp4", pictures, fps=12, crf=18)
    return Rendered(folder, studio.person, truths, np.eye(4))


def face_error(
    rendered: Rendered, vertices: np.ndarray, triangles: np.ndarray, *, align: bool, expression: str = "neutral"
) -> GeometryError:
    """Distances over the true face, in the rig's world for a rig; with `align`, after the similarity of vertices of one meaning.

    Person and fit share the default head's topology, so that alignment needs no search; it is a little worse than the best one.
    """
    used, own = truth_mesh(rendered.person)
    truth = truth_vertices(rendered.person, expressed(expression))
    truth = truth @ rendered.T_world_head[:3, :3].T + rendered.T_world_head[:3, 3]
    if align:
        face = rendered.person.head.vertex_regions == REGIONS.index("face")
        found = fit_similarity(vertices[face].astype(np.float64), truth[: len(face)][face])
        vertices = found.apply(vertices)
    return geometry_error(vertices, triangles, truth[used], own, mask=np.isin(used, face_vertices(rendered.person)), align="none")


def neutral_error(rendered: Rendered, avatar: Avatar, *, align: bool) -> GeometryError:
    """Distances of the avatar's neutral; where it lies in the world unless it is to be aligned."""
    mesh = avatar.mesh(frame="head" if align else "world")
    return face_error(rendered, mesh.vertices, mesh.triangles, align=align)


def average_error(rendered: Rendered, head: HeadModel) -> GeometryError:
    """Distances of the average head after alignment: what a fit has to beat."""
    return face_error(rendered, head.vertices, head.triangles, align=True)
