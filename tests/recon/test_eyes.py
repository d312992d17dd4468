"""Eyes from photographs: where they look, what colour each is, what the lids hide, and no eye on the lids nor lid on the eye."""

import dataclasses

import numpy as np
import pytest

from assets.blendshapes import ARKIT_BLENDSHAPES
from assets.head_model import PARTS
from assets.heads import load_head
from recon.avatar import Avatar, FittedView
from recon.eyes_blend import EyePicture, balanced, blend_sightings
from recon.eyes_chart import HALF, STEP_DEG, angles_of, directions_at, grid_directions, sample_chart
from recon.eyes_complete import complete_eye, measure_colours, polar_grid
from recon.eyes_gaze import measured_gaze, with_gaze
from recon.eyes_iris import FoundIris, find_iris
from recon.eyes_pictures import EyeSighting, look_at_eyes, shows_eye
from recon.moments import moment_of
from recon.mouth_paint import INSIDE, mouth_light, paint_mouth
from recon.solve.eye_places import LIDS, measured_shifts, slide
from recon.texture import TextureSettings, bake_texture
from recon.texture_chart import Chart, make_chart
from recon.texture_eyes import lids_of, make_eyes
from render import RayScene, look_at
from render.mesh import vertex_normals
from render.rasterize import rasterize
from render.shading import ambient_light, irradiance, linear_to_srgb_bytes, sample_texture, srgb_to_linear
from render.sweep import Frame, Gaze
from tests.recon.toy_head import toy_avatar

SKIN, WHITE = np.array((190, 140, 120)), np.array((214, 208, 204))
IRISES = np.array(((70, 105, 150), (105, 66, 38)))
"""The left eye is blue, the right one brown."""
GAZES = ((-8.0, 4.0), (0.0, -5.0), (7.0, 1.0), (10.0, -6.0))
YAWS = (-24, -6, 10, 28)
IRIS_M, PUPIL_M, SIZE = 0.0059, 0.0020, 512
HIGH_M = 0.0022
TOO_HIGH_DEG = float(np.degrees(np.arcsin(HIGH_M / 0.0166)))
"""Eyes that were fitted too high seem to look down by so much."""

MOVED = np.array([[1.0, 0.0, 0.0, 0.0], [0.0, 1.0, 0.0, 0.0], [0.0, 0.0, 1.0, 0.02], [0.0, 0.0, 0.0, 1.0]])
"""A head of a rig that is not where the world's origin is."""


@dataclasses.dataclass(frozen=True, eq=False)
class Person:
    avatar: Avatar
    """As fitted: looking straight ahead in every picture, its eyes HIGH_M too high."""
    pictures: dict[str, np.ndarray]
    chart: Chart


@pytest.fixture(scope="module")
def person() -> Person:
    head = load_head("anny")
    fitted = toy_avatar(head, identity_coeffs=np.zeros(head.num_identity, np.float32), offsets=np.zeros_like(head.vertices))
    lower = slide(head, head.vertices.astype(float), np.array([[0, -HIGH_M]] * 2), np.array([[0, -HIGH_M]] * 2))
    true = dataclasses.replace(fitted, offsets=(lower - head.vertices).astype(np.float32))
    texture, views, pictures = painted(make_chart(head, 1024), head), [], {}
    for index, (yaw, gaze) in enumerate(zip(YAWS, GAZES, strict=True)):
        back = np.array([-np.sin(np.radians(yaw)), 0.05, np.cos(np.radians(yaw))])
        camera = look_at(0.5 * back, np.zeros(3), focal_px=1100, width=300, height=200)
        pictures[f"{index}.png"] = photograph(true, camera, texture, Gaze(*gaze))
        views.append(FittedView(f"{index}.png", "ok", "", camera, np.eye(4), {}, 1.0, yaw, 0.0, 0.0))
    return Person(dataclasses.replace(fitted, views=tuple(views)), pictures, make_chart(head, SIZE))


