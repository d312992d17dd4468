"""Bake the photos of a capture into the head's UV texture.

    bake_texture(avatar, images, settings=TextureSettings(), *, grey_views=(), progress=None) -> BakedTexture

`avatar` carries the geometry, and `avatar.views` the camera, `T_world_head` and weights of each registered picture; its own
albedo, confidence and light may be placeholders. `images(view_name)` gives the (H, W, 3) uint8 RGB picture that belongs to the
view's camera (undistorted, EXIF orientation applied). The result has `albedo_srgb`, `confidence` and `light`:
`dataclasses.replace(avatar, albedo_srgb=..., confidence=..., light=...)`.

Albedo here means: the blended colour of the photos divided by a soft light of one hue, so that light x albedo
gives the photos back. Cast shadows, creases, highlights that most photos share and the light's colour stay in the albedo.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Collection

import cv2
import numpy as np

from assets.counting import how_many
from assets.errors import DegenerateGeometryError, RangeError
from assets.head_model import PARTS, REGIONS
from recon.avatar import Avatar, FittedView, transform_points
from recon.eyes_gaze import with_gaze
from recon.eyes_pictures import EyeSighting, look_at_eyes, shows_eye
from recon.mouth_paint import paint_mouth
from recon.texture_balance import agreement, estimate_gains, log_colour
from recon.texture_blend import GAMMA, BandBlender
from recon.texture_chart import Chart, make_chart
from recon.texture_eyes import PaintedEye, lids_of, make_eyes, paint_eyes, skin_near_eyes, trust_in_lids
from recon.texture_fill import fill_from_mirror, push_pull
from recon.texture_light import estimate_light, shading
from recon.texture_shade import shade_filled
from recon.texture_views import Picture, ViewingSettings
from render.shading import linear_to_srgb_bytes
from render.sweep import Light

COARSE = 4
"""Pictures are compared with each other on every so manieth texel."""
SEEN_WELL = 0.5
"""Weight from which a texel counts as seen well: confidence 255."""
CLOSED = 0.7
"""Weight of a blink from which an eye counts as closed."""
Progress = Callable[[str, int, int], None]


@dataclasses.dataclass(frozen=True)
class TextureSettings:
    """How the texture is baked."""

    size: int = 2048
    """Width and height of the texture, texels: a multiple of 64. 2048 gives the Anny head 0.4 mm texels."""
    viewing: ViewingSettings = dataclasses.field(default_factory=ViewingSettings)
    """When a texel counts as seen."""
    light_strength: float = 0.6
    """Share of the estimated shading that is taken out of the texture into the light: 0 none, 1 all."""
    mirror: bool = True
    """Fill skin that no picture shows from the other side of the face; off: only from its neighbours."""


@dataclasses.dataclass(frozen=True, eq=False)
class BakedTexture:
    """What the pictures say about the head's colour."""

    albedo_srgb: np.ndarray
    """(S, S, 3) uint8, row 0 is v = 1."""
    confidence: np.ndarray
    """(S, S) uint8: 0 filled in (or no surface), 255 seen well."""
    light: Light
    """World frame; light x albedo has the brightness of the median picture."""
    gains: dict[str, tuple[float, float, float]]
    """Exposure of each picture used, linear RGB factors relative to the median picture, by view name."""
    notes: tuple[str, ...]
    """What was filled in or left out, in plain words."""
    views: tuple[FittedView, ...]
    """The avatar's views, their eyes looking where the irises in the pictures are, with their exposure and white balance."""


@dataclasses.dataclass(frozen=True, eq=False)
class _Sighting:
    """One picture's observation, kept small: only the texels seen, half floats."""

    view: FittedView
    texels: np.ndarray
    colour: np.ndarray
    weight: np.ndarray
    preference: float
    eyes: tuple[EyeSighting, ...]


