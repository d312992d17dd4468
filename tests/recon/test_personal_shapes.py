"""A person's own shapes from corrected instants: what they predict, where they lie, what stays the head model's own."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping

import numpy as np
import pytest

from assets.blendshapes import ARKIT_BLENDSHAPES
from recon.avatar import Avatar, FittedView
from recon.personal_shapes import MIN_WEIGHT, localised, shape_corrections, sparse_weights, with_personal_shapes
from render.camera import look_at
from tests.recon.toy_head import toy_avatar, toy_head


def head_with_a_mouth():
    """The toy head with a smile on each side of its face and a brow; the other shapes lie somewhere on it."""
    head, deltas = toy_head(), toy_head().blendshape_deltas.copy()
    places = {
        "mouthSmileLeft": ((0.03, -0.045, 0.005), (0.003, 0.006, -0.002)),
        "mouthSmileRight": ((-0.03, -0.045, 0.005), (-0.003, 0.005, -0.002)),
        "browInnerUp": ((0.0, 0.05, 0.005), (0.0, 0.007, 0.001)),
    }
    for name, (place, motion) in places.items():
        away = head.vertices - np.array(place)
        near = np.exp(-0.5 * (np.linalg.norm(away, axis=1) / 0.012) ** 2) * (head.vertex_parts == 1)
        deltas[ARKIT_BLENDSHAPES.index(name)] = near[:, None] * np.array(motion)
    return dataclasses.replace(head, blendshape_deltas=deltas.astype(np.float32))


HEAD = head_with_a_mouth()
CAMERA = look_at(np.array([0.0, 0.0, 0.6]), np.zeros(3), focal_px=500, width=64, height=64)
SMILE = {"mouthSmileLeft": 0.9, "mouthSmileRight": 0.5, "browInnerUp": 0.6}
ASIDE = {"mouthSmileLeft": 0.45, "mouthSmileRight": -0.2, "browInnerUp": 0.25}
"""How far each shape of the person moves to one side of the head model's, as a share of it; the sides differ."""
TURN = np.array([[0.0, 0.0, 1.0], [1.0, 0.0, 0.0], [0.0, 1.0, 0.0]])


def number(name: str) -> int:
    return ARKIT_BLENDSHAPES.index(name)


def planted() -> dict[str, np.ndarray]:
    return {name: share * (HEAD.blendshape_deltas[number(name)] @ TURN).astype(np.float32) for name, share in ASIDE.items()}


def view(name: str, weights: Mapping[str, float], correction: np.ndarray | None = None, pose: np.ndarray | None = None) -> FittedView:
    return FittedView(name, "ok", "", CAMERA, np.eye(4) if pose is None else pose, weights, 1.0, 0.0, 0.0, 0.0, correction)


def moved_pose(x: float) -> np.ndarray:
    pose = np.eye(4)
    pose[0, 3] = x
    return pose


def smiling_avatar(extra: np.ndarray | float = 0.0) -> Avatar:
    """Two cameras saw the smile at once, two the face at rest."""
    shown = sum((SMILE[name] * own for name, own in planted().items()), np.zeros_like(HEAD.vertices)) + extra
    shown = shown.astype(np.float32)
    views = [view(f"smile{k}.jpg", SMILE, shown, moved_pose(0.01)) for k in range(2)]
    views += [view(f"rest{k}.jpg", {"browDownLeft": 0.02}, None, moved_pose(0.02)) for k in range(2)]
    return toy_avatar(HEAD, offsets=np.zeros_like(HEAD.vertices), views=tuple(views))


def truth(weights: Mapping[str, float]) -> np.ndarray:
    avatar = smiling_avatar()
    return dataclasses.replace(avatar, shape_corrections=planted()).vertices(weights)


