"""ARKit's shapes on FLAME: the jaw's rig, the least-squares fit, sides, gaze, and what is declared absent."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest

from assets import ARKIT_BLENDSHAPES, HeadModel, load_head
from assets.blendshapes import mirror_name
from assets.head_model import PARTS, REGIONS
from assets.heads.flame import _left_open, _skin_of, flame_mapping
from assets.heads.flame_arkit import fit_shapes, read_settings, side_step
from assets.heads.flame_rig import JawRig
from assets.heads.flame_source import FlameSource, checked_source
from tests.assets.flame_file import JAW_OPEN_RAD, NUM_SKIN, TWO_SIDED, flame_arrays, flame_path


@pytest.fixture(scope="module")
def head() -> HeadModel:
    return load_head(f"flame:{flame_path()}")


@pytest.fixture(scope="module")
def source() -> FlameSource:
    return checked_source(flame_arrays(), Path("made.pkl"), "0" * 64)


def delta(head: HeadModel, name: str) -> np.ndarray:
    return head.blendshape_deltas[ARKIT_BLENDSHAPES.index(name)]


def part(head: HeadModel, name: str) -> np.ndarray:
    return head.vertex_parts == PARTS.index(name)


def test_jaw_rig_is_linear_blend_skinning_with_correctives(source):
    """A vertex that the jaw moves wholly: rotate template plus corrective about the joint, written out by hand."""
    rig, turn = JawRig(source), np.array([0.0, 0.0, 0.2])
    vertex = int(np.argmax(source.skinning[:, 2]))
    assert source.skinning[vertex, 2] == 1
    c, s = np.cos(0.2), np.sin(0.2)
    feature = np.array([c - 1, -s, 0, s, c - 1, 0, 0, 0, 0])
    corrected = source.template[vertex] + feature @ source.pose_directions[9:18, vertex]
    x, y, z = corrected - source.joints[2]
    expected = source.joints[2] + (c * x - s * y, s * x + c * y, z) - source.template[vertex]
    np.testing.assert_allclose(rig.jaw_offsets(turn)[vertex], expected, atol=1e-12)
    still = source.skinning[:, 2] == 0
    assert np.abs(rig.jaw_offsets(np.array([0.2, 0, 0]))[still & (np.arange(5023) > NUM_SKIN)]).max() == 0


def test_jaw_open_is_found_as_the_angle_that_the_file_was_made_with(head):
    mapping = flame_mapping(flame_path()).shapes[ARKIT_BLENDSHAPES.index("jawOpen")]
    assert mapping.jaw_deg[0] == pytest.approx(np.rad2deg(JAW_OPEN_RAD), abs=0.6)
    assert max(map(abs, mapping.jaw_deg[1:])) < 0.4
    assert mapping.residual < 0.06
    truth = JawRig(checked_source(flame_arrays(), flame_path(), "")).jaw_offsets(np.array([JAW_OPEN_RAD, 0, 0]))
    skin = head.vertex_regions == REGIONS.index("face")
    miss, size = (np.sqrt((field[skin] ** 2).sum(1).mean()) for field in (delta(head, "jawOpen") - truth, truth))
    assert miss < 0.1 * size


def test_shapes_within_the_span_come_back_as_the_guides(head):
    """Through a registration of two different people: what a vertex of the guide does, its own vertex of this head does."""
    anny = load_head("anny")
    for name in ("mouthSmileLeft", "mouthPucker", "browDownRight", "mouthFrownRight", "mouthRollUpper"):
        index = ARKIT_BLENDSHAPES.index(name)
        assert head.blendshape_residuals[index] < 0.15, name
        ours, theirs = np.linalg.norm(delta(head, name), axis=1), np.linalg.norm(anny.blendshape_deltas[index], axis=1)
        assert ours.max() == pytest.approx(theirs.max(), rel=0.25), name


def made_targets(source: FlameSource, rows: np.ndarray) -> tuple[JawRig, np.ndarray, np.ndarray]:
    """Targets for every shape: an exact combination under a turned jaw for jawOpen, one without for smiles, one that is
    orthogonal to all that the rig can do for cheekPuff, and half of it inside for browInnerUp."""
    rig, rng = JawRig(source, rows), np.random.default_rng(9)
    targets = np.zeros((52, len(rows), 3))
    inside = np.tensordot(rng.normal(size=100), rig.expression, 1)
    outside = rng.normal(size=inside.shape)
    basis = np.linalg.qr(rig.expression.reshape(100, -1).T)[0]
    outside = (outside.ravel() - basis @ (basis.T @ outside.ravel())).reshape(inside.shape)
    outside *= np.linalg.norm(inside) / np.linalg.norm(outside)
    targets[ARKIT_BLENDSHAPES.index("jawOpen")] = rig.offsets(rng.normal(size=100), np.array([0.25, 0.04, -0.03]))
    targets[ARKIT_BLENDSHAPES.index("mouthRollUpper")] = inside
    targets[ARKIT_BLENDSHAPES.index("cheekPuff")] = outside
    targets[ARKIT_BLENDSHAPES.index("browInnerUp")] = inside + outside
    return rig, targets, source.template[rows, 0]


def test_residual_is_0_within_the_span_1_outside_and_the_root_of_a_half_between(source):
    rows = np.arange(0, NUM_SKIN, 5)
    rig, targets, x_m = made_targets(source, rows)
    settings = dataclasses.replace(read_settings(), ridge_share=1e-5, jaw_steps=20)
    mappings, deltas = fit_shapes(rig, targets, np.ones(len(rows)), x_m, settings)
    found = {mapping.name: mapping for mapping in mappings}
    assert found["mouthRollUpper"].residual < 1e-3
    assert found["jawOpen"].residual < 1e-3
    np.testing.assert_allclose(found["jawOpen"].jaw_deg, np.rad2deg((0.25, 0.04, -0.03)), atol=0.05)
    # The fit and what it cannot reach are orthogonal and as large as each other: 1 / sqrt(2) by Pythagoras.
    assert found["browInnerUp"].residual == pytest.approx(np.sqrt(0.5), abs=2e-3)
    assert found["cheekPuff"].residual == pytest.approx(1, abs=1e-6)
    assert "outside what FLAME's expressions and jaw can do" in found["cheekPuff"].absent
    assert not deltas[ARKIT_BLENDSHAPES.index("cheekPuff")].any()
    # A target that moves nothing is missed by definition.
    assert found["mouthPucker"].residual == 1


def test_ridge_holds_coefficients_back(source):
    rows = np.arange(0, NUM_SKIN, 5)
    rig, targets, x_m = made_targets(source, rows)
    sizes = []
    for ridge_share in (1e-5, 0.02, 0.2):
        mappings, _ = fit_shapes(
            rig, targets, np.ones(len(rows)), x_m, dataclasses.replace(read_settings(), ridge_share=ridge_share, jaw_steps=0)
        )
        sizes.append(np.linalg.norm(mappings[ARKIT_BLENDSHAPES.index("mouthRollUpper")].coefficients))
    assert sizes[0] > sizes[1] > sizes[2] > 0


def test_jaw_angles_stay_within_their_bounds(source):
    rows = np.arange(0, NUM_SKIN, 5)
    rig = JawRig(source, rows)
    targets = np.zeros((52, len(rows), 3))
    targets[ARKIT_BLENDSHAPES.index("jawOpen")] = rig.jaw_offsets(np.array([1.0, 0, 0]))
    mappings, _ = fit_shapes(rig, targets, np.ones(len(rows)), source.template[rows, 0], read_settings())
    assert mappings[ARKIT_BLENDSHAPES.index("jawOpen")].jaw_deg[0] == pytest.approx(30, abs=1e-6)


def test_side_step_is_1_here_0_there_and_a_half_in_the_middle():
    x_m = np.array([0.02, 0.012, 0.0, -0.012, -0.02])
    np.testing.assert_allclose(side_step(x_m, "left", 12.0), [1, 1, 0.5, 0, 0], atol=1e-12)
    np.testing.assert_allclose(side_step(x_m, "right", 12.0), [0, 0, 0.5, 1, 1], atol=1e-12)
    assert (side_step(x_m, "both", 12.0) == 1).all()


def test_one_sided_shapes_leave_the_far_side_exactly_at_rest(head):
    for name in ARKIT_BLENDSHAPES:
        if name.endswith(("Left", "Right")) and not name.startswith("jaw") and name not in ("mouthLeft", "mouthRight"):
            far = head.vertices[:, 0] < -0.0125 if name.endswith("Left") else head.vertices[:, 0] > 0.0125
            assert np.abs(delta(head, name)[far]).max() == 0, name


@pytest.mark.parametrize("stem", TWO_SIDED)
def test_a_shape_that_the_file_has_for_both_sides_only_is_split_and_its_loss_is_in_the_residual(head, stem):
    for side in ("Left", "Right"):
        residual = head.blendshape_residuals[ARKIT_BLENDSHAPES.index(stem + side)]
        assert 0.02 < residual < 0.35
        near = head.vertices[:, 0] > 0.02 if side == "Left" else head.vertices[:, 0] < -0.02
        assert np.linalg.norm(delta(head, stem + side)[near], axis=1).max() > 0.004


def test_left_shapes_mirror_to_right_shapes(head):
    for name in ("mouthSmileLeft", "browOuterUpLeft", "cheekSquintLeft", "mouthStretchLeft"):
        left, right = delta(head, name), delta(head, mirror_name(name))
        mirrored = left[head.mirror_vertices] * (-1, 1, 1)
        miss = np.linalg.norm(mirrored - right, axis=1)
        assert np.percentile(miss, 99) < 0.15 * np.linalg.norm(left, axis=1).max(), name


def test_what_the_file_cannot_show_is_declared_with_a_reason_and_zero(head):
    report = flame_mapping(flame_path())
    assert [shape.name for shape in report.shapes] == list(ARKIT_BLENDSHAPES)
    absent = {shape.name: shape.absent for shape in report.shapes if shape.absent}
    assert set(absent) == set(head.absent_blendshapes)
    assert absent["tongueOut"] == "FLAME has no tongue"
    lids = {"eyeBlinkLeft", "eyeBlinkRight", "eyeWideLeft", "eyeWideRight"}
    assert set(absent) == lids | {"tongueOut"}
    assert all("outside what FLAME's expressions and jaw can do" in absent[name] for name in lids)
    for name in head.absent_blendshapes:
        assert not delta(head, name).any()
    assert set(head.absent_parts) == {"teeth_upper", "teeth_lower", "tongue", "mouth_socket", "lashes"}
    np.testing.assert_allclose(head.blendshape_residuals, [shape.residual for shape in report.shapes], atol=1e-6)


def test_gaze_turns_one_ball_rigidly_by_the_guides_angle_and_has_no_residual(head):
    anny = load_head("anny")
    for name, axis, sign in (("eyeLookUpLeft", 1, 1), ("eyeLookOutLeft", 0, 1), ("eyeLookInRight", 0, 1), ("eyeLookDownRight", 1, -1)):
        side = "eye_left" if name.endswith("Left") else "eye_right"
        angles = []
        for one in (head, anny):
            ball, iris = part(one, side), part(one, side) & (one.vertex_regions == REGIONS.index("iris"))
            motion = one.blendshape_deltas[ARKIT_BLENDSHAPES.index(name)]
            assert sign * motion[iris, axis].mean() > 0.001, name
            before = one.vertices[iris].mean(0) - one.vertices[ball].mean(0)
            after = before + motion[iris].mean(0)
            angles.append(np.arccos(before @ after / np.linalg.norm(before) / np.linalg.norm(after)))
        assert angles[0] == pytest.approx(angles[1], rel=0.05), name
        ball = head.vertices[part(head, side)].astype(float)
        turned = ball + delta(head, name)[part(head, side)]
        np.testing.assert_allclose(np.linalg.norm(turned - ball.mean(0), axis=1), np.linalg.norm(ball - ball.mean(0), axis=1), atol=1e-6)
        assert not delta(head, name)[part(head, "eye_right" if side == "eye_left" else "eye_left")].any()
        assert head.blendshape_residuals[ARKIT_BLENDSHAPES.index(name)] == 0


def test_lids_that_leave_a_tenth_of_the_eye_open_are_told_from_closed_ones():
    """Measured on the guide, whose blink closes: all at rest, nothing at its blink, much at its squint."""
    anny = load_head("anny")
    skin = _skin_of(anny.vertices, anny.triangles, anny.triangle_parts)
    assert _left_open(skin, np.zeros(anny.vertices.shape), 0) == 1
    assert _left_open(skin, delta(anny, "eyeBlinkLeft"), 0) < 0.05
    assert _left_open(skin, delta(anny, "eyeBlinkLeft"), 1) == 1
    assert 0.2 < _left_open(skin, 0.6 * delta(anny, "eyeBlinkLeft"), 0) < 0.8
    assert 0.2 < _left_open(skin, delta(anny, "eyeSquintRight"), 1) < 0.95
    assert read_settings().blink_open_above == 0.1
