"""Videos: key frames, rotation, variable frame rate, and broken files. The clips are made here."""

from __future__ import annotations

import struct
from fractions import Fraction
from pathlib import Path

import av
import cv2
import numpy as np
import pytest

import recon.video
from assets.errors import InputError, RangeError
from recon.capture import CaptureSettings
from recon.ingest import load_capture, read_view
from recon.video import Candidate, choose_keyframes, probe_video, read_frame, read_frames


def write_video(path: Path, frames: list[np.ndarray], *, times: list[int] | None = None, rate: int = 25) -> Path:
    """H.264 clip; `times` are presentation times in units of 1 / 100 s."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=rate)
        stream.width, stream.height, stream.pix_fmt = frames[0].shape[1], frames[0].shape[0], "yuv420p"
        stream.options = {"crf": "12"}
        stream.codec_context.time_base = Fraction(1, 100)
        for index, image in enumerate(frames):
            frame = av.VideoFrame.from_ndarray(image, format="rgb24")
            frame.pts, frame.time_base = times[index] if times else index * 100 // rate, Fraction(1, 100)
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    return path


def level_frames(number: int, size: tuple[int, int] = (96, 128)) -> list[np.ndarray]:
    """Frames that carry their number: grey level 20 + 4 n, with a lighter top left quarter."""
    frames = []
    for index in range(number):
        frame = np.full((*size, 3), 20 + 4 * index, np.uint8)
        frame[: size[0] // 2, : size[1] // 2] += 60
        frames.append(frame)
    return frames


def number_of(image: np.ndarray) -> int:
    """The number that `level_frames` put into a frame, read in the bottom right quarter."""
    return round((float(np.median(image[-30:, -30:])) - 20) / 4)


def turn_in_file(path: Path, clockwise_deg: int) -> None:
    """Write a rotation into the track header of an MP4, as a phone held upright does (ISO 14496-12, 8.3.2)."""
    data = bytearray(path.read_bytes())
    at = data.index(b"tkhd") + 4 + 40
    cos, sin = {90: (0, 1), 270: (0, -1), 180: (-1, 0)}[clockwise_deg]
    struct.pack_into(">9i", data, at, cos << 16, sin << 16, 0, -sin << 16, cos << 16, 0, 0, 0, 1 << 30)
    path.write_bytes(data)


def test_each_frame_is_reached_by_its_index_even_at_a_variable_rate(tmp_path):
    # Gaps of 1 to 37 hundredths of a second, so that index and time have nothing simple in common.
    times = np.cumsum(np.random.default_rng(0).integers(1, 38, 40)).tolist()
    path = write_video(tmp_path / "clip.mp4", level_frames(40), times=times)
    found = probe_video(path)
    assert len(found.pts) == 40
    for index in (0, 7, 39):
        assert found.seconds(index) == pytest.approx((times[index] - times[0]) / 100, abs=1e-3)
    assert [number_of(image) for _, image in read_frames(path, [3, 4, 38, 0])] == [0, 3, 4, 38]
    assert number_of(read_frame(path, 17)) == 17


def test_far_frames_are_reached_by_seeking(tmp_path, monkeypatch):
    path = write_video(tmp_path / "clip.mp4", level_frames(50))
    monkeypatch.setattr(recon.video, "_SEEK_GAP", 5)
    assert [(index, number_of(image)) for index, image in read_frames(path, [49, 30, 31, 2])] == [(2, 2), (30, 30), (31, 31), (49, 49)]


@pytest.mark.parametrize("clockwise_deg", [90, 180, 270])
def test_the_rotation_in_the_file_is_applied(tmp_path, clockwise_deg):
    path = write_video(tmp_path / "clip.mp4", level_frames(3))
    turn_in_file(path, clockwise_deg)
    image = read_frame(path, 0)
    upright = np.rot90(level_frames(1)[0], -clockwise_deg // 90)
    assert image.shape == upright.shape
    assert np.abs(image.astype(int) - upright).mean() < 4


def test_a_view_of_a_video_gives_the_same_pixels_every_time(tmp_path):
    rng = np.random.default_rng(1)
    frames = [cv2.resize(rng.integers(0, 256, (12, 16, 3), dtype=np.uint8), (128, 96)) for _ in range(12)]
    view = load_capture(write_video(tmp_path / "clip.mp4", frames)).views[5]
    first = read_view(view)
    recon.video._encoded.clear()
    np.testing.assert_array_equal(read_view(view), first)
    assert view.frame_index is not None
    assert np.abs(first.astype(int) - frames[view.frame_index]).mean() < 6


def test_a_video_gives_named_key_frames_spread_over_its_time(tmp_path):
    path = write_video(tmp_path / "clip.mp4", level_frames(50))
    capture = load_capture(path, settings=CaptureSettings(num_keyframes=5))
    indices = [view.frame_index for view in capture.views]
    assert len(indices) == 5 and indices == sorted(indices)
    assert indices[0] <= 10 and indices[-1] >= 39
    for view in capture.views:
        assert view.name == f"clip.mp4#{view.frame_index:06d}"
        assert (view.width, view.height) == (128, 96)
        assert view.timestamp_s == pytest.approx(view.frame_index / 25, abs=0.011)
    assert any("5 key frames" in note and "50 frames" in note for note in capture.notes)


def test_sharp_frames_of_a_face_are_preferred_to_blurred_ones(tmp_path, face_photo):
    face = face_photo[:, :, :]
    frames = []
    for index in range(24):
        moved = np.roll(face, index, axis=1)
        frames.append(cv2.GaussianBlur(moved, (0, 0), 9) if index % 3 else moved)
    capture = load_capture(write_video(tmp_path / "clip.mp4", frames), settings=CaptureSettings(num_keyframes=6))
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


@pytest.mark.parametrize("kind", ["no_frames", "garbage", "empty"])
def test_a_video_without_frames_is_an_error_in_three_parts(tmp_path, kind):
    path = tmp_path / "clip.mp4"
    if kind == "no_frames":
        with av.open(str(path), "w") as container:
            stream = container.add_stream("libx264", rate=25)
            stream.width, stream.height, stream.pix_fmt = 64, 64, "yuv420p"
            container.mux(stream.encode())
    else:
        path.write_bytes(b"" if kind == "empty" else b"this is not a film" * 100)
    with pytest.raises(InputError) as error:
        load_capture(path)
    assert "clip.mp4" in error.value.got
    assert error.value.expected and error.value.do


def test_sound_alone_is_no_video(tmp_path):
    path = tmp_path / "clip.mkv"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("pcm_s16le", rate=8000)
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 800), np.int16), format="s16", layout="mono")
        frame.rate = 8000
        container.mux(stream.encode(frame))
    with pytest.raises(InputError, match="no video frames"):
        load_capture(path)


def test_a_bad_video_among_good_photos_does_not_stop_the_work(tmp_path):
    rng = np.random.default_rng(0)
    cv2.imwrite(str(tmp_path / "a.png"), rng.integers(0, 256, (120, 120, 3), dtype=np.uint8))
    (tmp_path / "b.mp4").write_bytes(b"not a film")
    capture = load_capture(tmp_path)
    assert [(view.name, view.status) for view in capture.views] == [("a.png", "ok"), ("b.mp4", "unreadable")]


def test_a_video_cut_off_in_the_middle_gives_what_is_left(tmp_path):
    path = write_video(tmp_path / "clip.mkv", [np.random.default_rng(i).integers(0, 256, (96, 128, 3), dtype=np.uint8) for i in range(30)])
    data = path.read_bytes()
    path.write_bytes(data[: len(data) // 2])
    views = load_capture(path).views
    assert 3 <= len(views) <= 20
    assert all(read_view(view).shape == (96, 128, 3) for view in views)


def test_written_frames_are_read_back_and_a_failure_leaves_the_older_clip(tmp_path):
    path = tmp_path / "clip.mp4"
    recon.video.write_video(path, iter(level_frames(12)), fps=25, crf=12)
    assert len(probe_video(path).pts) == 12
    grey = read_frame(path, 5)[60, 100]
    assert np.abs(grey.astype(int) - 40).max() <= 4
    before = path.read_bytes()

    def interrupted():
        yield from level_frames(3)
        raise KeyboardInterrupt

    for frames, error in ((interrupted(), KeyboardInterrupt), (iter(()), RangeError)):
        with pytest.raises(error):
            recon.video.write_video(path, frames, fps=25)
        assert path.read_bytes() == before and list(tmp_path.iterdir()) == [path]


def test_key_frames_without_colour_are_known_as_grey(tmp_path):
    rng = np.random.default_rng(4)
    coloured = [rng.integers(0, 256, (96, 128, 3), dtype=np.uint8) // 64 * 64 for _ in range(2)]
    coloured = [np.repeat(np.repeat(frame[::16, ::16], 16, 0), 16, 1) for frame in coloured]
    grey, colour = (load_capture(write_video(tmp_path / f"{k}.mp4", f)).views for k, f in enumerate((level_frames(2), coloured)))
    assert [view.is_grey for view in grey] == [True, True] and "grey" in grey[0].reason
    assert not any(view.is_grey for view in colour)