def bake_texture(
    avatar: Avatar,
    images: Callable[[str], np.ndarray],
    settings: TextureSettings = TextureSettings(),
    *,
    grey_views: Collection[str] = (),
    progress: Progress | None = None,
) -> BakedTexture:
    """See the module's docstring. Deterministic; about 2 s and 10 MB a picture at 2048.

    Grey pictures (`grey_views` by name, as View.is_grey says) are left out where any picture has colour. Raises RangeError for a
    size that is not a multiple of 64, ShapeError where a picture does not fit its camera, DegenerateGeometryError where no view is
    registered or shows the head.
    """
    if settings.size < 64 or settings.size % 64:
        raise RangeError(expected="a texture size that is a multiple of 64", got=str(settings.size), do="use 1024, 2048 or 4096")
    chart = make_chart(avatar.head, settings.size)
    sightings = _look(avatar, images, chart, settings, grey_views, progress)
    gains, agreements = _compare(chart, sightings)
    colour, seen = _blend(chart, sightings, gains, agreements, progress)
    light, delit = _take_light_out(avatar, chart, colour, seen, settings.light_strength)
    eyes = _eyes(avatar, sightings, gains, light)
    albedo, confidence = _complete(avatar, chart, delit, seen, settings, eyes)
    used = {s.view.name: tuple(float(x) for x in np.exp(g)) for s, g in zip(sightings, gains, strict=True)}
    views = with_gaze(avatar, [eye for sighting in sightings for eye in sighting.eyes])
    views = tuple(dataclasses.replace(view, gain_linear=used.get(view.name)) for view in views)
    return BakedTexture(albedo, confidence, light, used, _notes(avatar, sightings, chart, seen), views)  # type: ignore[arg-type]


def _look(
    avatar: Avatar,
    images: Callable[[str], np.ndarray],
    chart: Chart,
    settings: TextureSettings,
    grey_views: Collection[str],
    progress: Progress | None,
) -> list[_Sighting]:
    """Observe every registered picture; grey ones only where there is no other."""
    views = [view for view in avatar.views if view.camera is not None and view.T_world_head is not None]
    coloured, grey = [], []
    near_eyes = np.flatnonzero(skin_near_eyes(avatar.head, chart))
    for index, view in enumerate(views):
        if progress:
            progress("texture: reading pictures", index, len(views))
        image = images(view.name)
        picture = Picture(image, avatar.pose_view(view), view.camera)  # type: ignore[arg-type]
        found, eyes = picture.observe(chart, settings.viewing), _eyes_in(picture, image, view, avatar)
        _take_eyes_off(found.weight, picture, eyes, avatar, chart, near_eyes)
        texels = np.flatnonzero(found.weight > 0)
        if len(texels):
            colour, weight = found.colour_linear[texels].astype(np.float16), found.weight[texels].astype(np.float16)
            (grey if view.name in grey_views else coloured).append(_Sighting(view, texels, colour, weight, preference(view), eyes))
    if not coloured and not grey:
        raise DegenerateGeometryError(
            expected="at least one registered view that shows the head",
            got=f"{len(views)} registered of {how_many(len(avatar.views), 'view')}, none of which shows it",
            do="look at the views' statuses, and add a sharp photo of the face",
        )
    used = coloured or grey
    _without_unsure_lids(used, avatar, chart)
    return used


def _eyes_in(picture: Picture, image: np.ndarray, view: FittedView, avatar: Avatar) -> tuple[EyeSighting, ...]:
    return look_at_eyes(view.name, image, picture.mesh, picture.camera, avatar.head, scene=picture.scene)


def _take_eyes_off(
    weight: np.ndarray, picture: Picture, eyes: tuple[EyeSighting, ...], avatar: Avatar, chart: Chart, near_eyes: np.ndarray
) -> None:
    """No iris and no white onto the lids: skin that lies where the picture shows an open eye loses its weight (N,)."""
    seen = near_eyes[weight[near_eyes] > 0]
    if not eyes or not len(seen):
        return
    corners = avatar.head.triangles[chart.triangle[seen]]
    points = np.einsum("nk,nkc->nc", chart.barycentric[seen], picture.mesh.vertices[corners])
    weight[seen[shows_eye(points, eyes, picture.camera)]] = 0


