"""People whose expressions lie outside a head model's own family, and their captures: one instance of each of three expressions.

A person is a stand-in (`stand_in_people.py`) whose shapes are either those of the other head model, or those of its own model bent on
purpose: every shape is multiplied by a smooth random field of matrices, so that its motion grows, shrinks and turns from place to
place by tens of per cent, and one side of the face is the stronger one. Neutral is seen by eleven calibrated cameras, each expression
by three.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np

from assets.atomic import written_beside
from assets.blendshapes import ARKIT_BLENDSHAPES
from assets.head_model import PARTS
from benchmarks.geometry_captures import Case
from benchmarks.stand_in_people import StandInPerson, atlas_of, make_person
from benchmarks.stand_in_scene import Pose
from benchmarks.stand_in_shots import StandInShot, rig_shots
from benchmarks.stand_in_skin import bake_stand_in_skin
from benchmarks.stand_in_specs import EXPRESSIONS, PersonSpec, SkinSpec
from benchmarks.stand_ins import render_shot, save_photo, studio_backdrop, truth_mesh, truth_regions, truth_vertices
from studio.sample_light import Irradiance
from studio.sample_noise import noise, smoothstep

VERSION = 1
"""Part of the cache's path: raise it whenever a picture changes."""
CAMERAS = ("cam03", "cam05", "cam07")
"""The cameras that see the expressions: 36 degrees to each side, and the middle one."""
SIDES = (1.25, 0.8)
"""By how much bent shapes are stronger on the subject's left, and weaker on the right."""
BEND, WAVE_MM = 0.3, 45.0
"""Standard deviation of each entry of the matrices that bend a shape, and their wavelength."""
EYE_MM = (17.0, 26.0)
"""Lids are not bent, within the first distance of an eyeball's centre, so that they neither gape nor cut into it."""
FIXED = ("eyeBlink", "eyeLook")


@dataclasses.dataclass(frozen=True)
class PersonalSpec:
    """One of the people."""

    person: PersonSpec
    bent: bool
    """Whether the shapes are bent on purpose, or the head model's own."""


PEOPLE: Mapping[str, PersonalSpec] = {
    "ict": PersonalSpec(PersonSpec("ict", seed=211, skin=SkinSpec(brow_up_mm=(1.0, 2.0))), bent=False),
    "anny": PersonalSpec(PersonSpec("anny", seed=222, skin=SkinSpec((0.60, 0.40, 0.32), stubble=0.1)), bent=False),
    "ict-bent": PersonalSpec(PersonSpec("ict", seed=233, skin=SkinSpec((0.42, 0.26, 0.19), lip_grow_mm=0.4)), bent=True),
    "anny-bent": PersonalSpec(PersonSpec("anny", seed=244, skin=SkinSpec(freckles=1.4, brow_up_mm=(-0.5, 0.5))), bent=True),
}
"""Heads' own shapes are outside the family of the other head only; bent ones are outside of both."""

OUTSIDE: Mapping[str, tuple[str, ...]] = {"anny": ("ict", "ict-bent", "anny-bent"), "ict": ("anny", "ict-bent", "anny-bent")}
"""By the head that is fitted, who is outside of its family."""


def personal_person(name: str) -> StandInPerson:
    """A person of PEOPLE; deterministic."""
    spec = PEOPLE[name]
    person = make_person(spec.person)
    return bent_person(person) if spec.bent else person


