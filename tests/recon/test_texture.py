"""Baking: a known texture comes back, exposures are found, nothing bleeds, holes are filled and say so."""

import dataclasses

import numpy as np
import pytest

from assets import load_head
from assets.errors import DegenerateGeometryError, RangeError, ShapeError
from assets.head_model import PARTS
from recon.avatar import Avatar, FittedView
from recon.texture import TextureSettings, bake_texture, preference
from recon.texture_balance import estimate_gains
from recon.texture_chart import make_chart
from recon.texture_fill import push_pull
from recon.texture_light import estimate_light, shading
from recon.texture_shade import shade_filled
from recon.texture_views import burnt
from render.camera import Camera
from render.mesh import vertex_normals
from render.rasterize import rasterize
from render.shading import ambient_light, distant_light, irradiance, linear_to_srgb_bytes, sample_texture, srgb_to_linear
from render.sweep import Light
from tests.recon.toy_head import toy_avatar, toy_head

HEAD = toy_head()
SIZE = 512
CHART = make_chart(HEAD, SIZE)
IS_SKIN = CHART.part == PARTS.index("skin")
SETTINGS = TextureSettings(size=SIZE, light_strength=0.0)
GREEN = (0, 255, 0)
BLUE_IRIS = (40, 70, 190)


def skin_texture(seed: int = 0, symmetric: bool = False) -> np.ndarray:
    """(512, 512, 3) uint8: blotchy reddish skin with dark freckles, white eyeballs with a blue iris and a dark pupil."""
    rng = np.random.default_rng(seed)
    v, u = np.meshgrid(np.linspace(0, 1, SIZE), np.linspace(0, 1, SIZE), indexing="ij")
    u = np.abs(u - 0.5) if symmetric else u
    waves = sum(np.sin(2 * np.pi * (a * u + b * v) + c) for a, b, c in rng.uniform((1, 1, 0), (6, 6, 6), (5, 3)))
    image = np.stack([175 + 8 * waves, 120 + 6 * waves, 100 + 5 * waves], -1)
    for x, y in rng.uniform((0, 0.05), (0.5 if symmetric else 1, 0.7), (60, 2)):
        image *= 1 - 0.35 * np.exp(-0.5 * ((u - x) ** 2 + (v - y) ** 2) / 0.006**2)[..., None]
    points = CHART.points(HEAD.vertices, HEAD.triangles)
    for part, centre in zip(("eye_left", "eye_right"), HEAD.eye_centres(), strict=True):
        mine = np.flatnonzero(CHART.part == PARTS.index(part))
        off_axis = np.linalg.norm((points[mine] - centre)[:, :2], axis=1)
        front = points[mine, 2] > centre[2]
        eye = np.where((front & (off_axis < 0.0059))[:, None], BLUE_IRIS, (205, 200, 196))
        eye[front & (off_axis < 0.002)] = 10
        image[CHART.rows[mine], CHART.columns[mine]] = eye
    return np.clip(image, 0, 255).astype(np.uint8)


def camera(yaw_deg: float, pitch_deg: float = 0.0, size: int = 320, distance_m: float = 0.7) -> Camera:
    """Looks at the middle of the head from the subject's left for positive yaw."""
    yaw, pitch = np.radians((yaw_deg, pitch_deg))
    target = np.array([0, -0.01, -0.05])
    back = np.array([np.sin(yaw) * np.cos(pitch), np.sin(pitch), np.cos(yaw) * np.cos(pitch)])
    right = np.cross(-back, (0, 1, 0)) / np.linalg.norm(np.cross(-back, (0, 1, 0)))
    T = np.eye(4)
    T[:3, :3] = right, np.cross(-back, right), -back
    T[:3, 3] = -T[:3, :3] @ (target + distance_m * back)
    return Camera(np.array([[2.4 * size, 0, size / 2], [0, 2.4 * size, size / 2], [0, 0, 1]]), T, size, size)