def painted(chart, head) -> np.ndarray:
    """(1024, 1024, 3) uint8: skin of one tone with freckles, white eyeballs, an iris of its own colour and a pupil on each."""
    image = np.tile(SKIN, (1024, 1024, 1)).astype(float)
    image *= 1 + 0.04 * np.random.default_rng(0).normal(size=(1024, 1024, 1))
    points = chart.points(head.vertices, head.triangles)
    for side, part in enumerate(("eye_left", "eye_right")):
        mine = np.flatnonzero(chart.part == PARTS.index(part))
        arm = points[mine] - head.eye_centres()[side]
        away = np.where(arm[:, 2] > 0, np.linalg.norm(arm[:, :2], axis=1), 1.0)
        eye = np.where((away < IRIS_M)[:, None], IRISES[side], WHITE).astype(float)
        eye[away < PUPIL_M] = 12
        image[chart.rows[mine] + chart.row0, chart.columns[mine] + chart.column0] = eye
    return np.clip(image, 0, 255).astype(np.uint8)


def photograph(avatar: Avatar, camera, texture: np.ndarray, gaze: Gaze) -> np.ndarray:
    """A picture of the avatar in even light, 3 x 3 samples a pixel, with the reflection of a lamp on each cornea."""
    big = camera.resized(width=3 * camera.width, height=3 * camera.height)
    mesh = avatar.pose(Frame("f", camera, gaze=gaze))
    fragments = rasterize(mesh, big)
    hit = fragments.face_id >= 0
    index, barycentric = fragments.face_id[hit], fragments.barycentric[hit]
    normals = np.einsum("nk,nkc->nc", barycentric, vertex_normals(mesh.vertices, mesh.triangles)[mesh.triangles[index]])
    uv = np.einsum("nk,nkc->nc", barycentric, mesh.uvs[mesh.triangle_uvs[index]])
    image = np.full((big.height, big.width, 3), 0.2)
    image[hit] = srgb_to_linear(sample_texture(texture, uv) / 255) * irradiance(normals, ambient_light())
    position = np.einsum("nk,nkc->nc", barycentric, mesh.vertices[mesh.triangles[index]])
    towards = camera.position_world / np.linalg.norm(camera.position_world) + np.array([0.3, 0.1, 0.3])
    for part in ("eye_left", "eye_right"):
        ball = mesh.vertices[avatar.head.vertex_parts == PARTS.index(part)]
        lamp = ball.mean(0) + np.linalg.norm(ball - ball.mean(0), axis=1).mean() * towards / np.linalg.norm(towards)
        is_ball = mesh.triangle_parts[index] == PARTS.index(part)
        gleam = is_ball & (np.linalg.norm(position - lamp, axis=1) < 0.0012)
        image[np.nonzero(hit)[0][gleam], np.nonzero(hit)[1][gleam]] = 1.0
    return linear_to_srgb_bytes(image.reshape(camera.height, 3, camera.width, 3, 3).mean((1, 3)))


@pytest.fixture(scope="module")
def sightings(person: Person) -> list[EyeSighting]:
    avatar = person.avatar
    return [
        eye
        for view in avatar.views
        if view.camera is not None
        for eye in look_at_eyes(view.name, person.pictures[view.name], avatar.pose_view(view), view.camera, avatar.head)
    ]


@pytest.fixture(scope="module")
def albedo(person: Person) -> np.ndarray:
    """(N, 3) int: the baked texture at the chart's texels."""
    settings = TextureSettings(size=SIZE, light_strength=0.0)
    baked = bake_texture(person.avatar, person.pictures.__getitem__, settings).albedo_srgb
    chart = person.chart
    return baked[chart.rows + chart.row0, chart.columns + chart.column0].astype(int)


def iris_texels(person: Person, side: int) -> tuple[np.ndarray, np.ndarray]:
    """Texels of one eyeball's front and their distance from its axis in iris radii."""
    head, chart = person.avatar.head, person.chart
    arm = chart.points(head.vertices, head.triangles) - head.eye_centres()[side]
    mine = np.flatnonzero((chart.part == PARTS.index(("eye_left", "eye_right")[side])) & (arm[:, 2] > 0))
    return mine, np.linalg.norm(arm[mine, :2], axis=1) / IRIS_M