def bent_person(person: StandInPerson) -> StandInPerson:
    """The same person with every shape of the head model but gaze and blinks bent; teeth, tongue and eyeballs move as before."""
    head, atlas = person.head, atlas_of(person.spec.head)
    is_skin = head.vertex_parts == PARTS.index("skin")
    is_skin |= np.isin(head.vertex_parts, [PARTS.index("lashes"), PARTS.index("mouth_socket")])
    left_share = smoothstep(-12.0, 12.0, atlas[:, 0])
    side = SIDES[1] + (SIDES[0] - SIDES[1]) * left_share
    near_eye = np.min([np.linalg.norm(1e3 * (head.vertices - centre), axis=1) for centre in head.eye_centres()], axis=0)
    bend_here = (smoothstep(*EYE_MM, near_eye) * is_skin)[:, None]
    deltas = head.blendshape_deltas.copy()
    for index, shape in enumerate(ARKIT_BLENDSHAPES):
        if not shape.startswith(FIXED):
            seeds = 10_000 * person.spec.seed + 100 * index + np.arange(9)
            matrix = BEND * np.stack([noise(atlas, WAVE_MM, seed=int(seed)) for seed in seeds], -1).reshape(-1, 3, 3)
            wanted = side[:, None] * (deltas[index] + np.einsum("vij,vj->vi", matrix, deltas[index]))
            deltas[index] += bend_here * (wanted - deltas[index])
    return dataclasses.replace(person, head=dataclasses.replace(head, blendshape_deltas=deltas.astype(np.float32)))


def shots_of(person: StandInPerson) -> tuple[StandInShot, ...]:
    """Neutral from all cameras of a rig, the expressions from CAMERAS; no folds beyond the shapes, so that weights say everything."""
    shots = rig_shots(person.spec.seed)
    neutral = {shot.file.split("_")[-1].removesuffix(".jpg"): shot for shot in shots if shot.expression == "neutral"}
    chosen = list(neutral.values())
    for name in EXPRESSIONS:
        if name == "neutral":
            continue
        first = next(shot for shot in shots if shot.expression == name)
        for camera in CAMERAS:
            like = neutral[camera]
            exposure = dataclasses.replace(like.exposure, seed=like.exposure.seed + 1000 + len(chosen))
            pose = Pose(dict(EXPRESSIONS[name]))
            shot = StandInShot(f"images/{name}_{camera}.jpg", name, pose, like.camera, first.T_world_head, exposure)
            chosen.append(shot)
    return tuple(chosen)


def capture_of(name: str, work: Path, *, progress: Callable[[str, int, int], None] | None = None) -> Case:
    """The rendered capture of a person of PEOPLE, made where it is not there yet."""
    folder = work / f"personal-v{VERSION}" / name
    case = Case(f"personal/{name}", folder, folder / "images", folder / "cameras.json")
    if (folder / "truth.npz").exists():
        return case
    person = personal_person(name)
    shots, skin, lights = shots_of(person), bake_stand_in_skin(person), dict[str, Irradiance]()
    for done, shot in enumerate(shots):
        save_photo(folder / shot.file, render_shot(person, shot, skin, lights, shot.expression, studio_backdrop), None)
        if progress is not None:
            progress(f"render {name}", done + 1, len(shots))
    cameras = {Path(s.file).name: s.camera for s in shots}
    lenses = {
        file: {"K": c.K.tolist(), "world_to_camera": c.T_cam_world.tolist(), "width": c.width, "height": c.height}
        for file, c in cameras.items()
    }
    with written_beside(folder / "cameras.json") as beside:
        Path(beside).write_text(json.dumps({"units": "metres", "cameras": lenses}, indent=1) + "\n")
    # Written last: its presence says that the capture is whole.
    with written_beside(folder / "truth.npz") as beside, Path(beside).open("wb") as file:
        np.savez_compressed(file, T_world_head=shots[0].T_world_head, **truth_regions(person))
    return case


def truth_of(name: str, weights: Mapping[str, float], T_world_head: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Skin (P, 3) metres and triangles (T, 3) of a person with ARKit weights, in the world of a head pose (4, 4)."""
    person = personal_person(name)
    used, triangles = truth_mesh(person)
    vertices = truth_vertices(person, Pose(dict(weights)))[used]
    return vertices @ T_world_head[:3, :3].T + T_world_head[:3, 3], triangles