def photograph(
    avatar: Avatar, cam: Camera, texture: np.ndarray, light: Light, exposure: float = 1.0, background=GREEN, weights=None
) -> np.ndarray:
    """A picture of the head, 3 x 3 samples a pixel."""
    big, mesh = cam.resized(width=3 * cam.width, height=3 * cam.height), avatar.mesh(weights)
    fragments = rasterize(mesh, big)
    hit = fragments.face_id >= 0
    index, barycentric = fragments.face_id[hit], fragments.barycentric[hit]
    normals = np.einsum("nk,nkc->nc", barycentric, vertex_normals(mesh.vertices, mesh.triangles)[mesh.triangles[index]])
    uv = np.einsum("nk,nkc->nc", barycentric, mesh.uvs[mesh.triangle_uvs[index]])
    image = np.tile(srgb_to_linear(np.array(background, np.uint8)), (big.height, big.width, 1))
    albedo = srgb_to_linear(sample_texture(texture, uv) / 255)
    image[hit] = exposure * albedo * irradiance(normals / np.linalg.norm(normals, axis=1, keepdims=True), light)
    return linear_to_srgb_bytes(image.reshape(cam.height, 3, cam.width, 3, 3).mean((1, 3)))


EVEN = ambient_light()
YAWS = (-75, -40, -10, 20, 50, 80)
EXPOSURES = (0.8, 1.25, 1.0, 0.9, 1.15, 1.0)


def capture(texture, light=EVEN, yaws=YAWS, exposures=EXPOSURES, wrong_deg=0.0, background=GREEN) -> tuple[Avatar, dict[str, np.ndarray]]:
    """An avatar whose views know their cameras (off by wrong_deg), and the pictures by name."""
    avatar = toy_avatar(HEAD, offsets=np.zeros_like(HEAD.vertices))
    views, pictures = [], {}
    for index, (yaw, exposure) in enumerate(zip(yaws, exposures, strict=False)):
        cam, name = camera(yaw, 12 - 5 * index), f"{index}.jpg"
        pictures[name] = photograph(avatar, cam, texture, light, exposure, background)
        views.append(FittedView(name, "ok", "", camera(yaw + wrong_deg, 12 - 5 * index), np.eye(4), {}, 1.0, yaw, 0, 0))
    return dataclasses.replace(avatar, views=tuple(views)), pictures


@pytest.fixture(scope="module")
def baked():
    texture = skin_texture()
    avatar, pictures = capture(texture)
    return texture, avatar, pictures, bake_texture(avatar, pictures.__getitem__, SETTINGS)


def at_texels(image: np.ndarray) -> np.ndarray:
    return image[CHART.rows + CHART.row0, CHART.columns + CHART.column0]


def psnr(a: np.ndarray, b: np.ndarray) -> float:
    return float(10 * np.log10(255**2 / np.mean((a.astype(float) - b) ** 2)))


def green_share(image: np.ndarray) -> float:
    rgb = image.astype(int)
    return float((rgb[..., 1] > rgb[..., 0] + 5).mean())


def test_every_texel_lies_where_its_uv_says():
    uv = np.einsum("nk,nkc->nc", CHART.barycentric, HEAD.uvs[HEAD.triangle_uvs[CHART.triangle]])
    expected = np.stack([(CHART.columns + CHART.column0 + 0.5) / SIZE, 1 - (CHART.rows + CHART.row0 + 0.5) / SIZE], 1)
    np.testing.assert_allclose(uv, expected, atol=1e-5)


def test_a_known_texture_comes_back(baked):
    texture, _, _, result = baked
    seen = IS_SKIN & (at_texels(result.confidence) > 128)
    assert seen.sum() > 0.4 * IS_SKIN.sum()
    assert psnr(at_texels(result.albedo_srgb)[seen], at_texels(texture)[seen]) > 48
    # Shifted by two texels the same comparison is far worse: the chart and the pictures agree to a fraction of a texel.
    shifted = at_texels(np.roll(texture, 2, axis=1))
    assert psnr(at_texels(result.albedo_srgb)[seen], shifted[seen]) < 44


def test_exposures_are_found_relative_to_the_median_picture(baked):
    gains = np.array([baked[3].gains[f"{index}.jpg"] for index in range(6)])
    expected = np.array(EXPOSURES) / np.median(EXPOSURES)
    np.testing.assert_allclose(gains / expected[:, None], 1, atol=0.02)


def test_a_green_background_never_gets_onto_the_skin(baked):
    assert green_share(at_texels(baked[3].albedo_srgb)[IS_SKIN]) == 0