@pytest.mark.parametrize(
    "instance", [{"mouthSmileLeft": 0.9}, {"mouthSmileRight": 0.5}, {name: 0.5 * weight for name, weight in SMILE.items()}]
)
def test_shapes_learned_from_one_smile_predict_half_of_it_and_each_side_of_it(instance: dict[str, float]):
    avatar = smiling_avatar()
    personal = with_personal_shapes(avatar)
    # The weights of the same smile as the personal avatar has them, at the share of each shape that is asked for.
    scale = {name: weight / SMILE[name] for name, weight in instance.items()}
    asked = {name: scale[name] * personal.views[0].weights[name] for name in instance}
    generic_mm, personal_mm = (
        1e3 * np.linalg.norm(vertices - truth(instance), axis=1) for vertices in (avatar.vertices(instance), personal.vertices(asked))
    )
    moving = np.linalg.norm(truth(instance) - truth({}), axis=1) > 5e-4
    assert moving.sum() > 25
    assert np.sqrt(np.square(personal_mm[moving]).mean()) < 0.4 * np.sqrt(np.square(generic_mm[moving]).mean())


def test_sides_are_not_made_alike():
    personal = with_personal_shapes(smiling_avatar())
    for name in ("mouthSmileLeft", "mouthSmileRight"):
        generic, own = HEAD.blendshape_deltas[number(name)], planted()[name]
        # At the weight that each has in the smile, whatever share of the motion is in the weight.
        found = personal.views[0].weights[name] * (generic + personal.shape_corrections[name])
        aside = SMILE[name] * own
        assert np.square(found - SMILE[name] * generic - aside).sum() < 0.25 * np.square(aside).sum(), name


def test_the_pictures_keep_the_mesh_that_was_fitted_to_them_and_share_what_is_left():
    extra = np.zeros_like(HEAD.vertices)
    extra[5] = (0.002, 0.0, 0.001)  # On the crown, where no shape of the smile reaches.
    avatar = smiling_avatar(extra)
    personal = with_personal_shapes(avatar)
    for before, after in zip(avatar.views[:2], personal.views[:2], strict=True):
        np.testing.assert_allclose(personal.view_vertices(after), avatar.view_vertices(before), atol=2e-7)
    first, second = (v.correction for v in personal.views[:2])
    assert first is second and first is not None
    np.testing.assert_allclose(first[5], extra[5], atol=1e-6)
    before = avatar.views[0].correction
    assert before is not None and np.linalg.norm(first) < 0.5 * np.linalg.norm(before)


def test_shapes_that_no_picture_shows_stay_the_head_models_own():
    personal = with_personal_shapes(smiling_avatar())
    assert set(personal.shape_corrections) <= {name for name, weight in personal.views[0].weights.items() if weight >= MIN_WEIGHT}
    assert {"mouthSmileLeft", "browInnerUp"} <= set(personal.shape_corrections)
    unseen = [number(name) for name in ARKIT_BLENDSHAPES if name not in personal.shape_corrections and "Blink" not in name]
    np.testing.assert_array_equal(personal.blendshape_deltas[unseen], HEAD.blendshape_deltas[unseen])


def test_a_correction_lies_where_its_shape_moves_the_skin_or_next_to_it():
    found, reach = with_personal_shapes(smiling_avatar()).shape_corrections, 0.025
    for name, own in found.items():
        moving = np.linalg.norm(HEAD.blendshape_deltas[number(name)], axis=1) > 2e-4
        far = np.linalg.norm(HEAD.vertices[:, None] - HEAD.vertices[moving][None], axis=2).min(1) > reach
        assert far.sum() > 300 and np.linalg.norm(own[far], axis=1).max() < 2e-5, name


