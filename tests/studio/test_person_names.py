"""A person's own expressions by name in sweeps, and the pieces of `recon bench smile` that need no fit."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest
import trimesh

from assets.errors import RangeError
from recon.avatar import FittedView, NamedExpression
from recon.smile_test import answer, calm_views, choose_expression
from recon.storage import save_avatar
from render.camera import look_at
from studio.settings import EXPRESSIONS, RunSettings, SweepSettings, expression_weights
from studio.smile_bench import levels_off, truth_beside
from studio.stages import check_sweep, make_sweep
from tests.recon.toy_head import toy_avatar, toy_head

HEAD = toy_head()
OWN = (
    NamedExpression("smile", {"mouthSmileLeft": 0.9, "mouthSmileRight": 0.3}, ("smile.jpg",)),
    NamedExpression("the polite one", {"jawOpen": 0.4}),
)


def test_a_persons_own_smile_goes_before_the_general_one():
    assert expression_weights("smile", OWN) == {"mouthSmileLeft": 0.9, "mouthSmileRight": 0.3}
    assert expression_weights("the polite one", OWN) == {"jawOpen": 0.4}
    assert expression_weights("smile") == EXPRESSIONS["smile"] == expression_weights("smile", OWN[1:])
    with pytest.raises(RangeError) as refused:
        expression_weights("the polite on", OWN)
    assert "'the polite one'" in refused.value.do


def test_a_sweep_ramps_to_the_persons_own_expression():
    avatar = toy_avatar(HEAD, expressions=OWN)
    settings = SweepSettings(orbit_frames=0, head_turn_frames=0, expressions=("smile", "the polite one"), expression_frames=3)
    frames = make_sweep(avatar, settings).frames
    assert len(frames) == 6
    assert frames[2].weights == pytest.approx({"mouthSmileLeft": 0.9, "mouthSmileRight": 0.3})
    assert frames[5].weights == pytest.approx({"jawOpen": 0.4}) and frames[4].weights == pytest.approx({"jawOpen": 0.2})


def test_names_are_checked_before_a_run_with_what_a_fit_may_find_and_what_the_user_has_named(tmp_path: Path):
    def check(*names: str) -> None:
        check_sweep(RunSettings(sweep=SweepSettings(expressions=names)), tmp_path)

    check("smile", "jawOpen", "skeptical, right brow")
    with pytest.raises(RangeError):
        check("the polite one")
    save_avatar(tmp_path / "avatar", toy_avatar(HEAD, expressions=OWN))
    check("the polite one")
    with pytest.raises(RangeError):
        check("smil")


def smiling_avatar():
    camera = look_at(np.array([0.0, 0.0, 0.6]), np.zeros(3), focal_px=500, width=64, height=64)
    correction = np.zeros_like(HEAD.vertices)
    correction[HEAD.vertex_regions == 1] = (0.0, 0.0, 0.002)
    views = [FittedView("smile.jpg", "ok", "", camera, np.eye(4), OWN[0].weights, 1.0, 4.0, 0.0, 0.0, correction)]
    views += [FittedView("rest.jpg", "ok", "", camera, np.eye(4), {}, 1.0, 30.0, 0.0, 0.0)]
    views += [FittedView("lost.jpg", "no_face", "", None, None, {}, np.nan, np.nan, np.nan, np.nan)]
    return toy_avatar(HEAD, expressions=(OWN[1], OWN[0]), views=tuple(views))


def test_the_smile_is_asked_for_unless_another_expression_is_named_and_calm_pictures_show_none():
    avatar = smiling_avatar()
    assert choose_expression(avatar, "").name == "smile" and choose_expression(avatar, "the polite one").weights == {"jawOpen": 0.4}
    assert [view.name for view in calm_views(avatar)] == ["rest.jpg"]
    with pytest.raises(RangeError):
        choose_expression(avatar, "grin")


def test_an_answer_is_measured_in_millimetres_of_the_full_head_whatever_the_size_of_the_one_asked():
    full = smiling_avatar()
    truth = full.vertices(OWN[0].weights).astype(np.float64)
    face = HEAD.vertex_regions == 1
    # Without a truth the corrected head of the picture is the measure: two millimetres forward, less where the face is steep.
    alone = answer(full, full.views[0], "full capture", 2, full, None)
    assert 0.8 < alone.error_mm < 2.0 and alone.p95_mm <= 2.001
    larger = dataclasses.replace(
        full, offsets=(1.3 * full.neutral - HEAD.neutral(full.identity_coeffs)).astype(np.float32), expression_scale=1.3
    )
    assert answer(full, full.views[0], "one photo", 1, larger, (truth, HEAD.triangles, face)).error_mm < 0.02
    np.testing.assert_allclose(answer(full, full.views[0], "one photo", 1, larger, None).vertices, full.vertices(OWN[0].weights), atol=2e-5)


def test_exposure_and_white_balance_are_not_what_a_picture_is_off_by():
    rng = np.random.default_rng(3)
    photo, mask = rng.integers(20, 100, (30, 20, 3)).astype(np.uint8), np.zeros((30, 20), bool)
    mask[5:20] = True
    assert levels_off(photo, photo * np.array([2, 1, 2], np.uint8), mask) < 1e-9
    other = photo.copy()
    other[~mask] = 255
    assert levels_off(photo, other, mask) == 0.0
    assert levels_off(photo, rng.permutation(photo.reshape(-1, 3)).reshape(photo.shape), mask) > 5.0


def test_the_truth_is_that_of_the_pictures_that_show_the_expression(tmp_path: Path):
    (tmp_path / "gt").mkdir()
    (tmp_path / "images").mkdir()
    frames = [{"file": f"images/{k}.jpg", "expression": name} for k, name in enumerate(("grin", "grin", "neutral"))]
    (tmp_path / "gt" / "frames.json").write_text(json.dumps({"frames": frames}))
    assert truth_beside([tmp_path / "images"], ("0.jpg", "1.jpg")) is None
    mesh = trimesh.creation.icosphere(radius=0.1)
    mesh.export(tmp_path / "gt" / "grin.ply")
    found = truth_beside([tmp_path / "images"], ("0.jpg", "1.jpg"))
    assert found is not None and len(found[0]) == len(mesh.vertices) and 0 < found[2].sum() < len(mesh.vertices)
    assert truth_beside([tmp_path / "images"], ("1.jpg", "2.jpg")) is None