def test_nor_when_the_cameras_are_a_degree_off():
    avatar, pictures = capture(skin_texture(), wrong_deg=0.7)
    result = bake_texture(avatar, pictures.__getitem__, SETTINGS)
    assert green_share(at_texels(result.albedo_srgb)[IS_SKIN]) < 1e-4


def test_without_the_margin_the_background_does_bleed():
    """The two tests above can fail: this is what they guard against."""
    avatar, pictures = capture(skin_texture(), wrong_deg=0.7)
    careless = dataclasses.replace(SETTINGS.viewing, edge_margin_mm=1e-3, min_cosine=0.0, cosine_power=0.1, find_person=False)
    result = bake_texture(avatar, pictures.__getitem__, dataclasses.replace(SETTINGS, viewing=careless))
    assert green_share(at_texels(result.albedo_srgb)[IS_SKIN]) > 1e-3


def test_nor_where_the_fitted_head_sticks_out_of_the_real_one():
    avatar, pictures = capture(skin_texture())
    too_deep = np.where(HEAD.vertices[:, 2:] < -0.073, (0, 0, 0.25), 0) * (HEAD.vertices + (0, 0, 0.073))
    fitted = dataclasses.replace(avatar, offsets=too_deep.astype(np.float32))
    assert np.ptp(fitted.neutral[:, 2]) - np.ptp(avatar.neutral[:, 2]) > 0.02
    result = bake_texture(fitted, pictures.__getitem__, SETTINGS)
    assert green_share(at_texels(result.albedo_srgb)[IS_SKIN]) < 1e-4
    careless = dataclasses.replace(SETTINGS.viewing, find_person=False)
    result = bake_texture(fitted, pictures.__getitem__, dataclasses.replace(SETTINGS, viewing=careless))
    assert green_share(at_texels(result.albedo_srgb)[IS_SKIN]) > 0.02


def test_baking_is_deterministic(baked):
    _, avatar, pictures, result = baked
    again = bake_texture(avatar, pictures.__getitem__, SETTINGS)
    np.testing.assert_array_equal(again.albedo_srgb, result.albedo_srgb)
    np.testing.assert_array_equal(again.confidence, result.confidence)
    np.testing.assert_array_equal(again.light.sh_linear, result.light.sh_linear)


def test_a_highlight_in_one_picture_is_outvoted(baked):
    _, avatar, pictures, clean = baked
    spoilt = {name: picture.copy() for name, picture in pictures.items()}
    px, _ = avatar.views[2].camera.project(np.array([[0.02, 0.05, 0.02]]))
    x, y = px[0].astype(int)
    spoilt["2.jpg"][y - 10 : y + 10, x - 10 : x + 10] = 255
    result = bake_texture(avatar, spoilt.__getitem__, SETTINGS)
    difference = np.abs(result.albedo_srgb.astype(int) - clean.albedo_srgb).max(-1)
    assert (difference > 60).sum() < 30  # 20 x 20 white pixels would cover some thousand texels.


def test_a_side_that_no_picture_shows_is_the_other_side_mirrored_and_marked():
    texture = skin_texture(symmetric=True)
    avatar, pictures = capture(texture, yaws=(40, 60, 85), exposures=(1, 1, 1))
    result = bake_texture(avatar, pictures.__getitem__, SETTINGS)
    points = CHART.points(HEAD.vertices, HEAD.triangles)
    far = IS_SKIN & (points[:, 0] < -0.045) & (points[:, 2] > -0.08) & (np.abs(points[:, 1]) < 0.05)
    assert (at_texels(result.confidence)[far] == 0).mean() > 0.99
    assert psnr(at_texels(result.albedo_srgb)[far], at_texels(texture)[far]) > 28
    plain = bake_texture(avatar, pictures.__getitem__, dataclasses.replace(SETTINGS, mirror=False))
    assert psnr(at_texels(plain.albedo_srgb)[far], at_texels(texture)[far]) < 26


def test_the_iris_keeps_its_place_and_hidden_white_is_white(baked):
    _, _, _, result = baked
    points, albedo = CHART.points(HEAD.vertices, HEAD.triangles), at_texels(result.albedo_srgb).astype(int)
    ball = CHART.part == PARTS.index("eye_left")
    arm = points - HEAD.eye_centres()[0]
    off_axis, front = np.linalg.norm(arm[:, :2], axis=1), arm[:, 2] > 0
    iris = albedo[ball & front & (off_axis > 0.0028) & (off_axis < 0.0052)]
    assert np.abs(np.median(iris, 0) - BLUE_IRIS).max() < 25
    assert np.median(albedo[ball & front & (off_axis < 0.0012)]) < 40
    back = albedo[ball & (arm[:, 2] < 0.004) & (arm[:, 2] > -0.004)]
    assert back.min() > 90 and np.ptp(np.median(back, 0)) < 60


