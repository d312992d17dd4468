"""Another person's photo is rejected and named; no photo of the person is, whatever its light; the right face of several is taken."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import cv2
import numpy as np
import pytest

from assets import load_head
from recon import load_capture
from recon.capture import Detection, View
from recon.chosen_faces import agreeing_choice, choose_faces
from recon.detect import DetectSettings, detect_capture
from recon.ingest import read_view
from recon.solve.pictures import WorkingPicture
from recon.solve.pipeline import _without_strangers, solve
from recon.solve.prepare import Prepared, prepare
from recon.solve.register import _pose
from recon.solve.solution import Solution
from recon.solve.stages import COARSE, FAST
from recon.solve.strangers import Comparison, judge
from tests.recon.synthetic_expressions import deformable_head, rig_problem
from tests.recon.synthetic_person import Person, make_person

SAMPLE = Path(__file__).parents[2] / "assets" / "sample"


def _pairs(shares: dict[tuple[int, int], float]) -> list[Comparison]:
    return [Comparison(a, b, share) for (a, b), share in shares.items()]


MIRRORED = _pairs({(v, v + 1): 0.30 + 0.02 * v for v in range(6)})
"""Median of the views' best: 0.36 to 0.40, so that 0.49 to 0.52 are needed."""


def test_the_view_that_matches_no_better_than_mirror_images_is_named_with_both_figures():
    found = judge([0, 1, 2, 3, 4], _pairs({(0, 1): 0.9, (1, 2): 0.8, (2, 3): 0.7, (3, 4): 0.35, (0, 4): 0.31}), MIRRORED[:4], set())
    assert list(found.strangers) == [4]
    assert found.strangers[4].startswith("rejected: another person: 35 % of the skin")
    assert found.note == ""


def test_a_view_that_matches_only_one_other_well_stays():
    found = judge(
        [0, 1, 2, 3, 4], _pairs({(0, 1): 0.9, (1, 2): 0.8, (2, 3): 0.7, (3, 4): 0.6, (0, 4): 0.1, (1, 4): 0.2}), MIRRORED[:4], set()
    )
    assert found.strangers == {}


def test_two_photos_of_one_stranger_do_not_vouch_for_each_other():
    views = list(range(10))
    same = {(a, a + 1): 0.8 for a in range(7)} | {(8, 9): 0.95}
    found = judge(views, _pairs(same | {(3, 8): 0.3, (4, 9): 0.34, (5, 8): 0.28}), MIRRORED, set())
    assert sorted(found.strangers) == [8, 9]


def test_two_large_groups_may_be_one_person_on_two_days_so_nobody_is_rejected_but_it_is_said():
    same = {(0, 1): 0.8, (1, 2): 0.8, (3, 4): 0.8, (4, 5): 0.8, (0, 3): 0.3, (2, 5): 0.33}
    found = judge(list(range(6)), _pairs(same), MIRRORED, set())
    assert found.strangers == {} and "groups of 3 and 3" in found.note


def test_what_cannot_be_compared_is_not_judged_and_a_rigs_pictures_never_are():
    lonely = judge([0, 1, 2, 3], _pairs({(0, 1): 0.9, (1, 2): 0.9}), MIRRORED[:3], set())
    assert lonely.strangers == {}
    shares = _pairs({(0, 1): 0.9, (1, 2): 0.9, (2, 3): 0.2, (2, 4): 0.2})
    assert list(judge([0, 1, 2, 3, 4], shares, MIRRORED[:4], {0, 3}).strangers) == [4]


# --- On rendered persons ----------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def persons() -> tuple[Person, tuple[Person, ...]]:
    """A person in five photos, and two others in one each."""
    head = load_head()
    others = (make_person(head, yaws_deg=(-8.0,), seed=11), make_person(head, yaws_deg=(10.0,), seed=12))
    return make_person(head, yaws_deg=(-30.0, -14.0, 2.0, 17.0, 33.0)), others


def _prepared(person: Person, others: tuple[Person, ...], change: dict[int, np.ndarray]) -> Prepared:
    """All photos of a person, some of them changed, then those of others."""
    pictures = [change.get(k, picture) for k, picture in enumerate(person.pictures)] + [p for other in others for p in other.pictures]
    landmarks = [*person.landmarks_px, *(points for other in others for points in other.landmarks_px)]
    views = [View(f"{k}.png", Path(f"{k}.png"), width=p.shape[1], height=p.shape[0], focal_px=620.0) for k, p in enumerate(pictures)]
    found = {view.name: Detection(view.name, "mediapipe478", landmarks[k], 1) for k, view in enumerate(views)}
    head, embedding = person.avatar.head, person.avatar.landmarks
    return prepare(views, found, head, embedding, lambda view: pictures[int(view.path.stem)], shape_precision=1.0)


def _coarse(prepared: Prepared, monkeypatch: pytest.MonkeyPatch) -> Solution:
    """The solve up to the end of the coarse stage, and everything after it left out."""
    monkeypatch.setattr("recon.solve.pipeline.FAST", (dataclasses.replace(FAST[0], rounds=2),))
    return solve(prepared, "fast", True, False)


def test_two_strangers_are_rejected_and_the_persons_own_photos_stay(persons, monkeypatch):
    person, others = persons
    solution = _coarse(_prepared(person, others, {}), monkeypatch)
    assert solution.registered == [0, 1, 2, 3, 4]
    assert all(solution.rejected[v].startswith("rejected: another person: ") for v in (5, 6))
    assert solution.strangers == {5, 6}
    assert all(solution.problem.views[v].landmarks_px is None for v in (5, 6)), "their landmarks must not pull any more"