def _without_unsure_lids(sightings: list[_Sighting], avatar: Avatar, chart: Chart) -> None:
    """Lids are taken from pictures in which the open eye between them was found, where there are any, and from those of closed eyes.

    In the others, profiles above all, nothing says where the lids end and the white begins.
    """
    for side, name in enumerate(("eyeBlinkLeft", "eyeBlinkRight")):
        found = [any(eye.side == side for eye in sighting.eyes) for sighting in sightings]
        if not any(found):
            continue
        is_lid = lids_of(avatar.head, chart, side)
        for sighting, has_eye in zip(sightings, found, strict=True):
            if not has_eye and sighting.view.weights.get(name, 0.0) < CLOSED:
                sighting.weight[is_lid[sighting.texels]] = 0


def _eyes(avatar: Avatar, sightings: list[_Sighting], gains: np.ndarray, light: Light) -> tuple[PaintedEye | None, PaintedEye | None]:
    """Both eyes as the pictures show them, the capture's light taken out as from the skin."""
    turn = avatar.T_world_head[:3, :3].T
    by_view = {s.view.name: np.exp(gain) for s, gain in zip(sightings, gains, strict=True)}
    return make_eyes([eye for s in sightings for eye in s.eyes], by_view, lambda directions: shading(light, directions @ turn))


def preference(view: FittedView) -> float:
    """Pictures at rest first: folds of a smile, and skin that an expression misplaces, are baked only where nothing else saw the place.

    Residuals of landmarks say nothing here: they grow towards the profile for the detector's sake, and a profile has none.
    """
    expression = sum(abs(weight) for name, weight in view.weights.items() if not name.startswith("eyeLook"))
    return float(1 / (1 + 0.3 * expression))


def _compare(chart: Chart, sightings: list[_Sighting]) -> tuple[np.ndarray, np.ndarray]:
    """(V, 3) log gains, and (V, h, w) coarse agreement pictures of the window, 1 where nothing is known."""
    coarse = [_shrink(chart, sighting) for sighting in sightings]
    logs, weights = log_colour(np.stack([c[0] for c in coarse])), np.stack([c[1] for c in coarse])
    some = (weights > 0).any(0)
    skin = chart.image((chart.part == PARTS.index("skin")).astype(np.uint8))[::COARSE, ::COARSE] > 0
    gains = estimate_gains(logs[:, some & skin], weights[:, some & skin])
    agreements = np.ones(weights.shape, np.float32)
    agreements[:, some] = agreement(logs[:, some], weights[:, some], gains)
    return gains, agreements


