"""Uncertainty is honest: the truth lies where it says, more views make it smaller, unseen skin keeps the spread of heads."""

from __future__ import annotations

import dataclasses
import json
from typing import Any

import numpy as np
import pytest

from assets import load_head
from assets.errors import ArtifactError, InputError
from assets.head_model import REGIONS
from recon.export import export_mesh
from recon.solve.bundle import solve_matches
from recon.solve.chart import make_chart
from recon.solve.pair_heights import PairHeights, combined_heights, pair_heights
from recon.solve.problem import Matches, Problem
from recon.solve.residuals import sample_surface
from recon.solve.stages import MIDDLE
from recon.solve.start import empty_state, start_rig
from recon.solve.state import HeadState
from recon.solve.uncertainty import DETAIL_MM, FAMILY_SD_MM, estimate_uncertainty
from recon.storage import load_avatar, save_avatar
from recon.uncertainty import AREAS, HEAT_MM, HEAT_SRGB, Uncertainty, heat_srgb, vertex_areas
from render import Camera, look_at, vertex_normals
from tests.recon.synthetic_person import TARGET, Person, prepare_person, sketch_person
from tests.recon.toy_head import toy_avatar, toy_head

YAWS_DEG = (-60.0, -40.0, -20.0, 0.0, 20.0, 40.0, 60.0)
NOISE_PX = 0.6


def cameras(yaws_deg: tuple[float, ...]) -> tuple[Camera, ...]:
    away = [np.array([np.sin(yaw), 0.1 * (-1) ** k, np.cos(yaw)]) for k, yaw in enumerate(np.radians(yaws_deg))]
    return tuple(look_at(TARGET + 0.55 * a / np.linalg.norm(a), TARGET, focal_px=900.0, width=600, height=600) for a in away)


def matched(problem: Problem, person: Person, state: HeadState, pairs: list[tuple[int, int]], seed: int = 5) -> list[Matches]:
    """What perfect flow with noise would give: skin points of the person's own head that both cameras see squarely enough."""
    head, rng = person.avatar.head, np.random.default_rng(seed)
    chart = make_chart(head, 4.0)
    truth = person.avatar.neutral.astype(np.float64)
    normals = vertex_normals(person.avatar.neutral, head.triangles)
    found = []
    for a, b in pairs:
        points = np.einsum("nk,nkc->nc", chart.barycentric, truth[chart.corners])
        facing = np.einsum("nk,nkc->nc", chart.barycentric, normals[chart.corners])
        seen = np.ones(len(points), bool)
        for view in (a, b):
            towards = person.cameras[view].position_world - points
            seen &= np.einsum("nc,nc->n", facing, towards / np.linalg.norm(towards, axis=1, keepdims=True)) > 0.35
        samples = sample_surface(chart.corners[seen], chart.barycentric[seen], problem.deformable.modes, problem.deformable.shapes)
        at = [problem.views[v].T_cam_world for v in (a, b)]
        px = []
        for view, T in zip((a, b), at, strict=True):
            in_cam = points[seen] @ T[:3, :3].T + T[:3, 3]
            exact = state.focal_px(problem.views[view]) * in_cam[:, :2] / in_cam[:, 2:] + problem.views[view].centre_px
            px.append(exact + rng.normal(0, NOISE_PX, exact.shape))
        found.append(Matches(a, b, samples, px[0], px[1], np.ones(seen.sum()), 1.0))
    return found


@dataclasses.dataclass(frozen=True, eq=False)
class Fit:
    problem: Problem
    state: HeadState
    person: Person
    matches: list[Matches]
    views: list[int]

    def error_mm(self) -> np.ndarray:
        """(V,) along the normals of the fit in the rig's world."""
        T = self.state.T_world_head(0)
        placed = self.problem.neutral(self.state) @ T[:3, :3].T + T[:3, 3]
        normals = vertex_normals(placed.astype(np.float32), self.person.avatar.head.triangles)
        return 1e3 * np.einsum("vc,vc->v", self.person.avatar.neutral - placed, normals)


def fitted(yaws_deg: tuple[float, ...]) -> Fit:
    person = sketch_person(load_head(), cameras(yaws_deg))
    prepared = prepare_person(person, rig=True)
    problem, views = prepared.problem, list(range(len(yaws_deg)))
    state = start_rig(problem, empty_state(problem, num_focals=len(problem.focal_sd), num_instants=1)).state
    matches = matched(problem, person, state, [(k, k + 1) for k in views[:-1]])
    for _ in range(2):
        state, _ = solve_matches(problem, state, dataclasses.replace(MIDDLE, steps=3), matches, views, views)
    return Fit(problem, state, person, matches, views)


