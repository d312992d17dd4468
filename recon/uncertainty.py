"""How far a fitted head's surface may be off, vertex by vertex: the record, its colours, and the named areas that it is told by."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping

import numpy as np

from assets.head_model import PARTS, REGIONS, HeadModel

AREAS: tuple[str, ...] = (
    "other", "forehead", "eyes", "nose", "cheeks", "lips", "chin and jaw", "under the chin", "ears", "scalp", "neck",
)  # fmt: skip
"""Areas of the skin by name; the index is that of `vertex_areas`. "other" is what is no skin."""

HEAT_MM: tuple[float, ...] = (0.1, 0.3, 1.0, 3.0, 10.0)
"""Standard deviations of HEAT_SRGB's colours, mm; between them by the logarithm."""

HEAT_SRGB: tuple[tuple[int, int, int], ...] = ((38, 70, 140), (44, 140, 150), (232, 214, 120), (226, 120, 50), (160, 30, 45))
"""From well known (blue) over about a millimetre (yellow) to guessed (red); readable without telling red from green."""


@dataclasses.dataclass(frozen=True, eq=False)
class Uncertainty:
    """Posterior spread of the neutral's surface along its normals, after the head has been aligned with the truth."""

    vertex_sd_mm: np.ndarray
    """(V,) float32 standard deviation, millimetres; parts that are no skin take that of the skin nearest to them."""
    region_sd_mm: Mapping[str, float]
    """Median over the skin of each of AREAS that the head has."""

    def resized(self, factor: float) -> Uncertainty:
        """That of a head that was multiplied as a whole."""
        return Uncertainty((factor * self.vertex_sd_mm).astype(np.float32), {name: factor * sd for name, sd in self.region_sd_mm.items()})


def area_medians(head: HeadModel, vertex_sd_mm: np.ndarray) -> dict[str, float]:
    """Median of a value per vertex (V,) over each named area of the skin, by name; areas without vertices are left out."""
    areas = vertex_areas(head)
    found = {name: vertex_sd_mm[areas == index] for index, name in enumerate(AREAS) if index}
    return {name: float(np.median(values)) for name, values in found.items() if len(values)}


def vertex_areas(head: HeadModel) -> np.ndarray:
    """(V,) int index into AREAS, by where each vertex lies on the average head (metres from the midpoint of the eyes)."""
    x, y, _ = head.vertices.T
    skin = head.vertex_parts == PARTS.index("skin")
    region = {name: skin & (head.vertex_regions == REGIONS.index(name)) for name in ("face", "ears", "scalp", "neck")}
    areas = np.zeros(head.num_vertices, int)
    for name in ("ears", "scalp", "neck"):
        areas[region[name]] = AREAS.index(name)
    face = region["face"]
    areas[face] = AREAS.index("cheeks")
    areas[face & (y > 0.02)] = AREAS.index("forehead")
    areas[face & (y < -0.082)] = AREAS.index("chin and jaw")
    areas[face & (y < -0.06) & (_down(head) > 0.6)] = AREAS.index("under the chin")
    areas[face & (np.abs(x) < 0.03) & (y < -0.055) & (y > -0.082)] = AREAS.index("lips")
    areas[face & (np.abs(x) < 0.02) & (y < 0.0) & (y > -0.055)] = AREAS.index("nose")
    to_eye = np.linalg.norm(head.vertices[:, None] - head.eye_centres()[None], axis=2).min(1)
    areas[face & (to_eye < 0.022)] = AREAS.index("eyes")
    return areas


def heat_srgb(sd_mm: np.ndarray) -> np.ndarray:
    """(..., 3) uint8 sRGB colours of standard deviations (...) in mm; what lies outside HEAT_MM has its end's colour."""
    where = np.log(np.clip(sd_mm, HEAT_MM[0], HEAT_MM[-1]))
    stops, colours = np.log(HEAT_MM), np.array(HEAT_SRGB, np.float64)
    return np.rint(np.stack([np.interp(where, stops, colours[:, k]) for k in range(3)], -1)).astype(np.uint8)


def _down(head: HeadModel) -> np.ndarray:
    """(V,) how far each vertex's normal points down, in [-1, 1]."""
    from render import vertex_normals

    return -vertex_normals(head.vertices, head.triangles)[:, 1]
