"""The person's own expressions: what is one, what it is called, what a caption says of it."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping

import numpy as np
import pytest

from assets.blendshapes import BlendshapeWeights
from assets.errors import RangeError
from recon.avatar import Avatar, FittedView, NamedExpression
from recon.expression_library import (
    caption_of,
    expression_words,
    find_expressions,
    nearest_expression,
    pose_words,
    renamed,
    with_expressions,
)
from recon.expression_names import PATTERNS, name_of, numbered
from recon.storage import load_avatar, save_avatar
from tests.recon.toy_head import toy_avatar, toy_head

HEAD = toy_head()
SMILE = {"mouthSmileLeft": 0.9, "mouthSmileRight": 0.4, "cheekSquintLeft": 0.5}
BROWS = {"browInnerUp": 0.9, "browOuterUpLeft": 0.8, "browOuterUpRight": 0.6}


def view(name: str, weights: Mapping[str, float], *, registered: bool = True) -> FittedView:
    return FittedView(name, "ok", "", None, np.eye(4) if registered else None, weights, 1.0, 0.0, 0.0, 0.0)


def scaled(weights: Mapping[str, float], factor: float) -> dict[str, float]:
    return dict(BlendshapeWeights(weights).scaled(factor))


def an_avatar() -> Avatar:
    views = [view(f"rest{k}.jpg", {"browInnerUp": 0.02 * k}) for k in range(3)]
    views += [view("smile_a.jpg", SMILE), view("smile_b.jpg", SMILE), view("smile_half.jpg", scaled(SMILE, 0.5))]
    views += [view("brows.jpg", BROWS | {"eyeLookUpLeft": 0.9}), view("lost.jpg", {"jawOpen": 1.0}, registered=False)]
    return toy_avatar(HEAD, views=tuple(views))


def test_like_faces_are_one_expression_at_its_height_and_rest_is_none():
    found = {expression.views: expression for expression in find_expressions(an_avatar())}
    assert set(found) == {("smile_a.jpg", "smile_b.jpg", "smile_half.jpg"), ("brows.jpg",)}
    smile, brows = found["smile_a.jpg", "smile_b.jpg", "smile_half.jpg"], found["brows.jpg",]
    # As measured: neither side is made like the other, and the half smile does not weaken it.
    assert dict(smile.weights) == pytest.approx(SMILE, abs=1e-3)
    assert dict(brows.weights) == pytest.approx(BROWS, abs=1e-3)


def test_the_order_of_the_pictures_changes_nothing():
    avatar = an_avatar()
    order = np.random.default_rng(4).permutation(len(avatar.views))
    shuffled = dataclasses.replace(avatar, views=tuple(avatar.views[k] for k in order))
    assert find_expressions(shuffled) == find_expressions(avatar)


def test_a_capture_at_rest_has_no_expressions():
    assert find_expressions(toy_avatar(HEAD, views=tuple(view(f"{k}.jpg", {"jawOpen": 0.05 * k}) for k in range(3)))) == ()


def test_a_blink_during_an_expression_is_not_part_of_it_and_alone_is_one():
    blink = {"eyeBlinkLeft": 1.0, "eyeBlinkRight": 1.0}
    views = (view("a.jpg", SMILE), view("b.jpg", SMILE | blink), view("c.jpg", blink | {"mouthSmileLeft": 0.03}))
    found = find_expressions(toy_avatar(HEAD, views=views))
    assert sorted(e.views for e in found) == [("a.jpg", "b.jpg"), ("c.jpg",)]
    assert not any(name.startswith("eyeBlink") for e in found if "a.jpg" in e.views for name in e.weights)


@pytest.mark.parametrize("name", list(PATTERNS))
def test_every_pattern_bears_its_own_name_at_any_strength(name: str):
    assert name_of(PATTERNS[name]) == name == name_of(scaled(PATTERNS[name], 0.4))


@pytest.mark.parametrize(("pattern", "mirrored"), [(n, n.replace("left", "right")) for n in PATTERNS if "left" in n])
def test_left_and_right_names_are_of_mirrored_weights(pattern: str, mirrored: str):
    assert name_of(BlendshapeWeights(PATTERNS[pattern]).mirrored()) == mirrored


def test_what_is_like_no_pattern_is_called_by_its_strongest_shapes():
    odd = {"tongueOut": 0.9, "cheekPuff": 0.6, "browInnerUp": 0.5, "jawForward": 0.55}
    assert name_of(odd) == "tongueOut and cheekPuff"
    assert name_of(odd, {"tongueOut": 0.1, "cheekPuff": 1.0, "browInnerUp": 1.0, "jawForward": 1.0}) == "cheekPuff and jawForward"
    assert name_of({}) == "rest" and numbered(["smile", "frown", "smile", "smile"]) == ["smile", "frown", "smile 2", "smile 3"]


def test_expressions_are_renamed_and_annotated_and_come_back_from_disk(tmp_path):
    avatar = with_expressions(an_avatar())
    old = next(e.name for e in avatar.expressions if "smile_a.jpg" in e.views)
    changed = renamed(avatar, old, "the polite one", meaning="not amused", when="at dinners")
    loaded = load_avatar(save_avatar(tmp_path / "avatar", changed), head=HEAD)
    assert loaded.expressions == changed.expressions
    assert "the polite one" in (tmp_path / "avatar" / "expressions.yaml").read_text()
    assert expression_words(loaded, SMILE) == "the polite one (not amused)"
    for wrong in ((old, "again"), ("the polite one", " "), ("the polite one", loaded.expressions[-1].name)):
        if wrong != ("the polite one", "the polite one"):
            with pytest.raises(RangeError):
                renamed(loaded, *wrong)


def test_the_nearest_expression_and_how_far_it_goes():
    avatar = with_expressions(an_avatar())
    found = nearest_expression(avatar, scaled(SMILE, 0.5) | {"eyeLookInLeft": 1.0})
    assert found is not None and "smile_a.jpg" in found.expression.views
    assert found.cosine == pytest.approx(1.0, abs=1e-3) and found.strength == pytest.approx(0.5, abs=1e-2)
    assert nearest_expression(avatar, {"browInnerUp": 0.01}) is None
    assert nearest_expression(avatar, {"jawOpen": 1.0}) is None
    with pytest.raises(RangeError):
        nearest_expression(avatar, {"smile": 1.0})


def test_captions_say_measured_pose_and_expression():
    avatar = dataclasses.replace(an_avatar(), expressions=(NamedExpression("grin", SMILE), NamedExpression("raised", BROWS)))
    assert caption_of(avatar, scaled(SMILE, 0.5), 20.0) == "photo of the person, slightly turned to the left, half grin"
    assert (
        caption_of(avatar, scaled(BROWS, 0.3), -70.0, 14.0)
        == "photo of the person, profile view to the right, looking up, a hint of raised"
    )
    assert caption_of(avatar, {}, 3.0, subject="Ada") == "photo of Ada, facing the camera, neutral"
    assert expression_words(avatar, {"jawOpen": 0.9}) == "mouth open"
    assert pose_words(-40.0, -11.0) == "three quarter view to the right, looking down"