def test_closed_lids_leave_no_skin_on_the_eyeball():
    texture = skin_texture()
    eyes = np.isin(CHART.part, (2, 3))
    texture[CHART.rows[eyes], CHART.columns[eyes]] = (175, 120, 100)
    avatar, pictures = capture(texture)
    albedo = at_texels(bake_texture(avatar, pictures.__getitem__, SETTINGS).albedo_srgb)[eyes].astype(int)
    is_skin = (np.abs(albedo - (175, 120, 100)) < 20).all(-1)
    assert is_skin.mean() < 0.01


def test_light_times_albedo_gives_the_photos_back():
    light = Light(ambient_light((0.45,) * 3).sh_linear + distant_light(np.array([0.8, 0.5, 0.6]), (0.6,) * 3).sh_linear)
    texture = skin_texture()
    avatar, pictures = capture(texture, light, exposures=(1,) * 6)
    result = bake_texture(avatar, pictures.__getitem__, dataclasses.replace(SETTINGS, light_strength=0.8))
    again = photograph(avatar, camera(20, -3), result.albedo_srgb, result.light)
    skin = rasterize(avatar.mesh(), camera(20, -3)).face_id >= 0
    inner = skin & np.roll(skin, 4, 0) & np.roll(skin, -4, 0) & np.roll(skin, 4, 1) & np.roll(skin, -4, 1)
    assert psnr(again[inner], pictures["3.jpg"][inner]) > 30
    seen = IS_SKIN & (at_texels(result.confidence) > 128)
    linear = srgb_to_linear(at_texels(result.albedo_srgb)[seen]).mean(1)
    true = srgb_to_linear(at_texels(texture)[seen]).mean(1)
    plain = bake_texture(avatar, pictures.__getitem__, SETTINGS)
    shaded = srgb_to_linear(at_texels(plain.albedo_srgb)[seen]).mean(1)
    assert np.std(np.log(linear / true)) < 0.65 * np.std(np.log(shaded / true))


def test_light_is_found_on_an_even_ball_and_never_turns_black():
    rng = np.random.default_rng(0)
    normals = rng.normal(size=(4000, 3))
    normals = (normals / np.linalg.norm(normals, axis=1, keepdims=True)).astype(np.float32)
    normals = normals[normals[:, 2] > -0.2]
    light = Light(ambient_light((0.5,) * 3).sh_linear + distant_light(np.array([0.6, 0.6, 0.5]), (0.4,) * 3).sh_linear)
    colour = irradiance(normals, light) * (0.5, 0.3, 0.2)
    found = shading(estimate_light(colour, normals, np.ones(len(normals)), strength=1.0), normals)[:, 0]
    true = irradiance(normals, light)[:, 0]
    assert np.corrcoef(found, true)[0, 1] > 0.98 and found.mean() == pytest.approx(1, abs=0.02)
    hard = estimate_light(np.maximum(normals[:, :1], 0) * np.ones(3), normals, np.ones(len(normals)), strength=1.0)
    assert shading(hard, np.concatenate([normals, -normals])).min() > 0.2


def test_gains_ignore_what_disagrees():
    rng = np.random.default_rng(1)
    texel, gain = rng.normal(-1, 0.5, (1, 3000, 3)), np.array([[0.3, 0.2, 0.1], [0, 0, 0], [-0.4, -0.3, -0.5]])
    logs = texel + gain[:, None] + rng.normal(0, 0.01, (3, 3000, 3))
    logs[0, :600] += 1.0  # A highlight over a fifth of one picture.
    found = estimate_gains(logs.astype(np.float32), np.where(rng.random((3, 3000)) < 0.7, 1, 0).astype(np.float32))
    np.testing.assert_allclose(found, gain, atol=0.02)