def test_evidence_counts_pictures_and_moments():
    found = with_personal_shapes(smiling_avatar()).shape_evidence
    assert "browDownLeft" not in found
    assert (found["browInnerUp"].num_views, found["browInnerUp"].num_instants) == (2, 1)
    loose = tuple(view(f"{k}.jpg", {"jawOpen": 0.3 + 0.2 * k}) for k in range(3))
    loose += (FittedView("lost.jpg", "no_face", "", None, None, {"jawOpen": 1.0}, np.nan, np.nan, np.nan, np.nan),)
    unmoved = with_personal_shapes(toy_avatar(HEAD, views=loose))
    assert not unmoved.shape_corrections
    assert (unmoved.shape_evidence["jawOpen"].num_views, unmoved.shape_evidence["jawOpen"].num_instants) == (3, 3)
    assert unmoved.shape_evidence["jawOpen"].max_weight == pytest.approx(0.7)


def test_what_is_far_beyond_any_expression_is_left_to_the_picture():
    weights = np.zeros((1, 52))
    weights[0, number("jawOpen")] = 0.6
    sensible = 0.2 * 0.6 * HEAD.blendshape_deltas[number("jawOpen")][None]
    absurd = sensible.copy()
    vertex = int(np.linalg.norm(sensible[0], axis=1).argmax())
    absurd[0, vertex] = (0.05, 0.0, 0.0)
    a, b = (shape_corrections(HEAD, HEAD.blendshape_deltas, weights, rest)["jawOpen"] for rest in (sensible, absurd))
    assert np.linalg.norm(b[vertex]) < 0.012 and np.linalg.norm(a[vertex]) == pytest.approx(0.002, rel=0.1)
    np.testing.assert_array_equal(np.delete(a, vertex, 0), np.delete(b, vertex, 0))


def test_two_moments_that_contradict_each_other_are_averaged_and_not_blown_up():
    weights = np.zeros((2, 52))
    weights[:, number("jawOpen")] = 0.60, 0.62
    generic = HEAD.blendshape_deltas[number("jawOpen")]
    rest = np.stack([0.3 * 0.6 * generic, 0.1 * 0.62 * generic])
    own = shape_corrections(HEAD, HEAD.blendshape_deltas, weights, rest)["jawOpen"]
    moving = np.linalg.norm(generic, axis=1) > 5e-3
    ratio = (own[moving] * generic[moving]).sum(1) / np.square(generic[moving]).sum(1)
    assert np.all((ratio > 0.15) & (ratio < 0.25))


def test_weights_are_found_again_without_shapes_that_mend_others():
    total = np.tensordot(np.array([0.9, 0.5]), HEAD.blendshape_deltas[[number("mouthSmileLeft"), number("jawOpen")]], 1)
    start = np.full(52, 0.1)
    gaze = np.array([name.startswith("eyeLook") for name in ARKIT_BLENDSHAPES])
    total = total + np.tensordot(np.where(gaze, start, 0.0), HEAD.blendshape_deltas, 1)
    found = sparse_weights(HEAD, HEAD.blendshape_deltas, total, start)
    assert found[number("mouthSmileLeft")] == pytest.approx(0.9, abs=0.1) and found[number("jawOpen")] == pytest.approx(0.5, abs=0.1)
    on_face = (HEAD.vertex_parts == 1) & (HEAD.vertex_regions == 1)
    others = ~gaze & (np.abs(HEAD.blendshape_deltas[:, on_face]).max((1, 2)) > 5e-4)
    others[[number("mouthSmileLeft"), number("jawOpen")]] = False
    assert others.sum() > 15 and found[others].sum() < 0.15
    np.testing.assert_array_equal(found[gaze], start[gaze])


def test_how_far_a_shape_reaches_grows_by_millimetres_and_not_across_a_gap_in_the_mesh():
    shape = np.zeros((1, HEAD.num_vertices, 3), np.float32)
    front = int(HEAD.vertices[:, 2].argmax())
    shape[0, front] = (0, 0, 0.01)
    reach = localised(HEAD, shape)[0]
    near = np.linalg.norm(HEAD.vertices - HEAD.vertices[front], axis=1)
    assert reach[front] == reach.max() and reach[(near < 0.008) & (HEAD.vertex_parts == 1)].min() > 1e-4
    assert reach[near > 0.06].max() < 5e-5 and not reach[HEAD.vertex_parts != 1].any()