def test_the_gaze_of_every_frame_is_measured_although_the_fit_looks_straight_ahead(person, sightings):
    found = measured_gaze(sightings, person.avatar)
    assert len(found) == 2 * len(YAWS)
    for gaze in found:
        yaw, pitch = GAZES[int(gaze.view[0])]
        assert abs(gaze.yaw_deg - yaw) < 1.3, gaze
        # In the third picture the lamp's reflection covers half of both pupils.
        assert abs(gaze.pitch_deg - (pitch - TOO_HIGH_DEG)) < (2.3 if gaze.view == "2.png" else 0.8), gaze


def test_weights_of_the_views_turn_the_eyes_there_and_leave_the_lids(person, sightings):
    avatar = person.avatar
    moved = dataclasses.replace(avatar, views=with_gaze(avatar, sightings))
    by_eye = {(g.view, g.side): g for g in measured_gaze(sightings, avatar)}
    for before, after in zip(avatar.views, moved.views, strict=True):
        assert after.weights.keys() <= set(ARKIT_BLENDSHAPES) and all(0 <= w <= 1 for w in after.weights.values())
        old, new = avatar.view_vertices(before), moved.view_vertices(after)
        for side, part in enumerate(("eye_left", "eye_right")):
            ball = avatar.head.vertex_parts == PARTS.index(part)
            u, _, vt = np.linalg.svd((new[ball] - new[ball].mean(0)).T @ (old[ball] - old[ball].mean(0)))
            looks, gaze = (u @ vt)[:, 2], by_eye[before.name, side]
            assert np.degrees(np.arctan2(looks[0], looks[2])) == pytest.approx(gaze.yaw_deg, abs=1.2)
            assert np.degrees(np.arcsin(looks[1])) == pytest.approx(gaze.pitch_deg, abs=1.2)
        lids = np.linalg.norm(new - old, axis=1)[avatar.head.vertex_parts == PARTS.index("skin")]
        assert lids.max() < 0.0025


def test_each_eye_keeps_its_own_colour(person, albedo):
    for side in (0, 1):
        texels, radius = iris_texels(person, side)
        ring = albedo[texels[(radius > 0.5) & (radius < 0.85)]]
        assert np.abs(np.median(ring, 0) - IRISES[side]).max() < 14
        white = albedo[texels[(radius > 1.25) & (radius < 1.7)]]
        assert np.abs(np.median(white, 0) - WHITE).max() < 14
        assert np.median(albedo[texels[radius < 0.2]]) < 45


def test_no_skin_and_no_reflection_lies_on_the_iris(person, albedo):
    for side in (0, 1):
        texels, radius = iris_texels(person, side)
        ring = albedo[texels[(radius > 0.45) & (radius < 0.9)]]
        to_iris, to_skin = (np.linalg.norm(ring - colour, axis=1) for colour in (IRISES[side], SKIN))
        assert (to_iris < to_skin).all()
        assert ring.max() < 190
        assert albedo[texels[radius < 0.25]].max() < 90


def test_no_iris_and_no_white_lies_on_the_lids(person, albedo):
    for side in (0, 1):
        lids = albedo[lids_of(person.avatar.head, person.chart, side)]
        redness = lids[:, 0] / np.maximum(lids[:, 2], 1)
        # Skin is 1.58 times as red as blue, the white 1.05, the blue iris 0.47.
        assert (redness < 1.25).mean() < 0.002
        to_skin, to_iris = (np.linalg.norm(lids - colour, axis=1) for colour in (SKIN, IRISES[side]))
        assert (to_iris < to_skin).mean() < 0.002


def test_fitted_skin_that_lies_on_a_photographed_eye_is_told_from_skin(person, sightings):
    head, chart, on_eye, on_skin = person.avatar.head, person.chart, [], []
    for view in person.avatar.views:
        assert view.camera is not None
        skin = np.flatnonzero(lids_of(head, chart, 0) | lids_of(head, chart, 1))
        points = chart.points(person.avatar.pose_view(view).vertices, head.triangles)[skin]
        seen = RayScene(head.vertices, head.triangles).visible(points, view.camera, 1e-3)
        columns, rows = np.floor(view.camera.project(points[seen])[0]).astype(int).T
        colour = person.pictures[view.name][rows, columns].astype(int)
        mine = tuple(eye for eye in sightings if eye.view == view.name)
        flagged = shows_eye(points[seen], mine, view.camera)
        to_skin, to_eye = np.abs(colour - SKIN).max(-1), np.min([np.abs(colour - c).max(-1) for c in (*IRISES, WHITE)], 0)
        on_eye.append(flagged[to_eye < 12])
        on_skin.append(flagged[to_skin < 12])
    on_eye, on_skin = np.concatenate(on_eye), np.concatenate(on_skin)
    assert len(on_eye) > 60 and on_eye.mean() > 0.95
    assert len(on_skin) > 300 and on_skin.mean() < 0.25