def test_grey_dark_and_side_lit_photos_of_the_person_stay(persons, monkeypatch):
    """Without a colour, at a third of the light, under a lamp from one side, and soft with noise: still the same skin."""
    person = persons[0]
    lamp = np.linspace(0.35, 1.15, person.pictures[3].shape[1])[None, :, None]
    noise = np.random.default_rng(5).normal(0, 6, person.pictures[4].shape)
    change = {
        0: np.repeat(person.pictures[0].mean(2, keepdims=True), 3, 2).astype(np.uint8),
        1: (person.pictures[1] * 0.33).astype(np.uint8),
        3: np.clip(person.pictures[3] * lamp, 0, 255).astype(np.uint8),
        4: np.clip(cv2.GaussianBlur(person.pictures[4], (0, 0), 0.8) + noise, 0, 255).astype(np.uint8),
    }
    prepared = _prepared(person, (), change)
    # The clear case is switched off, so that every view is judged.
    monkeypatch.setattr("recon.solve.strangers.CLEAR_SHARE", 2.0)
    solution = _coarse(prepared, monkeypatch)
    assert solution.registered == [0, 1, 2, 3, 4] and not solution.strangers
    again = _without_strangers(solution, prepared, COARSE, None)
    assert again.registered == solution.registered and again.state is solution.state, "where all is well nothing is solved again"


# --- Several faces in one picture -------------------------------------------------------------------------------------


def test_the_choice_follows_the_pictures_that_agree_even_where_most_largest_faces_are_somebody_else():
    """Faces 0 to 3 are alone in their pictures; pictures 4 and 5 show the person second (faces 5 and 7)."""
    picture = np.array([0, 1, 2, 3, 4, 4, 5, 5])
    shares = np.full((8, 8), 0.2)
    person = [0, 1, 2, 3, 5, 7]
    shares[np.ix_(person, person)] = 0.8
    shares[4, 6] = shares[6, 4] = 0.95
    assert agreeing_choice(picture, shares) == [0, 1, 2, 3, 5, 7]


def test_the_largest_face_stays_where_another_matches_hardly_better_or_nothing_was_compared():
    shares = np.full((5, 5), np.nan)
    assert agreeing_choice(np.array([0, 1, 2, 2, 3]), shares) == [0, 1, 2, 4]
    shares[:] = 0.5
    shares[3, :] = shares[:, 3] = 0.55
    assert agreeing_choice(np.array([0, 1, 2, 2, 3]), shares) == [0, 1, 2, 4]


def test_the_persons_small_face_is_taken_beside_a_larger_one_of_somebody_else(tmp_path: Path):
    """The larger one is a mirror image of the person: as alike as a stranger can be, and none of its spots where they belong."""
    from assets.detector_model import load_detector_model
    from assets.landmarks import load_embedding

    for name in ("neutral_03.jpg", "neutral_04.jpg", "neutral_06.jpg"):
        cv2.imwrite(str(tmp_path / name), _half(cv2.imread(str(SAMPLE / name))))
    own, larger = _half(cv2.imread(str(SAMPLE / "neutral_05.jpg"))), cv2.imread(str(SAMPLE / "neutral_04.jpg"))[:, ::-1]
    larger = cv2.resize(larger, None, fx=0.62, fy=0.62, interpolation=cv2.INTER_AREA)
    both = np.full((larger.shape[0], own.shape[1] + larger.shape[1], 3), 90, np.uint8)
    both[: own.shape[0], : own.shape[1]], both[:, own.shape[1] :] = own, larger
    cv2.imwrite(str(tmp_path / "two.png"), both)
    capture, detections = detect_capture(load_capture(tmp_path))
    found = detections["two.png"]
    assert found.num_faces == 2 and len(found.other_landmarks_px) == 1
    assert found.landmarks_px[:, 0].mean() > own.shape[1], "the largest comes first"
    head = load_head()
    capture, chosen = choose_faces(
        capture, detections, head, load_embedding(head), load_detector_model(head, "bundled"), read_view, settings=DetectSettings()
    )
    assert chosen["two.png"].landmarks_px[:, 0].mean() < own.shape[1]
    assert chosen["two.png"].other_landmarks_px[0] is found.landmarks_px
    view = next(view for view in capture.views if view.name == "two.png")
    assert view.status == "several_faces" and "not the largest" in view.reason
    assert all(chosen[name] is detections[name] for name in detections if name != "two.png")


def _half(picture: np.ndarray) -> np.ndarray:
    return cv2.resize(picture, None, fx=0.5, fy=0.5, interpolation=cv2.INTER_AREA)


def test_a_picture_with_one_face_costs_nothing():
    views = (View("a", Path("a")), View("b", Path("b")), View("c", Path("c")))
    capture = dataclasses.replace(load_capture(SAMPLE / "neutral_04.jpg"), views=views)
    detections = {view.name: Detection(view.name, "mediapipe478", np.zeros((478, 2), np.float32), 1) for view in views}
    never = lambda *_: pytest.fail("read a picture")  # noqa: E731
    assert choose_faces(capture, detections, None, None, None, never, settings=DetectSettings())[1] == detections  # pyright: ignore


@pytest.mark.parametrize(
    "spread", [np.linspace(0, 1, 40)[:, None] * [[0.05, 0.02, 0.01]], np.repeat([[0.02, 0, 0], [0, 0.03, 0.01]], 20, 0)]
)
def test_features_that_agree_on_a_line_or_on_two_points_give_no_pose_and_no_crash(spread):
    problem, state = rig_problem(deformable_head(), 1, 30)
    px = state.camera_in_head(problem.views[0]).project(spread)[0]
    picture = WorkingPicture(np.zeros((480, 360), np.float32), np.zeros(2), 1.0)
    assert _pose(problem, state, [picture] * len(problem.views), 0, spread, px) is None
