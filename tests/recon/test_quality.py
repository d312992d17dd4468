"""Measures of a fit: known transforms found, known bumps measured, the same figures as the reference tool."""

import dataclasses
import os
from pathlib import Path

import numpy as np
import pytest
import trimesh
from scipy.spatial.transform import Rotation

from assets.errors import RangeError, ShapeError
from recon.avatar import FittedView
from recon.quality import exposed, geometry_error, identity_distance_mm, summarise_views
from render.camera import Camera
from tests.recon.toy_head import toy_avatar, toy_head

HEAD = toy_head(32, 48)
SKIN = HEAD.vertex_parts == 1
FACE = SKIN & (HEAD.vertices[:, 2] > -0.05)
TRIANGLES = HEAD.triangles[HEAD.triangle_parts == 1]
DATA = Path(os.environ.get("RECON_DATA", "../shared"))


def person() -> np.ndarray:
    """A head with lopsided cheeks and a crooked nose: no symmetry for an alignment to slide along."""
    v = HEAD.vertices.astype(np.float64)
    cheek = np.exp(-0.5 * np.square((v - (0.05, -0.04, -0.01)) / 0.02).sum(1))
    brow = np.exp(-0.5 * np.square((v - (-0.03, 0.04, 0.01)) / 0.015).sum(1))
    return v + cheek[:, None] * (0.004, 0, 0.004) + brow[:, None] * (0, 0, 0.005)


def test_a_mesh_against_itself_is_zero_on_the_right_side():
    error = geometry_error(person(), TRIANGLES, person(), TRIANGLES, mask=FACE, align="none")
    assert error.median_mm < 1e-3 and error.p95_mm < 1e-3 and error.wrong_side_share == 0 and error.scale == 1


@pytest.mark.parametrize(("align", "scale"), [("rigid", 1.0), ("similarity", 1.3), ("correspondence", 0.2)])
def test_a_known_transform_is_found(align, scale):
    R, t = Rotation.from_euler("xyz", (8, -6, 4), degrees=True).as_matrix(), np.array([0.03, -0.02, 0.5])
    fitted = scale * person() @ R.T + t
    error = geometry_error(fitted, TRIANGLES, person(), TRIANGLES, mask=FACE, align=align)
    assert error.p95_mm < 0.02
    assert error.scale == pytest.approx(scale, rel=1e-4)
    expected = np.eye(4)
    expected[:3, :3], expected[:3, 3] = scale * R, t
    np.testing.assert_allclose(error.T_fitted_truth, expected, atol=2e-4)


def test_a_planted_bump_of_two_millimetres_is_measured_as_such():
    chin = FACE & (HEAD.vertices[:, 1] < -0.06)
    truth = person()
    normals = trimesh.Trimesh(truth, TRIANGLES, process=False).vertex_normals
    fitted = truth - 0.002 * normals * chin[:, None]
    inner = chin & (HEAD.vertices[:, 1] < -0.075) & (HEAD.vertices[:, 2] > -0.03)
    error = geometry_error(fitted, TRIANGLES, truth, TRIANGLES, mask=inner, align="none")
    assert error.median_mm == pytest.approx(2.0, abs=0.05) and error.p95_mm == pytest.approx(2.0, abs=0.1)
    rest = geometry_error(fitted, TRIANGLES, truth, TRIANGLES, mask=FACE & ~chin & (HEAD.vertices[:, 1] > -0.03), align="none")
    assert rest.p95_mm < 1e-3


def test_distances_are_in_true_millimetres_whatever_the_fits_size():
    fitted = 3 * (person() + np.where(FACE, 0.001, 0)[:, None] * np.random.default_rng(0).normal(size=(len(HEAD.vertices), 3)))
    error = geometry_error(fitted, TRIANGLES, person(), TRIANGLES, mask=FACE, align="correspondence")
    assert error.scale == pytest.approx(3, rel=0.01)
    assert 0.2 < error.median_mm < 1.0


def test_a_surface_turned_inside_out_is_the_wrong_side():
    error = geometry_error(person(), TRIANGLES[:, ::-1], person(), TRIANGLES, mask=FACE, align="none")
    assert error.median_mm < 1e-3 and error.wrong_side_share == 1


def test_vertices_inside_the_head_are_not_measured():
    seen = exposed(HEAD.vertices, HEAD.triangles)
    teeth = HEAD.vertex_parts == 4
    assert not seen[teeth].any() and seen[SKIN].mean() > 0.95
    with pytest.raises(RangeError, match="exposed"):
        geometry_error(HEAD.vertices, HEAD.triangles, HEAD.vertices, HEAD.triangles, mask=teeth, align="none")