def test_pictures_without_an_open_eye_leave_both_eyes_plain(person):
    closed = {
        name: np.where((picture.astype(int).sum(-1, keepdims=True) > 0), SKIN, 0).astype(np.uint8)
        for name, picture in person.pictures.items()
    }
    avatar = person.avatar
    view = avatar.views[1]
    assert view.camera is not None
    assert look_at_eyes(view.name, closed[view.name], avatar.pose_view(view), view.camera, avatar.head) == ()


RADIUS = np.arcsin(IRIS_M / 0.0166)


def eye_image(x_deg: float, y_deg: float, iris: float = 0.25) -> np.ndarray:
    """(S, S) brightness of an eye on its chart: white with an iris somewhere, and lids of skin above and below."""
    size = 2 * HALF + 1
    columns, rows = np.meshgrid(np.arange(size) - HALF, HALF - np.arange(size))
    away = np.hypot(columns * STEP_DEG - x_deg, rows * STEP_DEG - y_deg)
    image = np.where(away < np.degrees(RADIUS), iris, 0.85)
    image[away < 7] = 0.05
    return np.where((rows * STEP_DEG > 14) | (rows * STEP_DEG < -17), 0.7, image).astype(np.float32)


@pytest.mark.parametrize(("x", "y"), [(0.0, 0.0), (9.0, -3.0), (-12.5, 4.0)])
def test_the_iris_is_found_between_lids_and_beside_a_highlight(x, y):
    image = eye_image(x, y)
    image[HALF - 12 : HALF - 2, HALF + 20 : HALF + 30] = 1.0
    found = find_iris(image, np.ones_like(image), float(RADIUS) * 1.05)
    assert found is not None
    assert np.degrees(found.angles_rad) == pytest.approx([x, y], abs=0.7)
    assert found.radius_rad == pytest.approx(RADIUS, rel=0.03)


def test_no_iris_is_found_on_a_lid():
    rng = np.random.default_rng(1)
    skin = (0.7 + 0.02 * rng.normal(size=(2 * HALF + 1,) * 2)).astype(np.float32)
    assert find_iris(skin, np.ones_like(skin), float(RADIUS)) is None


def fibrous_eye() -> np.ndarray:
    """(S, S, 3) linear: a blue iris with fibres at angles of no symmetry, a pupil and a white."""
    radius, angle = polar_grid(float(RADIUS))
    waves = 1 + 0.3 * np.sin(17 * angle + 1.3) + 0.2 * np.sin(29 * angle + 0.4)
    eye = np.where((radius < 1)[..., None], np.array([0.06, 0.14, 0.3]) * waves[..., None], np.array([0.6, 0.57, 0.55]))
    return np.where((radius < 0.35)[..., None], 0.004, eye).astype(np.float32)


def test_the_hidden_upper_iris_goes_on_in_colour_and_fibres_and_not_as_a_mirror_image():
    eye, (radius, angle) = fibrous_eye(), polar_grid(float(RADIUS))
    # The upper lid hides all above a quarter of the radius.
    seen = np.where(radius * np.sin(angle) < 0.25, 1.0, 0.0).astype(np.float32)
    skin = np.array([0.5, 0.27, 0.2], np.float32)
    picture = EyePicture(np.where(seen[..., None] > 0, eye, skin).astype(np.float32), seen, 1)
    whole = complete_eye(picture, measure_colours(picture, float(RADIUS)))
    hidden = (seen == 0) & (radius > 0.5) & (radius < 0.9) & (radius * np.sin(angle) > 0.32)
    assert (whole[hidden][:, 2] > 1.5 * whole[hidden][:, 0]).all()
    assert np.median(whole[hidden], 0) == pytest.approx(np.median(eye[(seen > 0) & (radius > 0.5) & (radius < 0.9)], 0), rel=0.2)
    assert whole[hidden][:, 2].std() > 0.4 * eye[hidden][:, 2].std()
    assert np.corrcoef(whole[hidden][:, 2], whole[::-1][hidden][:, 2])[0, 1] < 0.8
    clear = (seen > 0) & (radius > 0.5) & (radius * np.sin(angle) < 0.1) & (radius < 0.9)
    assert np.abs(whole[clear] - eye[clear]).mean() < 0.012