def test_push_pull_keeps_what_is_known_and_spreads_it():
    image, weight = np.zeros((37, 53, 3), np.float32), np.zeros((37, 53), np.float32)
    image[:, :5], weight[:, :5] = (1, 2, 3), 1
    image[:, -5:], weight[:, -5:] = (5, 2, 1), 1
    filled = push_pull(image, weight)
    np.testing.assert_array_equal(filled[:, :5], image[:, :5])
    np.testing.assert_allclose(filled[..., 1], 2, atol=1e-5)
    assert 2 < filled[18, 26, 0] < 4 and (np.diff(filled[18, :, 0]) > -0.2).all()


def test_bad_requests_are_three_part_errors(baked):
    _, avatar, pictures, _ = baked
    with pytest.raises(RangeError, match="multiple of 64"):
        bake_texture(avatar, pictures.__getitem__, TextureSettings(size=1000))
    with pytest.raises(ShapeError, match="320 x 320"):
        bake_texture(avatar, lambda name: pictures[name][:, :-1], SETTINGS)
    with pytest.raises(DegenerateGeometryError, match="0 registered"):
        bake_texture(dataclasses.replace(avatar, views=()), pictures.__getitem__, SETTINGS)


def test_grey_pictures_are_left_out_where_others_have_colour(baked):
    _, avatar, pictures, _ = baked
    mixed = {n: np.repeat(p[..., 1:2], 3, 2) if n == "3.jpg" else p for n, p in pictures.items()}
    result = bake_texture(avatar, mixed.__getitem__, SETTINGS, grey_views={"3.jpg"})
    assert "3.jpg" not in result.gains and "5 of 6 views" in result.notes[0]
    all_grey = {n: np.repeat(p[..., 1:2], 3, 2) for n, p in pictures.items()}
    assert len(bake_texture(avatar, all_grey.__getitem__, SETTINGS, grey_views=set(pictures)).gains) == 6


def test_a_hollow_that_no_picture_shows_is_darker_than_its_rim():
    """A nostril filled with the colour of the skin around it would shine like a lamp when seen from below."""
    head = load_head()
    chart = make_chart(head, 2048)
    rooms = nostril_vertices(head)
    inside = np.isin(head.triangles[chart.triangle], rooms).all(1) & (chart.part == PARTS.index("skin"))
    flat = chart.image(np.full((len(chart.rows), 3), 0.7, np.float32))
    known = chart.image((~inside).astype(np.float32))
    shaded = chart.take(shade_filled(flat, known, head, head.vertices, chart))
    assert inside.sum() > 30
    # Colours are linear ** (1 / 2.2): a third of the light.
    assert np.median(shaded[inside]) < 0.7 * (1 / 3) ** (1 / 2.2)
    np.testing.assert_allclose(shaded[~inside], 0.7, atol=1e-6)


def nostril_vertices(head) -> np.ndarray:
    """Skin that belongs to no region and lies at the nose: the rooms behind the nostrils."""
    at_nose = (np.abs(head.vertices[:, 0]) < 0.02) & (np.abs(head.vertices[:, 1] + 0.037) < 0.012) & (head.vertices[:, 2] > 0.01)
    return np.flatnonzero((head.vertex_regions == 0) & (head.vertex_parts == PARTS.index("skin")) & at_nose)


def test_clipped_pixels_count_little():
    picture = np.full((4, 4, 3), 120, np.uint8)
    picture[1, 1], picture[2, 2] = (255, 140, 120), (247, 247, 247)
    doubt = burnt(picture)
    assert doubt[1, 1] == 1 and 0.3 < doubt[2, 2] < 0.7 and doubt[0, 0] == 0


def test_a_profile_without_landmarks_is_not_preferred_to_a_picture_with_them():
    """Landmark residuals grow towards the profile and a profile has none: neither says how well a picture shows the skin."""
    frontal = FittedView("front", "ok", "", None, None, {}, 7.0, 0.0, 0.0, 0.0)
    profile = FittedView("side", "ok", "", None, None, {}, float("nan"), 80.0, 0.0, 0.0)
    smile = FittedView("smile", "ok", "", None, None, {"mouthSmileLeft": 0.9, "eyeLookUpLeft": 1.0}, 1.0, 0.0, 0.0, 0.0)
    assert preference(frontal) == preference(profile) == 1.0
    assert preference(smile) == pytest.approx(1 / 1.27)
