"""Videos: frames by index, rotation, variable frame rate, and broken files. The clips are made here."""

from __future__ import annotations

import struct
from pathlib import Path

import av
import cv2
import numpy as np
import pytest

import recon.video
from assets.errors import InputError, RangeError
from recon.ingest import load_capture, read_view
from recon.video import probe_video, read_frame, read_frames
from tests.recon.clips import level_frames, noisy_frames, number_of, write_clip


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
    path = write_clip(tmp_path / "clip.mp4", level_frames(40), times=times)
    found = probe_video(path)
    assert len(found.pts) == 40
    for index in (0, 7, 39):
        assert found.seconds(index) == pytest.approx((times[index] - times[0]) / 100, abs=1e-3)
    assert [number_of(image) for _, image in read_frames(path, [3, 4, 38, 0])] == [0, 3, 4, 38]
    assert number_of(read_frame(path, 17)) == 17


def test_far_frames_are_reached_by_seeking(tmp_path, monkeypatch):
    path = write_clip(tmp_path / "clip.mp4", level_frames(50))
    monkeypatch.setattr(recon.video, "_SEEK_GAP", 5)
    assert [(index, number_of(image)) for index, image in read_frames(path, [49, 30, 31, 2])] == [(2, 2), (30, 30), (31, 31), (49, 49)]


@pytest.mark.parametrize("suffix", [".mov", ".mkv"])
def test_each_frame_of_an_open_group_is_reached_alone(tmp_path, suffix):
    # Frames before a key frame in time lie behind it in the file, and need the group before it too.
    options = {"x264-params": "keyint=10:min-keyint=10:bframes=4:open-gop=1:scenecut=0"}
    path = write_clip(tmp_path / f"clip{suffix}", level_frames(40), options=options)
    whole, complaints = dict(read_frames(path, list(range(40)))), list[str]()
    assert [number_of(image) for image in whole.values()] == list(range(40))
    for index, image in whole.items():
        ((found, alone),) = read_frames(path, [index], complaints=complaints)
        assert found == index and np.array_equal(alone, image)
    assert complaints == []


@pytest.mark.parametrize("clockwise_deg", [90, 180, 270])
def test_the_rotation_in_the_file_is_applied(tmp_path, clockwise_deg):
    path = write_clip(tmp_path / "clip.mp4", level_frames(3))
    turn_in_file(path, clockwise_deg)
    image = read_frame(path, 0)
    upright = np.rot90(level_frames(1)[0], -clockwise_deg // 90)
    assert image.shape == upright.shape
    assert np.abs(image.astype(int) - upright).mean() < 4


def test_a_view_of_a_video_gives_the_same_pixels_every_time(tmp_path):
    rng = np.random.default_rng(1)
    frames = [cv2.resize(rng.integers(0, 256, (12, 16, 3), dtype=np.uint8), (128, 96)) for _ in range(12)]
    view = load_capture(write_clip(tmp_path / "clip.mp4", frames)).views[5]
    first = read_view(view)
    recon.video._encoded.clear()
    np.testing.assert_array_equal(read_view(view), first)
    assert view.frame_index is not None
    assert np.abs(first.astype(int) - frames[view.frame_index]).mean() < 6


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


def test_what_a_file_cannot_be_opened_for_is_said_once(tmp_path):
    (tmp_path / "clip.mp4").write_bytes(b"this is not a film" * 100)
    with pytest.raises(InputError) as error:
        probe_video(tmp_path / "clip.mp4")
    assert error.value.got == f"{tmp_path / 'clip.mp4'}: Invalid data found when processing input"


def test_frames_without_the_header_that_decodes_them_are_no_video(tmp_path):
    # A transport stream, whatever its name, goes on after a cut; its only header was in front.
    stream = write_clip(tmp_path / "clip.ts", noisy_frames(20)).read_bytes()
    (tmp_path / "clip.mp4").write_bytes(stream[len(stream) // 2 :])
    with pytest.raises(InputError, match="no video frames"):
        probe_video(tmp_path / "clip.mp4")


@pytest.mark.parametrize(("suffix", "times"), [(".mp4", None), (".mkv", None), (".mkv", list(range(200, 320, 4)))])
def test_a_whole_file_ends_when_it_says(tmp_path, suffix, times):
    for number in (30, 1):
        found = probe_video(write_clip(tmp_path / f"clip{number}{suffix}", level_frames(number), times=times))
        assert found.seconds(number - 1) == pytest.approx((number - 1) / 25, abs=1e-3)
        assert (found.stated_s, found.end_s) == pytest.approx((number / 25, number / 25), abs=2e-3)


@pytest.mark.parametrize("suffix", [".mp4", ".mkv"])
def test_the_length_that_a_file_states_is_known_even_when_it_was_cut_off(tmp_path, suffix):
    path = write_clip(tmp_path / f"clip{suffix}", noisy_frames(30))
    whole = probe_video(path)
    assert whole.stated_s == pytest.approx(1.2, abs=0.05) and whole.size_px == (128, 96)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    cut = probe_video(path)
    assert cut.stated_s == whole.stated_s and 0.3 < cut.seconds(len(cut.pts) - 1) < cut.end_s < 0.8


def test_a_damaged_frame_and_those_drawn_from_it_are_left_out_up_to_the_next_key_frame(tmp_path):
    # Every tenth frame stands for itself; the damage lies in one between.
    path = write_clip(tmp_path / "clip.mp4", noisy_frames(40), options={"g": "10", "sc_threshold": "0", "bf": "0"})
    whole, data = dict(read_frames(path, list(range(40)))), bytearray(path.read_bytes())
    with av.open(str(path)) as container:
        packet = [packet for packet in container.demux(video=0) if packet.size][14]
        start, size = packet.pos or 0, packet.size
    data[start + size // 3 : start + size] = bytes(size - size // 3)
    path.write_bytes(data)
    complaints: list[str] = []
    found = dict(read_frames(path, list(range(40)), complaints=complaints))
    assert complaints and sorted(set(range(40)) - set(found)) == [14, 15, 16, 17, 18, 19]
    assert all(np.array_equal(image, whole[index]) for index, image in found.items())
    with pytest.raises(InputError, match="cannot be decoded"):
        read_frame(path, 16)


def test_a_whole_file_gives_no_complaint(tmp_path):
    path, complaints = write_clip(tmp_path / "clip.mp4", level_frames(30)), []
    assert len(list(read_frames(path, [29, 3, 12], complaints=complaints))) == 3 and complaints == []


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
