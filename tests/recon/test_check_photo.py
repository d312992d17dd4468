"""Exposure of a face, and pictures that are nearly the same."""

from __future__ import annotations

import tracemalloc

import cv2
import numpy as np

from recon.check_photo import MAX_MEASURED, difference_hash, exposure_of, near_duplicates

HULL = np.array([[10, 20], [70, 20], [70, 90], [10, 90]], np.float32)


def picture(level: int) -> np.ndarray:
    return np.full((120, 100, 3), level, np.uint8)


def test_light_outside_the_face_does_not_count():
    image = picture(128)
    image[:, 75:] = 255
    image[95:] = 0
    measured = exposure_of(image, HULL)
    assert measured.mean == 128 and measured.clipped == 0 and measured.black == 0 and measured.warning == ""
    # A quarter of the columns, in 95 of 120 rows, by hand.
    assert abs(exposure_of(image, None).clipped - 0.25 * 95 / 120) < 1e-9


def test_a_large_face_is_measured_on_a_part_of_its_pixels_that_tells_the_same():
    # 12 Mpx in steps of two: the upper three quarters are clipped down to row 1500, and the hull is the left half.
    image = np.full((4000, 3000, 3), 100, np.uint8)
    image[:1500] = 255
    hull = np.array([[0, 0], [1500, 0], [1500, 3999], [0, 3999]], np.float32)
    tracemalloc.start()
    measured = exposure_of(image, None)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert measured.clipped == 0.375 and abs(measured.mean - (0.375 * 255 + 0.625 * 100)) < 1e-9
    # A full mask and comparisons of all channels would take 170 MB.
    assert peak < 9 * MAX_MEASURED
    assert abs(exposure_of(image, hull).clipped - 0.375) < 1e-3


def test_of_a_large_face_the_hull_is_still_the_hulls():
    image = np.full((2600, 2600, 3), 100, np.uint8)
    image[:, 1300:] = 255
    hull = np.array([[101, 50], [1299, 50], [1299, 2550], [101, 2550]], np.float32)
    assert exposure_of(image, hull + [[0, 0], [1301, 0], [1301, 0], [0, 0]]).clipped > 0.5
    assert exposure_of(image, hull - [[101, 0], [2, 0], [2, 0], [101, 0]]).clipped == 0


def test_clipped_light_and_black_shadow_are_named_with_what_to_do():
    shiny = picture(120)
    shiny[20:40, 10:70] = 255
    assert "clipped to white" in exposure_of(shiny, HULL).warning
    shadow = picture(120)
    shadow[20:50, 10:70] = 2
    assert "is black" in exposure_of(shadow, HULL).warning
    assert "dark" in exposure_of(picture(25), HULL).warning and "bright" in exposure_of(picture(230), HULL).warning


def test_one_clipped_channel_is_warm_light_and_no_lost_pattern():
    warm = picture(120)
    warm[..., 0] = 255
    assert exposure_of(warm, HULL).clipped == 0


def face(seed: int) -> np.ndarray:
    noise = np.random.default_rng(seed).uniform(0, 255, (64, 64)).astype(np.float32)
    blurred = cv2.GaussianBlur(noise, (0, 0), 5)
    return cv2.resize((blurred - blurred.min()) / np.ptp(blurred) * 255, (256, 256))


def test_a_photo_saved_again_smaller_and_darker_is_found_and_another_is_not():
    first, other = face(1), face(2)
    coded = cv2.imencode(".jpg", 0.6 * cv2.resize(first, (128, 128), interpolation=cv2.INTER_AREA) + 20, [cv2.IMWRITE_JPEG_QUALITY, 60])[1]
    again = cv2.resize(cv2.imdecode(coded, cv2.IMREAD_GRAYSCALE), (256, 256)).astype(np.float32)
    hashes = {"a": difference_hash(first), "b": difference_hash(other), "c": difference_hash(again)}
    assert near_duplicates(hashes, dict.fromkeys(hashes, (10.0, 0.0))) == {"c": "a"}


def test_equal_looks_from_another_side_are_no_duplicates_but_an_unknown_side_tells_nothing():
    hashes = {"a": difference_hash(face(1)), "b": difference_hash(face(1))}
    assert near_duplicates(hashes, {"a": (0.0, 0.0), "b": (9.0, 0.0)}) == {}
    assert near_duplicates(hashes, {"a": (0.0, 0.0), "b": (float("nan"), float("nan"))}) == {"b": "a"}


def test_of_three_alike_the_first_is_kept():
    same = difference_hash(face(3))
    assert near_duplicates({"x": same, "y": same, "z": same}, dict.fromkeys("xyz", (0.0, 0.0))) == {"y": "x", "z": "x"}