def _shrink(chart: Chart, sighting: _Sighting) -> tuple[np.ndarray, np.ndarray]:
    """Area means over COARSE x COARSE texels of what one picture saw: colour (h, w, 3) and weight (h, w)."""
    colour, weight = _window(chart, sighting)
    size = (chart.width // COARSE, chart.height // COARSE)
    summed = cv2.resize(np.dstack([colour * weight[..., None], weight]), size, interpolation=cv2.INTER_AREA)
    return summed[..., :3] / np.maximum(summed[..., 3:], 1e-6), np.where(summed[..., 3] > 1e-3, summed[..., 3], 0)


def _window(chart: Chart, sighting: _Sighting) -> tuple[np.ndarray, np.ndarray]:
    rows, columns = chart.rows[sighting.texels], chart.columns[sighting.texels]
    colour, weight = np.zeros((chart.height, chart.width, 3), np.float32), np.zeros((chart.height, chart.width), np.float32)
    colour[rows, columns], weight[rows, columns] = sighting.colour, sighting.weight
    return colour, weight


def _blend(
    chart: Chart, sightings: list[_Sighting], gains: np.ndarray, agreements: np.ndarray, progress: Progress | None
) -> tuple[np.ndarray, np.ndarray]:
    """(N, 3) linear colours and (N,) trust in [0, 1], the best picture's weight."""
    blender = BandBlender(chart)
    trust = np.zeros(len(chart.rows), np.float32)
    for index, (sighting, gain) in enumerate(zip(sightings, gains, strict=True)):
        if progress:
            progress("texture: blending", index, len(sightings))
        agreed = cv2.GaussianBlur(agreements[index], (0, 0), 1.0)
        weight = sighting.weight.astype(np.float32) * chart.resample(agreed)[sighting.texels]
        trust[sighting.texels] = np.maximum(trust[sighting.texels], weight)
        everywhere, colour = np.zeros(len(chart.rows), np.float32), np.zeros((len(chart.rows), 3), np.float32)
        everywhere[sighting.texels] = weight * sighting.preference
        colour[sighting.texels] = sighting.colour.astype(np.float32) / np.exp(gain).astype(np.float32)
        blender.add(colour, everywhere)
    return chart.take(blender.finish()), trust


def _take_light_out(avatar: Avatar, chart: Chart, colour: np.ndarray, seen: np.ndarray, strength: float) -> tuple[Light, np.ndarray]:
    """The light, estimated on well-seen skin, and the colours divided by its shading."""
    vertices = transform_points(avatar.T_world_head, avatar.neutral)
    normals = chart.normals(vertices, avatar.head.triangles)
    used = np.flatnonzero((chart.part == PARTS.index("skin")) & (seen > 0.2))[::7]
    light = estimate_light(colour[used], normals[used], seen[used], strength=strength)
    return light, colour / shading(light, normals)


def _complete(
    avatar: Avatar,
    chart: Chart,
    colour: np.ndarray,
    seen: np.ndarray,
    settings: TextureSettings,
    eyes: tuple[PaintedEye | None, PaintedEye | None],
) -> tuple[np.ndarray, np.ndarray]:
    """Fill in what was not seen; the whole (S, S) albedo and its confidence."""
    seen = trust_in_lids(colour, seen, avatar.head, chart)
    colour, seen, eye_colours = paint_eyes(colour, seen, avatar.head, chart, eyes)
    colour = paint_mouth(colour, seen, avatar.head, chart, eye_colours.sclera_linear)
    is_skin = chart.part == PARTS.index("skin")
    known = chart.image(np.where(is_skin, np.clip(seen / 0.15, 0, 1), 0).astype(np.float32))
    picture = chart.image((np.maximum(colour, 0) ** (1 / GAMMA)).astype(np.float32))
    filled, share = fill_from_mirror(picture, known, avatar.head, chart) if settings.mirror else (picture, known)
    spread = push_pull(filled, np.clip(share, 0, 1))
    filled = shade_filled(spread, known, avatar.head, avatar.neutral, chart)
    # At rest lids are folded and see no sky; closed ones do, and are seen then.
    lids = chart.image(skin_near_eyes(avatar.head, chart))
    filled[lids] = spread[lids]
    others = chart.image(~is_skin)
    filled[others] = picture[others]
    # The gutter around each chart gets its neighbours' colours, so that bilinear sampling and mipmaps show no seam.
    filled = push_pull(filled, chart.image(np.ones(len(chart.rows), np.float32)))
    albedo = np.zeros((chart.size, chart.size, 3), np.uint8)
    confidence = np.zeros((chart.size, chart.size), np.uint8)
    window = (slice(chart.row0, chart.row0 + chart.height), slice(chart.column0, chart.column0 + chart.width))
    albedo[window] = linear_to_srgb_bytes(filled**GAMMA)
    confidence[window] = chart.image(np.rint(255 * np.clip(seen / SEEN_WELL, 0, 1)).astype(np.uint8))
    return albedo, confidence


def _notes(avatar: Avatar, sightings: list[_Sighting], chart: Chart, seen: np.ndarray) -> tuple[str, ...]:
    region = avatar.head.vertex_regions[avatar.head.triangles[chart.triangle, 0]]
    face = seen[region == REGIONS.index("face")]
    share = float((face > 0).mean()) if len(face) else 0.0
    used = f"{len(sightings)} of {how_many(len(avatar.views), 'view')}"
    return (f"texture from {used}; {100 * share:.0f} % of the face was seen, the rest is filled in",)