@pytest.fixture(scope="module")
def fit() -> Fit:
    return fitted(YAWS_DEG)


@pytest.fixture(scope="module")
def spread(fit: Fit) -> Uncertainty:
    return estimate_uncertainty(fit.problem, fit.state, fit.views, fit.matches, MIDDLE)


def face_seen(fit: Fit) -> np.ndarray:
    """(V,) bool: skin of the face that some match lies on."""
    head = fit.person.avatar.head
    touched = np.zeros(head.num_vertices, bool)
    for pair in fit.matches:
        touched[pair.samples.corners] = True
    return touched & (head.vertex_regions == REGIONS.index("face"))


def test_the_truth_lies_within_two_deviations_for_most_of_the_face_but_not_for_all_too_easily(fit, spread):
    face = face_seen(fit)
    share = float((np.abs(fit.error_mm()[face]) <= 2 * spread.vertex_sd_mm[face]).mean())
    assert share >= 0.8, share
    # Honest, not only safe: the spread is no more than some times the error that there is.
    assert np.median(spread.vertex_sd_mm[face]) < 6 * np.sqrt(np.mean(fit.error_mm()[face] ** 2))


def test_skin_that_fewer_views_see_is_known_less(fit, spread):
    half = [pair for pair in fit.matches if max(pair.view_a, pair.view_b) <= 3]
    known_half = estimate_uncertainty(fit.problem, fit.state, [0, 1, 2, 3], half, MIDDLE).vertex_sd_mm
    x = fit.person.avatar.head.vertices[:, 0]
    face = face_seen(fit)
    # Cameras 0 to 3 stand at the subject's right (negative x) up to the front: the left cheek is what they miss.
    left, right = face & (x > 0.04), face & (x < -0.04)
    assert np.median(known_half[left]) > 1.5 * np.median(known_half[right])
    assert np.median(spread.vertex_sd_mm[left]) < np.median(known_half[left])


def test_unseen_scalp_and_neck_keep_at_least_the_spread_of_heads(fit, spread):
    regions = fit.person.avatar.head.vertex_regions
    for name in ("scalp", "neck"):
        assert np.quantile(spread.vertex_sd_mm[regions == REGIONS.index(name)], 0.6) > FAMILY_SD_MM[name]
    assert spread.region_sd_mm["scalp"] > 5 * spread.region_sd_mm["cheeks"]


def test_detail_finer_than_flow_is_not_said_to_be_known_however_many_pairs_agree(fit, spread):
    areas = vertex_areas(fit.person.avatar.head)
    for name in ("nose", "lips", "eyes"):
        seen = (areas == AREAS.index(name)) & face_seen(fit)
        # The noise of these matches alone would leave a few hundredths on the nose; smoothing takes off a little at its border.
        assert np.median(spread.vertex_sd_mm[seen]) > 0.8 * DETAIL_MM[name], name
    assert np.median(spread.vertex_sd_mm[areas == AREAS.index("ears")]) > 1.0


def test_matches_on_what_is_no_skin_leave_the_head_below_unknown_and_the_rest_as_it_was(fit, spread):
    head = fit.person.avatar.head
    chin = vertex_areas(head) == AREAS.index("chin and jaw")
    bearded = estimate_uncertainty(fit.problem, fit.state, fit.views, fit.matches, MIDDLE, is_skin=~chin).vertex_sd_mm
    assert np.median(bearded[chin]) > max(FAMILY_SD_MM["face"], 2 * np.median(spread.vertex_sd_mm[chin]))
    forehead = (vertex_areas(head) == AREAS.index("forehead")) & face_seen(fit)
    np.testing.assert_allclose(bearded[forehead], spread.vertex_sd_mm[forehead], rtol=0.35)


def test_a_pair_that_matches_in_two_charts_is_one_look(fit):
    posed = fit.problem.posed(fit.state)
    lifted = [vertex_normals(vertices, fit.person.avatar.head.triangles) for vertices in posed]
    once = pair_heights(fit.problem, fit.state, fit.matches[:2], posed, lifted, 5.0)
    twice = pair_heights(fit.problem, fit.state, [*fit.matches[:2], fit.matches[0]], posed, lifted, 5.0)
    np.testing.assert_allclose(twice.information, once.information * [2, 1], rtol=1e-9)
    np.testing.assert_allclose(twice.weighted_mm, once.weighted_mm * [2, 1], rtol=1e-9, atol=1e-12)