def test_bad_arrays_are_three_part_errors():
    with pytest.raises(ShapeError, match="truth_vertices"):
        geometry_error(person(), TRIANGLES, person()[:, :2], TRIANGLES, align="none")
    with pytest.raises(ShapeError, match="mask"):
        geometry_error(person(), TRIANGLES, person(), TRIANGLES, mask=FACE[:-1])
    with pytest.raises(ShapeError, match="one topology"):
        geometry_error(person()[:-1], TRIANGLES[:10], person(), TRIANGLES, align="correspondence")
    with pytest.raises(RangeError, match="finite"):
        geometry_error(person() * np.nan, TRIANGLES, person(), TRIANGLES)


def test_identity_distance_sees_shape_but_not_size_or_pose():
    a = toy_avatar(HEAD, offsets=np.zeros_like(HEAD.vertices), identity_coeffs=np.zeros(3, np.float32))
    bigger = dataclasses.replace(a, offsets=0.07 * HEAD.vertices + np.float32(0.004))
    assert identity_distance_mm(a, bigger) < 1e-3
    lopsided = dataclasses.replace(a, identity_coeffs=np.array([0, 0, 1], np.float32))
    assert 0.3 < identity_distance_mm(a, lopsided) < 1.0  # One cheek of two is 2 mm higher: 1 mm about the mean, less what a tilt takes.
    with pytest.raises(ShapeError, match="topology"):
        identity_distance_mm(a, toy_avatar(toy_head(24, 32)))


def test_view_summary_counts_lost_views_apart():
    camera, nan = Camera(np.diag([500.0, 500, 1]), np.eye(4), 64, 48), float("nan")
    views = (
        FittedView("a", "ok", "", camera, np.eye(4), {}, 1.5, -70.0, 0, 0),
        FittedView("b", "ok", "", camera, np.eye(4), {}, 4.5, 20.0, 0, 0),
        FittedView("c", "no_face", "", camera, np.eye(4), {}, nan, 80.0, 0, 0),
        FittedView("d", "unreadable", "", None, None, {}, nan, nan, nan, nan),
    )
    summary = summarise_views(toy_avatar(HEAD, views=views))
    assert (summary.num_views, summary.num_registered) == (4, 3)
    assert summary.by_status == {"ok": 2, "no_face": 1, "unreadable": 1}
    assert (summary.median_residual_px, summary.worst_view, summary.worst_residual_px) == (3.0, "b", 4.5)
    assert summary.yaw_range_deg == (-70.0, 80.0)


@pytest.mark.skipif(not (DATA / "captures/phone-b/gt/neutral.ply").exists(), reason="shared captures are absent ($RECON_DATA)")
@pytest.mark.parametrize("align", ["none", pytest.param("similarity", marks=pytest.mark.slow)])
def test_the_same_figures_as_the_reference_tool_on_a_shared_capture(tmp_path, align):
    tool = DATA / "tools/score_geometry.py"
    if not tool.exists():
        pytest.skip("the reference tool is absent")
    truth = trimesh.load(DATA / "captures/phone-b/gt/neutral.ply", process=False)
    rng = np.random.default_rng(4)
    waves = 0.0015 * np.sin(truth.vertices * 90 + rng.uniform(0, 6, 3))
    moved = truth.vertices + waves
    if align == "similarity":
        moved = 1.12 * moved @ Rotation.from_euler("xyz", (5, 7, -3), degrees=True).as_matrix().T + (0.01, 0.03, -0.02)
    trimesh.Trimesh(moved, truth.faces, process=False).export(tmp_path / "fit.ply")
    fitted = trimesh.load(tmp_path / "fit.ply", process=False)
    scores = _tool(tool).score(tmp_path / "fit.ply", DATA / "captures/phone-b", "neutral", align)["mm"]["face"]
    vertex = np.arange(len(truth.vertices))
    error = geometry_error(
        np.asarray(fitted.vertices), fitted.faces, truth.vertices, truth.faces, mask=vertex < 6706, align=align, align_mask=vertex < 6706
    )
    for name, ours in (("median", error.median_mm), ("mean", error.mean_mm), ("p95", error.p95_mm)):
        assert ours == pytest.approx(scores[name], abs=0.05), name
    assert error.wrong_side_share == pytest.approx(scores["wrong_side"], abs=0.005)


def _tool(path: Path):
    import importlib.util

    spec = importlib.util.spec_from_file_location("score_geometry", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
