"""What all ARKit shapes of the Anny head have in common: like sides, one side at a time, closing eyes, a tongue on the mouth's floor."""

from __future__ import annotations

import dataclasses

import numpy as np

from assets.blendshapes import ARKIT_BLENDSHAPES, mirror_name
from assets.head_model import PARTS
from assets.heads.anny_mesh import HeadMesh, affine_weights
from assets.lids import around_longest_run, find_rims, first_hits, lid_correction

SIDE_BAND_M = {"mouth": 0.015, "": 0.010}
"""How far beyond the face's middle a one-sided shape fades out, for shapes of the mouth and for all others."""

BOTH_SIDED = ("jawLeft", "jawRight", "mouthLeft", "mouthRight")
"""Shapes whose name tells a direction, not a side of the face."""

LIP_REACH_M, LIP_OVERLAP_M, LIP_ROUNDS = 0.003, 0.0001, 6
"""How far from an opening between the lips its closing fades out, what the lips overlap, and how often they are looked at."""

TONGUE_ROOT_Z_M, TONGUE_FRONT_Z_M = -0.075, -0.040
"""Depths between which the tongue changes from its own target to what the lower teeth do."""

TONGUE_FLOOR_M, TONGUE_FLAT = -0.091, 0.5
"""Lowest height of the resting tongue, and by which share of its height above that it flattens in the wide open mouth."""


def meeting_lips(mesh: HeadMesh) -> HeadMesh:
    """The mesh with lips that meet all along: the resting lips of the targets stay 0.6 mm apart beside the corners.

    Level rays from the front find what is open in each column; both lips give half of it, fading with the distance from the
    opening, and again until nothing is open.
    """
    vertices = mesh.vertices.copy()
    for _ in range(LIP_ROUNDS):
        across, upper, lower = _lip_opening(vertices, mesh)
        if not len(across):
            break
        gap = upper[:, 1] - lower[:, 1] + LIP_OVERLAP_M
        middle = (upper + lower) / 2
        # The opening is a line along x; of a vertex only what lies beside it in y and z counts as distance.
        beside = np.stack([vertices[:, axis] - np.interp(vertices[:, 0], across, middle[:, axis]) for axis in (1, 2)], -1)
        beyond = np.abs(vertices[:, :1] - across).min(1)
        near = np.exp(-0.5 * ((beside**2).sum(1) + beyond**2) / LIP_REACH_M**2)
        is_lip = np.isin(mesh.vertex_parts, [PARTS.index("skin"), PARTS.index("mouth_socket")])
        vertices[:, 1] -= is_lip * near * np.sign(beside[:, 0]) * np.interp(vertices[:, 0], across, gap) / 2
    return dataclasses.replace(mesh, vertices=vertices)


def _lip_opening(vertices: np.ndarray, mesh: HeadMesh) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """x (N,) of the columns in which the mouth's inside shows, and the points (N, 3) of upper and lower lip there."""
    corners = vertices[mesh.triangles]
    in_front = (corners[..., 2].max(1) > 0.0) & (np.abs(corners[..., 1].mean(1) + 0.075) < 0.03)
    front = np.flatnonzero(in_front)
    is_inside = np.isin(
        mesh.triangle_parts[front], [PARTS.index(part) for part in ("teeth_upper", "teeth_lower", "tongue", "mouth_socket")]
    )
    found = []
    for x in np.arange(-0.03, 0.03, 0.0003):
        y = np.arange(-0.060, -0.090, -0.0001)
        hit, barycentric = first_hits(x, y, corners[front])
        above, below = around_longest_run((hit >= 0) & is_inside[hit])
        if above >= 0 and below < len(y):
            rims = [barycentric[row] @ corners[front[hit[row]]] for row in (above, below)]
            found.append((x, *rims))
    table = np.array([(x, *above, *below) for x, above, below in found]).reshape(-1, 7)
    return table[:, 0], table[:, 1:4], table[:, 4:]


def like_sides(shapes: np.ndarray, mesh: HeadMesh) -> np.ndarray:
    """(52, V, 3) each shape averaged with the mirror image of its partner: the targets' differences are slips of the hand."""
    partners = [ARKIT_BLENDSHAPES.index(mirror_name(name)) for name in ARKIT_BLENDSHAPES]
    return (shapes + shapes[partners][:, mesh.mirror] * (-1, 1, 1)) / 2


def one_side_each(shapes: np.ndarray, mesh: HeadMesh) -> np.ndarray:
    """(52, V, 3) each pair of one-sided shapes shared out anew, so that the far side rests and both together stay what they were.

    The targets of one lid pull the other eye's skin by 3 mm; a fade over the middle ends that.
    """
    shared = shapes.copy()
    for left, name in enumerate(ARKIT_BLENDSHAPES):
        if not name.endswith("Left") or name in BOTH_SIDED:
            continue
        right = ARKIT_BLENDSHAPES.index(mirror_name(name))
        band = SIDE_BAND_M["mouth" if name.startswith("mouth") else ""]
        both, of_left = shapes[left] + shapes[right], smooth_step(0.5 + mesh.vertices[:, 0] / (2 * band))[:, None]
        shared[left], shared[right] = of_left * both, (1 - of_left) * both
    return shared


def tongue_on_the_floor(shapes: np.ndarray, mesh: HeadMesh) -> np.ndarray:
    """(52, V, 3) with a tongue that goes down with the lower teeth in `jawOpen` and flattens, instead of filling the mouth."""
    shapes = shapes.copy()
    tongue, teeth = (np.flatnonzero(mesh.vertex_parts == PARTS.index(part)) for part in ("tongue", "teeth_lower"))
    index = ARKIT_BLENDSHAPES.index("jawOpen")
    points = mesh.vertices[tongue]
    with_jaw = affine_weights(mesh.vertices[teeth], points, 0.03) @ shapes[index, teeth]
    with_jaw[:, 1] -= TONGUE_FLAT * (points[:, 1] - TONGUE_FLOOR_M)
    front = smooth_step((points[:, 2] - TONGUE_ROOT_Z_M) / (TONGUE_FRONT_Z_M - TONGUE_ROOT_Z_M))[:, None]
    shapes[index, tongue] += front * (with_jaw - shapes[index, tongue])
    return shapes


def closing_eyes(shapes: np.ndarray, mesh: HeadMesh) -> np.ndarray:
    """(52, V, 3) with blinks that just close the average head's eyes; a person's own neutral adds its own share (assets/lids.py)."""
    shapes = shapes.copy()
    for name, part in (("eyeBlinkLeft", "eye_left"), ("eyeBlinkRight", "eye_right")):
        blink = shapes[ARKIT_BLENDSHAPES.index(name)]
        rims = find_rims(mesh.vertices, mesh.triangles, mesh.triangle_parts, PARTS.index(part))
        blink += lid_correction(mesh.vertices, mesh.triangles, rims, mesh.vertices, blink)
    return shapes


def smooth_step(share: np.ndarray) -> np.ndarray:
    """0 below 0, 1 above 1, without a kink between."""
    share = np.clip(share, 0.0, 1.0)
    return share * share * (3.0 - 2.0 * share)