def sighting(colour: np.ndarray, view: str) -> EyeSighting:
    whole = np.ones(colour.shape[:2], np.float32)
    iris = FoundIris(np.zeros(2), float(RADIUS), 0.3, 1.0)
    return EyeSighting(view, 0, colour, whole, whole > 0, 1.0, iris, np.zeros(3), np.eye(3), 0.0166)


def test_a_reflection_that_moves_over_the_eye_is_left_out_and_exposures_are_evened():
    eye, (radius, _) = fibrous_eye(), polar_grid(float(RADIUS))
    sightings, gains = [], {}
    for index, gain in enumerate((1.0, 0.6, 1.5)):
        spoilt = eye * gain
        spoilt[HALF - 8 : HALF + 8, HALF - 30 + 25 * index : HALF - 16 + 25 * index] = 1.2
        sightings.append(sighting(spoilt.astype(np.float32), str(index)))
        gains[str(index)] = np.full(3, gain)
    blended = blend_sightings(balanced(sightings, gains, float(RADIUS)), float(RADIUS)).colour_linear
    assert np.abs(blended - eye)[radius < 0.95].max() < 0.05
    alone = blend_sightings(balanced(sightings[:1], gains, float(RADIUS)), float(RADIUS))
    filled = complete_eye(alone, measure_colours(alone, float(RADIUS)))
    assert filled[radius < 0.9].max() < 0.6


def test_one_picture_in_coloured_light_does_not_colour_the_eye():
    eye, (radius, _) = fibrous_eye(), polar_grid(float(RADIUS))
    lamps = ((1.0, 1.0, 1.0), (1.8, 0.5, 1.1), (1.0, 1.0, 1.0))
    sightings = [sighting((eye * lamp).astype(np.float32), str(index)) for index, lamp in enumerate(lamps)]
    blended = blend_sightings(balanced(sightings, {}, float(RADIUS)), float(RADIUS)).colour_linear
    assert np.abs(blended - eye)[radius < 2].max() < 0.01


def test_angles_and_directions_are_each_others_inverse_and_the_chart_is_upright():
    angles = np.radians(np.array([[10.0, -20.0], [0.0, 35.0], [-50.0, 3.0]]))
    assert angles_of(directions_at(angles)) == pytest.approx(angles, abs=1e-5)
    assert grid_directions()[0, HALF, 1] > 0.8 and grid_directions()[HALF, -1, 0] > 0.8
    ramp = grid_directions()[..., :2].copy()
    assert sample_chart(ramp, angles[None])[0] == pytest.approx(directions_at(angles)[:, :2], abs=1e-4)


def test_an_eye_that_no_picture_shows_is_the_other_one_in_the_mirror_and_not_marked_as_seen():
    eye = fibrous_eye()
    eye[HALF - 5 : HALF + 5, HALF + 30 : HALF + 40] = (0.3, 0.1, 0.02)
    left, right = make_eyes([sighting(eye, "a")], {"a": np.ones(3)})
    assert left is not None and right is not None
    assert (right.colour_linear == left.colour_linear[:, ::-1]).all()
    assert left.seen.max() > 0.9 and right.seen.max() == 0
    assert left.colours.measured and not right.colours.measured
    assert make_eyes([], {}) == (None, None)


