"""The MediaPipe face drawing, pixel for pixel that of controlnet_aux."""

from __future__ import annotations

import functools
import importlib.util
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

from assets.errors import ShapeError
from assets.mediapipe_edges import mediapipe_face_edges
from conditioning.mediapipe_face import encode_mediapipe_face

COLOURS = {
    (10, 200, 10), (10, 180, 10), (180, 200, 10), (180, 220, 10), (250, 200, 10), (10, 200, 180), (10, 220, 180), (10, 200, 250),
}  # fmt: skip


def scattered(width: int, height: int, seed: int, *, beyond: float = 0.0) -> np.ndarray:
    """(478, 2) points whose fractions keep clear of whole pixels, so that float32 rounding cannot move the floor."""
    rng = np.random.default_rng(seed)
    low, high = -beyond * np.array([width, height]), (1 + beyond) * np.array([width, height])
    return np.floor(rng.uniform(low, high, (478, 2))) + rng.uniform(0.1, 0.9, (478, 2))


@functools.cache
def controlnet_aux_drawing() -> ModuleType:
    """The drawing module of controlnet_aux, run from its file: importing the package would load every annotator, for half a minute."""
    package = importlib.util.find_spec("controlnet_aux")
    if package is None or package.origin is None:
        pytest.skip("controlnet_aux is not installed (the `test` extra)")
    file = Path(package.origin).parent / "mediapipe_face" / "mediapipe_face_common.py"
    spec = importlib.util.spec_from_file_location("controlnet_aux_mediapipe_face_common", file)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def drawn_by_controlnet_aux(points: np.ndarray, width: int, height: int) -> np.ndarray:
    common = controlnet_aux_drawing()
    from mediapipe.framework.formats import landmark_pb2

    landmarks = landmark_pb2.NormalizedLandmarkList(
        landmark=[landmark_pb2.NormalizedLandmark(x=x / width, y=y / height, z=0.0) for x, y in points]
    )
    picture = np.zeros((height, width, 3), np.uint8)
    spec = common.face_connection_spec
    common.mp_drawing.draw_landmarks(picture, landmarks, connections=spec.keys(), landmark_drawing_spec=None, connection_drawing_spec=spec)
    common.draw_pupils(picture, landmarks, common.iris_landmark_spec, 2)
    return common.reverse_channels(picture)


@pytest.mark.parametrize(("width", "height", "beyond"), [(512, 512, 0.0), (512, 768, 0.0), (640, 384, 0.15), (128, 128, 0.3)])
def test_same_pixels_as_controlnet_aux_on_scattered_points(width, height, beyond):
    # Scattered points cross every line with every other, so order of drawing, direction of lines and clipping all show.
    for seed in range(4):
        points = scattered(width, height, seed, beyond=beyond)
        np.testing.assert_array_equal(encode_mediapipe_face(points, width, height), drawn_by_controlnet_aux(points, width, height))


def test_pupils_near_the_border_as_in_controlnet_aux():
    for x, y in [(1.5, 30.5), (30.5, 1.5), (2.5, 2.5), (63.5, 63.5), (62.5, 30.5), (-3.0, 30.5), (64.0, 30.5)]:
        points = np.full((478, 2), -100.0)
        points[468], points[473] = (x, y), (40.5, 40.5)
        np.testing.assert_array_equal(encode_mediapipe_face(points, 64, 64), drawn_by_controlnet_aux(points, 64, 64))


def test_only_the_eight_colours_and_black_so_no_antialiasing():
    picture = encode_mediapipe_face(scattered(512, 512, 1), 512, 512)
    assert {tuple(colour) for colour in picture.reshape(-1, 3).tolist()} == COLOURS | {(0, 0, 0)}


def test_the_subjects_right_eye_at_image_left_is_180_200_10_in_rgb():
    points = np.full((478, 2), -100.0)
    for part in mediapipe_face_edges():
        if part.part == "eye":
            indices = sorted({index for pair in part.pairs for index in pair})
            # A frontal face: the subject's right eye lies at the left of the picture.
            angle = np.linspace(0, 6, len(indices))
            centre = (150, 200) if part.side == "right" else (350, 200)
            points[indices] = np.stack([centre[0] + 40 * np.cos(angle), centre[1] + 15 * np.sin(angle)], 1)
    picture = encode_mediapipe_face(points, 512, 512)
    assert set(map(tuple, picture[:, :256].reshape(-1, 3).tolist())) == {(0, 0, 0), (180, 200, 10)}
    assert set(map(tuple, picture[:, 256:].reshape(-1, 3).tolist())) == {(0, 0, 0), (10, 200, 180)}


def test_pupil_is_rows_y_minus_2_to_y_plus_1_and_last():
    points = np.full((478, 2), -100.0)
    points[468] = (30.9, 20.1)
    picture = encode_mediapipe_face(points, 64, 64)
    rows, columns = np.nonzero(picture.any(-1))
    assert (rows.min(), rows.max(), columns.min(), columns.max()) == (18, 21, 28, 31)
    assert len(rows) == 16 and picture[20, 30].tolist() == [250, 200, 10]


def test_points_that_are_not_finite_are_left_out_with_their_edges():
    points = scattered(256, 256, 2)
    points[10] = np.nan
    outside = points.copy()
    outside[10] = -50
    np.testing.assert_array_equal(encode_mediapipe_face(points, 256, 256), encode_mediapipe_face(outside, 256, 256))


def test_wrong_number_of_landmarks_is_refused():
    with pytest.raises(ShapeError, match=r"\(468, 2\)"):
        encode_mediapipe_face(np.zeros((468, 2)), 64, 64)