def test_without_matches_the_face_is_told_no_better_than_heads_differ(fit):
    nothing = estimate_uncertainty(fit.problem, fit.state, fit.views, [], MIDDLE)
    assert np.isfinite(nothing.vertex_sd_mm).all()
    assert nothing.region_sd_mm["cheeks"] > FAMILY_SD_MM["face"]


def test_a_dent_that_all_pairs_agree_on_and_the_mesh_lacks_widens_the_spread_there_alone(fit, spread):
    head = fit.person.avatar.head
    nose = int(np.argmax(head.vertices[:, 2] * (head.vertex_regions == REGIONS.index("face"))))
    near = np.exp(-0.5 * (np.linalg.norm(head.vertices - head.vertices[nose], axis=1) / 0.01) ** 2)
    normals = vertex_normals(head.vertices, head.triangles)
    dented = dataclasses.replace(fit.problem, deformable=fit.problem.deformable.with_offsets(-0.003 * near[:, None] * normals))
    wider = estimate_uncertainty(dented, fit.state, fit.views, fit.matches, MIDDLE).vertex_sd_mm
    assert wider[nose] > 1.5 + spread.vertex_sd_mm[nose]
    far = (near < 1e-6) & face_seen(fit)
    np.testing.assert_allclose(wider[far], spread.vertex_sd_mm[far], rtol=0.35)


def test_the_height_of_a_raised_surface_is_found_by_every_pair(fit):
    head, problem = fit.person.avatar.head, fit.problem
    # The mesh lies 1 mm inside of where it was, so every pair has to say that the skin is 1 mm higher than before.
    normals = vertex_normals(problem.neutral(fit.state), head.triangles)
    lower = dataclasses.replace(problem, deformable=problem.deformable.with_offsets(problem.deformable.offsets - 1e-3 * normals))
    means = []
    for now in (problem, lower):
        posed = now.posed(fit.state)
        lifted = [vertex_normals(vertices, head.triangles) for vertices in posed]
        means.append(combined_heights(head, pair_heights(now, fit.state, fit.matches, posed, lifted, 5.0)).mean_mm)
    assert np.median((means[1] - means[0])[face_seen(fit)]) == pytest.approx(1.0, abs=0.1)


def test_pairs_that_disagree_leave_more_than_pairs_that_agree():
    head = toy_head(24, 32)
    information = np.ones((head.num_vertices, 6))
    agreeing = combined_heights(head, PairHeights(information, information * 0.2))
    disagreeing = combined_heights(head, PairHeights(information, information * np.array([0.9, -0.5, 0.6, -0.7, 0.8, 0.1])))
    np.testing.assert_allclose(agreeing.mean_mm, 0.2, atol=1e-9)
    np.testing.assert_allclose(disagreeing.mean_mm, 0.2, atol=1e-9)
    # By hand: the scatter about 0.2 is (0.49 + 0.49 + 0.16 + 0.81 + 0.36 + 0.01) / 6, its mean's variance a sixth of that.
    np.testing.assert_allclose(disagreeing.variance_mm2, 2.32 / 6 / 6, rtol=1e-6)
    assert (agreeing.variance_mm2 < 1e-4).all() and np.allclose(agreeing.looks, 6)


def test_each_named_area_of_the_default_head_has_skin_and_lies_where_it_should():
    head = load_head()
    areas = vertex_areas(head)
    middle = {name: head.vertices[areas == index].mean(0) for index, name in enumerate(AREAS) if index}
    assert all((areas == index).sum() >= 20 for index in range(1, len(AREAS)))
    heights = [middle[name][1] for name in ("forehead", "eyes", "nose", "lips", "chin and jaw", "neck")]
    assert (np.diff(heights) < 0).all()
    assert middle["nose"][2] > middle["cheeks"][2] > middle["ears"][2]


def test_colours_are_those_of_their_stops_and_stay_inside_the_ends():
    np.testing.assert_array_equal(heat_srgb(np.array(HEAT_MM)), np.array(HEAT_SRGB))
    np.testing.assert_array_equal(heat_srgb(np.array([0.001, 99.0])), np.array(HEAT_SRGB)[[0, -1]])


