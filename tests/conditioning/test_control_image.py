"""Encoding a frame, and control pictures on disk."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest
from PIL import Image

from assets.errors import ArtifactError, RangeError, ShapeError
from conditioning import ControlBundle, ControlImage, ControlSettings, encode, load_control, save_control
from tests.conditioning.conftest import hand_buffers, random_bundle


def buffers():
    depth = np.full((32, 48), np.inf, np.float32)
    depth[8:24, 12:36] = np.linspace(0.9, 1.1, 24)
    return hand_buffers(depth, np.tile(np.array([20.5, 10.5], np.float32), (478, 1)), (0.8, 1.2))


def test_encode_keeps_order_name_size_and_start_picture():
    frame = buffers()
    bundle = encode(frame, ("mediapipe_face", "depth"), ControlSettings(depth_encoding="linear"))
    assert bundle.kinds == ("mediapipe_face", "depth")
    assert [image.encoding for image in bundle.images] == ["crucibleai", "linear"]
    assert bundle.name == "0007" and bundle.size_px == (48, 32)
    assert bundle.images[1].depth_range_m == (0.8, 1.2) and bundle.images[0].depth_range_m is None
    np.testing.assert_array_equal(bundle.init_srgb, frame.beauty_srgb)


def test_the_locked_range_is_used_not_the_frames_own():
    grey = encode(buffers(), ("depth",)).images[0].rgb[16, :, 0]
    # 0.9 to 1.1 m in a range of 0.8 to 1.2 m reaches neither white nor the darkest grey.
    assert grey[12] < 200 and grey[35] > 40 and grey[0] == 0


def test_unknown_or_double_kinds_are_refused():
    with pytest.raises(RangeError, match="openpose"):
        encode(buffers(), ("depth", "openpose"))  # type: ignore[arg-type]
    with pytest.raises(RangeError, match="once"):
        encode(buffers(), ("depth", "depth"))


def test_saved_picture_comes_back_with_what_it_is(tmp_path):
    image = encode(buffers()).images[0]
    path = save_control(tmp_path, image)
    assert path == tmp_path / "depth" / "0007.png"
    again = load_control(path)
    assert (again.kind, again.encoding, again.name, again.depth_range_m) == ("depth", "disparity", "0007", (0.8, 1.2))
    np.testing.assert_array_equal(again.rgb, image.rgb)
    assert list(path.parent.iterdir()) == [path]


def test_foreign_picture_or_path_is_refused(tmp_path):
    Image.new("RGB", (8, 8)).save(tmp_path / "a.png")
    with pytest.raises(ArtifactError, match="control stage again"):
        load_control(tmp_path / "a.png")
    with pytest.raises(RangeError, match="file stem"):
        save_control(tmp_path, ControlImage("depth", "linear", "../x", np.zeros((8, 8, 3), np.uint8)))


def test_bundle_with_pictures_of_two_sizes_is_refused():
    bundle = random_bundle()
    with pytest.raises(ShapeError, match="one size"):
        ControlBundle("a", bundle.images, np.zeros((8, 8, 3), np.uint8))


def test_importing_conditioning_and_encoding_loads_no_torch_and_no_diffusers():
    code = (
        "import sys, conditioning; from conditioning import encode, ControlBundle; import conditioning.diffusion.settings\n"
        "heavy = [m for m in ('torch', 'diffusers', 'transformers', 'mediapipe', 'open3d') if m in sys.modules]\n"
        "assert not heavy, heavy\n"
        "from conditioning import GenerateSettings, generate\n"
        "assert callable(generate) and 'torch' not in sys.modules\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