def test_eyes_slide_along_the_face_to_where_the_landmarks_are():
    head = load_head("anny")
    before, (down, inward) = head.vertices.astype(float), (-0.003, 0.002)
    after = slide(head, before, np.array([[0, down]] * 2), np.array([[-inward, down], [inward, down]]))
    moved = head.eye_centres(after) - head.eye_centres(before)
    assert moved[:, :2] == pytest.approx(np.array([[-inward, down], [inward, down]]), abs=1e-6)
    outer = np.linalg.norm(before - head.eye_centres(before).mean(0), axis=1) > 0.09
    assert (after[outer] == before[outer]).all()
    rims = (np.abs(before[:, 0]) > 0.02) & (np.abs(before[:, 0]) < 0.045) & (np.abs(before[:, 1]) < 0.008) & (head.vertex_regions == 1)
    assert np.median((after - before)[rims, 1]) == pytest.approx(down, abs=2e-4)
    # Between eye and cheek the skin slides in its surface.
    cheek = (before[:, 1] < -0.017) & (before[:, 1] > -0.028) & (np.abs(np.abs(before[:, 0]) - 0.032) < 0.012) & (head.vertex_regions == 1)
    distance = RayScene(before, head.triangles).closest(after[cheek]).distance
    assert np.median(np.linalg.norm((after - before)[cheek], axis=1)) > 4 * np.median(distance)
    assert slide(head, before, np.zeros((2, 2)), np.zeros((2, 2))) is before


def test_irises_that_look_the_same_way_are_gaze_and_those_that_squint_are_misplaced_eyes():
    shifts = np.zeros((478, 3))
    for rim in LIDS:
        shifts[list(rim)] = (0.0002, -0.003, 0.001)
    shifts[[473, 468]] = (0.0042, -0.003, 0)
    lids, balls = measured_shifts(shifts)
    assert lids[:, 1] == pytest.approx(-0.003, rel=0.05)
    assert np.abs(balls - lids).max() < 2e-4
    shifts[473, 0], shifts[468, 0] = -0.0028, 0.0032
    lids, balls = measured_shifts(shifts)
    assert (balls - lids)[:, 0] == pytest.approx([-0.0027, 0.0027], rel=0.06)
    assert np.abs(measured_shifts(shifts * 0.05)[0]).max() < 2e-5


def test_the_mouth_gets_darker_inwards_and_teeth_stand_out_from_it():
    head = load_head("anny")
    light, chart = mouth_light(head), make_chart(head, SIZE)
    inner, depth = np.isin(head.vertex_parts, [PARTS.index(name) for name in INSIDE]), head.vertices[:, 2]
    front, back = (inner & (depth > 0.012)), (inner & (depth < -0.035))
    assert light[front].mean() > 5 * light[back].mean() and light[head.vertex_parts == PARTS.index("skin")].min() == 1
    colour, white = np.full((len(chart.rows), 3), 0.2, np.float32), np.array([0.5, 0.45, 0.42])
    painted = paint_mouth(colour, np.zeros(len(colour)), head, chart, white)
    inside = np.isin(chart.part, [PARTS.index(name) for name in INSIDE])
    assert (painted[~inside] == 0.2).all()
    level = chart.points(light[:, None], head.triangles)[:, 0]
    socket = chart.part == PARTS.index("mouth_socket")
    assert painted[socket & (level < 0.01)].mean() < 0.15 * np.quantile(painted[socket & (level > 0.15)], 0.5)
    teeth = (chart.part == PARTS.index("teeth_upper")) & (level > 0.3)
    assert painted[teeth].mean() > 2.5 * painted[(chart.part == PARTS.index("tongue")) & (level > 0.1)].mean()
    seen = np.where(chart.part == PARTS.index("tongue"), 0.5, 0.0)
    assert (paint_mouth(colour, seen, head, chart, white)[chart.part == PARTS.index("tongue")] == np.float32(0.2)).all()


def test_cameras_of_one_moment_see_one_gaze(person, sightings):
    """What single cameras of a rig find differs by a degree or two; the eyes look one way, so that the views stay one moment."""
    avatar = person.avatar
    rig = dataclasses.replace(avatar, views=tuple(dataclasses.replace(v, T_world_head=MOVED @ v.T_world_head) for v in avatar.views))
    moved = with_gaze(rig, sightings)
    assert len({moment_of(view) for view in moved}) == len({moment_of(view) for view in rig.views}) == 1
    apart = with_gaze(avatar, sightings)
    assert len({tuple(view.weights.items()) for view in apart}) == len(avatar.views)
    assert all(dict(view.weights) == dict(moved[0].weights) for view in moved)