def an_uncertainty(num_vertices: int) -> Uncertainty:
    return Uncertainty(np.linspace(0.1, 9.0, num_vertices).astype(np.float32), {"nose": 0.31, "scalp": 7.7})


def test_uncertainty_is_stored_with_the_avatar_to_the_bit_and_older_folders_have_none(tmp_path):
    head = toy_head(24, 32)
    avatar = toy_avatar(head, uncertainty=an_uncertainty(head.num_vertices))
    loaded = load_avatar(save_avatar(tmp_path / "with", avatar), head=head).uncertainty
    assert loaded is not None and loaded.vertex_sd_mm.tobytes() == an_uncertainty(head.num_vertices).vertex_sd_mm.tobytes()
    assert loaded.region_sd_mm == {"nose": 0.31, "scalp": 7.7}
    folder = save_avatar(tmp_path / "without", toy_avatar(head))
    assert load_avatar(folder, head=head).uncertainty is None
    record = json.loads((folder / "avatar.json").read_text())
    del record["region_sd_mm"]
    (folder / "avatar.json").write_text(json.dumps(record))
    assert load_avatar(folder, head=head).uncertainty is None


def test_what_was_taken_for_skin_is_stored_with_the_avatar_and_a_label_that_nobody_knows_is_refused(tmp_path):
    head = toy_head(24, 32)
    labels = (np.arange(head.num_vertices) % 3).astype(np.uint8)
    folder = save_avatar(tmp_path / "with", toy_avatar(head, skin_labels=labels))
    loaded = load_avatar(folder, head=head).skin_labels
    assert loaded is not None and loaded.tobytes() == labels.tobytes()
    assert load_avatar(save_avatar(tmp_path / "without", toy_avatar(head)), head=head).skin_labels is None
    save_avatar(folder, toy_avatar(head, skin_labels=labels + 1))
    with pytest.raises(ArtifactError):
        load_avatar(folder, head=head)


def test_a_broken_spread_is_refused(tmp_path):
    head = toy_head(24, 32)
    folder = save_avatar(tmp_path / "avatar", toy_avatar(head, uncertainty=an_uncertainty(head.num_vertices)))
    record = json.loads((folder / "avatar.json").read_text())
    record["region_sd_mm"]["nose"] = -1
    (folder / "avatar.json").write_text(json.dumps(record))
    with pytest.raises(ArtifactError):
        load_avatar(folder, head=head)


def test_a_resized_head_has_a_resized_spread():
    half = an_uncertainty(10).resized(0.5)
    np.testing.assert_allclose(half.vertex_sd_mm, 0.5 * an_uncertainty(10).vertex_sd_mm)
    assert half.region_sd_mm["scalp"] == pytest.approx(3.85)


def test_a_ply_carries_the_spread_as_colours_and_figures(tmp_path):
    import trimesh

    head = toy_head(24, 32)
    spread = an_uncertainty(head.num_vertices)
    avatar = toy_avatar(head, uncertainty=spread)
    path = export_mesh(avatar, tmp_path / "heat.ply", with_uncertainty=True)
    loaded: Any = trimesh.load(path, process=False, force="mesh")
    np.testing.assert_array_equal(np.asarray(loaded.visual.vertex_colors)[:, :3], heat_srgb(spread.vertex_sd_mm))
    np.testing.assert_allclose(loaded.vertices, avatar.neutral, atol=1e-7)
    raw = loaded.metadata["_ply_raw"]["vertex"]["data"]["sd_mm"]
    np.testing.assert_array_equal(np.asarray(raw).ravel(), spread.vertex_sd_mm)
    plain: Any = trimesh.load(export_mesh(avatar, tmp_path / "plain.ply"), process=False, force="mesh")
    assert len(plain.vertices) == len(loaded.vertices)


@pytest.mark.parametrize(("name", "with_spread"), [("a.obj", True), ("a.ply", False)])
def test_uncertainty_is_not_left_out_silently_on_export(tmp_path, name, with_spread):
    head = toy_head(24, 32)
    avatar = toy_avatar(head, uncertainty=an_uncertainty(head.num_vertices) if with_spread else None)
    with pytest.raises(InputError):
        export_mesh(avatar, tmp_path / name, with_uncertainty=True)
    assert not (tmp_path / name).exists()
