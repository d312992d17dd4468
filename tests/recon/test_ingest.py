"""Taking in photos: what a file is, which way up, which focal length, and what happens to bad ones."""

from __future__ import annotations

import struct
import subprocess
import sys
import zlib
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image

import recon.photo
from assets.errors import InputError, RangeError
from recon.capture import CaptureSettings
from recon.exif import (
    FOCAL_LENGTH,
    FOCAL_LENGTH_35MM,
    FOCAL_PLANE_UNIT,
    FOCAL_PLANE_X_RESOLUTION,
    PIXEL_X_DIMENSION,
    PIXEL_Y_DIMENSION,
    focal_from_exif,
)
from recon.ingest import ONE_PHOTO_NOTE, capture_files, load_capture, read_view
from recon.photo_colour import STRIP_ROWS


@pytest.fixture
def signpost() -> np.ndarray:
    """(120, 200, 3) picture without any symmetry: red top left, green top right, blue bottom left, white bottom right."""
    image = np.full((120, 200, 3), 255, np.uint8)
    image[:60, :100], image[:60, 100:], image[60:, :100] = (200, 0, 0), (0, 200, 0), (0, 0, 200)
    return image


def save(path: Path, image: np.ndarray, **options) -> Path:
    Image.fromarray(image).save(path, **options)
    return path


def exif_bytes(orientation: int | None = None, **tags) -> bytes:
    exif = Image.Exif()
    if orientation is not None:
        exif[0x0112] = orientation
    names = {"focal_35mm": FOCAL_LENGTH_35MM, "focal_mm": FOCAL_LENGTH}
    for name, value in tags.items():
        exif.get_ifd(0x8769)[names[name]] = value
    return exif.tobytes()


def write_bomb(path: Path, side: int = 20_000) -> Path:
    """A valid one-bit PNG of side x side, 50 MB of zeros in 50 kB."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    rows = zlib.compress(bytes((side // 8 + 1) * side), 1)
    header = struct.pack(">IIBBBBB", side, side, 1, 0, 0, 0, 0)
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", rows) + chunk(b"IEND", b""))
    return path


def truncate(path: Path, share: float = 0.6) -> Path:
    data = path.read_bytes()
    path.write_bytes(data[: int(len(data) * share)])
    return path


def make_text_jpg(folder: Path, picture: np.ndarray) -> Path:
    path = folder / "bad.jpg"
    path.write_text("these are not the pixels you are looking for")
    return path


def make_empty_jpg(folder: Path, picture: np.ndarray) -> Path:
    path = folder / "bad.jpg"
    path.write_bytes(b"")
    return path


def make_truncated(folder: Path, picture: np.ndarray) -> Path:
    return truncate(save(folder / "bad.jpg", picture))


def make_truncated_png(folder: Path, picture: np.ndarray) -> Path:
    return truncate(save(folder / "bad.png", picture))


def make_bomb(folder: Path, picture: np.ndarray) -> Path:
    return write_bomb(folder / "bad.png")


def make_over_limit(folder: Path, picture: np.ndarray) -> Path:
    # 144 Mpx: below the size at which Pillow itself refuses, above ours.
    return write_bomb(folder / "bad.png", 12_000)


def make_noise_jpg(folder: Path, picture: np.ndarray) -> Path:
    (folder / "bad.jpg").write_bytes(np.random.default_rng(7).integers(0, 256, 500).astype(np.uint8).tobytes())
    return folder / "bad.jpg"


def make_tiny(folder: Path, picture: np.ndarray) -> Path:
    return save(folder / "bad.png", picture[:32, :32])


BAD_FILES = [
    (make_text_jpg, "not_an_image", "these are not"),
    (make_noise_jpg, "not_an_image", "no picture format's"),
    (make_empty_jpg, "not_an_image", "empty"),
    (make_truncated, "unreadable", "truncated"),
    (make_truncated_png, "unreadable", "damaged or cut off"),
    (make_bomb, "too_large", "400 Mpx, the limit is 100 Mpx (--capture.max-megapixels)"),
    (make_over_limit, "too_large", "144 Mpx, the limit is 100 Mpx"),
    (make_tiny, "too_small", "32x32"),
]


@pytest.mark.parametrize(("make", "status", "reason"), BAD_FILES, ids=lambda value: getattr(value, "__name__", None))
def test_a_bad_file_among_good_ones_gets_a_status_and_the_work_goes_on(tmp_path, signpost, make, status, reason):
    save(tmp_path / "good.jpg", signpost)
    bad = make(tmp_path, signpost)
    views = {view.name: view for view in load_capture(tmp_path).views}
    assert set(views) == {"good.jpg", bad.name}
    assert views[bad.name].status == status
    assert reason in views[bad.name].reason
    assert views["good.jpg"].status == "ok"
    assert views["good.jpg"].reason == ""


@pytest.mark.parametrize(("make", "status", "reason"), BAD_FILES, ids=lambda value: getattr(value, "__name__", None))
def test_a_bad_file_alone_is_an_error_in_three_parts(tmp_path, signpost, make, status, reason):
    bad = make(tmp_path, signpost)
    for path in (tmp_path, bad):
        with pytest.raises(InputError) as error:
            load_capture(path)
        assert status in error.value.got and bad.name in error.value.got and reason in error.value.got
        assert error.value.expected and error.value.do


def test_a_huge_picture_is_refused_from_its_header_without_decoding(tmp_path, signpost, monkeypatch):
    save(tmp_path / "good.jpg", signpost)
    make_over_limit(tmp_path, signpost)
    decoded = []
    monkeypatch.setattr(recon.photo, "_decode_small", lambda image: decoded.append(image.size) or np.zeros((8, 8, 3), np.uint8))
    load_capture(tmp_path)
    assert decoded == [(200, 120)]


def test_the_size_limit_is_a_setting_that_the_error_names_with_what_would_do(tmp_path, signpost):
    save(tmp_path / "a.jpg", signpost)
    with pytest.raises(InputError, match=r"the limit is 0\.02 Mpx \(--capture\.max-megapixels\)") as error:
        load_capture(tmp_path, settings=CaptureSettings(max_megapixels=0.02))
    assert error.value.do.startswith("raise the limit with --capture.max-megapixels 1 ") and "replace" not in error.value.do
    assert load_capture(tmp_path, settings=CaptureSettings(max_megapixels=0.024)).views[0].status == "ok"


def test_above_pillows_own_limit_ours_rules_and_pillows_stays_for_others(tmp_path, signpost, monkeypatch):
    # A limit of 2000 pixels: Pillow refuses from twice that on, and the picture has 24 000.
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 2000)
    view = load_capture(save(tmp_path / "a.png", signpost), settings=CaptureSettings(max_megapixels=1)).views[0]
    assert view.status == "ok"
    np.testing.assert_array_equal(read_view(view), signpost)
    assert Image.MAX_IMAGE_PIXELS == 2000
    with pytest.raises(Image.DecompressionBombError):
        Image.open(tmp_path / "a.png")


@pytest.mark.parametrize("wrong", [{"num_keyframes": 0}, {"max_candidates": -1}, {"min_side_px": 1}, {"max_megapixels": float("nan")}])
def test_settings_that_allow_no_picture_are_refused_before_any_is_opened(tmp_path, wrong):
    with pytest.raises(RangeError, match=next(iter(wrong))):
        load_capture(tmp_path / "nowhere", settings=CaptureSettings(**wrong))


@pytest.mark.parametrize("kind", ["missing", "empty_folder", "folder_without_pictures", "text_file"])
def test_paths_without_pictures_are_errors_in_three_parts(tmp_path, kind):
    path = tmp_path / ("nowhere" if kind == "missing" else "folder")
    if kind != "missing":
        path.mkdir()
    if kind in ("folder_without_pictures", "text_file"):
        (path / "notes.txt").write_text("x")
    if kind == "text_file":
        path = path / "notes.txt"
    with pytest.raises(InputError) as error:
        load_capture(path)
    assert str(path) in error.value.got
    assert error.value.expected and error.value.do


@pytest.mark.parametrize(("orientation", "quarter_turns"), [(1, 0), (6, 1), (8, -1), (3, 2)])
def test_exif_orientation_is_applied(tmp_path, signpost, orientation, quarter_turns):
    # Exif 6 means "turn clockwise to view", so what is stored is the upright picture turned counter-clockwise once.
    stored = np.ascontiguousarray(np.rot90(signpost, quarter_turns))
    save(tmp_path / "a.jpg", stored, exif=exif_bytes(orientation), quality=95, subsampling=0)
    view = load_capture(tmp_path).views[0]
    assert (view.width, view.height) == (200, 120)
    image = read_view(view)
    assert image.shape == (120, 200, 3)
    for (y, x), colour in {(20, 30): (200, 0, 0), (20, 170): (0, 200, 0), (100, 30): (0, 0, 200), (100, 170): (255, 255, 255)}.items():
        np.testing.assert_allclose(image[y, x], colour, atol=6)


def test_focal_length_is_by_the_diagonal(tmp_path):
    # 300 x 400 has a diagonal of 500; full frame 43.267 mm. 50 mm gives 50 / 43.267 * 500 = 577.8 px.
    save(tmp_path / "a.jpg", np.full((400, 300, 3), 90, np.uint8), exif=exif_bytes(focal_35mm=50))
    assert load_capture(tmp_path).views[0].focal_px == pytest.approx(577.8, abs=0.1)


def test_focal_length_from_the_focal_plane():
    # 6 mm at 800 px a centimetre = 80 px a millimetre: 480 px at full size, 240 px after halving.
    tags = {FOCAL_LENGTH: 6.0, FOCAL_PLANE_X_RESOLUTION: 800.0, FOCAL_PLANE_UNIT: 3, PIXEL_X_DIMENSION: 800, PIXEL_Y_DIMENSION: 600}
    assert focal_from_exif(tags, 800, 600).focal_px == pytest.approx(480)
    assert focal_from_exif(tags, 300, 400).focal_px == pytest.approx(240)
    # Inches are the default unit: 25.4 px an inch is one pixel a millimetre.
    assert focal_from_exif({FOCAL_LENGTH: 500.0, FOCAL_PLANE_X_RESOLUTION: 25.4}, 640, 480).focal_px == pytest.approx(500)


@pytest.mark.parametrize("value", [0, -3, float("nan"), "wide", None])
def test_unknown_focal_lengths_are_unknown(value):
    found = focal_from_exif({FOCAL_LENGTH_35MM: value}, 400, 300)
    assert found.focal_px is None and found.note == ""


def test_impossible_or_cropped_focal_lengths_are_ignored_with_a_note():
    impossible = focal_from_exif({FOCAL_LENGTH_35MM: 3}, 400, 300)
    assert impossible.focal_px is None and "degrees" in impossible.note
    cropped = focal_from_exif({FOCAL_LENGTH_35MM: 28, PIXEL_X_DIMENSION: 4000, PIXEL_Y_DIMENSION: 3000}, 1000, 1000)
    assert cropped.focal_px is None and "cropped" in cropped.note


def test_a_grey_picture_is_used_and_says_so(tmp_path, signpost):
    grey = cv2.cvtColor(signpost, cv2.COLOR_RGB2GRAY)
    save(tmp_path / "one_channel.jpg", grey)
    save(tmp_path / "three_channels.jpg", np.repeat(grey[..., None], 3, 2) // 2)
    save(tmp_path / "coloured.jpg", signpost)
    views = {view.name: view for view in load_capture(tmp_path).views}
    assert [views[name].is_grey for name in ("one_channel.jpg", "three_channels.jpg", "coloured.jpg")] == [True, True, False]
    assert all(view.status == "ok" for view in views.values())
    assert "grey" in views["one_channel.jpg"].reason
    assert read_view(views["one_channel.jpg"]).shape == (120, 200, 3)


def test_the_second_of_two_equal_files_is_rejected(tmp_path, signpost):
    save(tmp_path / "a.png", signpost)
    (tmp_path / "b.png").write_bytes((tmp_path / "a.png").read_bytes())
    save(tmp_path / "c.png", signpost[::-1])
    views = load_capture(tmp_path).views
    assert [(view.name, view.status) for view in views] == [("a.png", "ok"), ("b.png", "rejected"), ("c.png", "ok")]
    assert views[1].reason == "duplicate of a.png"


def test_names_are_in_natural_order_and_system_files_are_ignored(tmp_path, signpost):
    for number in (10, 9, 1):
        save(tmp_path / f"IMG_{number}.png", signpost[: 120 - number])
    (tmp_path / ".DS_Store").write_bytes(b"x")
    (tmp_path / "._IMG_1.png").write_bytes(b"resource fork")
    (tmp_path / "settings.json").write_text("{}")
    capture = load_capture(tmp_path)
    assert [view.name for view in capture.views] == ["IMG_1.png", "IMG_9.png", "IMG_10.png"]
    assert capture.notes == ()
    assert capture.scale == "relative"


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("DSC_1.NEF", "develop it"),
        ("a.dng", "develop it"),
        ("beauty.EXR", "floating-point"),
        ("a.gif", "export it as"),
        ("b.psd", "export it as"),
    ],
)
def test_a_picture_of_an_ending_that_is_not_read_is_set_aside_with_the_reason(tmp_path, signpost, name, reason):
    save(tmp_path / "z.png", signpost)
    (tmp_path / name).write_bytes(b"content that nothing looks at")
    capture = load_capture(tmp_path)
    assert [(view.name, view.status) for view in capture.views] == [("z.png", "ok"), (name, "unreadable")]
    assert reason in capture.views[1].reason
    assert capture_files(tmp_path) == (tmp_path / "z.png",)
    for path in (tmp_path / name, tmp_path):
        (tmp_path / "z.png").unlink(missing_ok=True)
        with pytest.raises(InputError) as error:
            load_capture(path)
        assert name in error.value.got and reason in error.value.got and error.value.do


def test_camera_raw_files_beside_their_photos_are_one_note(tmp_path, signpost):
    save(tmp_path / "DSC_1.JPG", signpost)
    save(tmp_path / "DSC_2.JPG", signpost[::-1])
    for name in ("dsc_1.nef", "DSC_2.NEF"):
        (tmp_path / name).write_bytes(b"raw")
    capture = load_capture(tmp_path)
    assert [view.status for view in capture.views] == ["ok", "ok"]
    assert capture.notes == ("2 camera raw files lie beside a photo of the same name, which was taken instead (such as dsc_1.nef)",)


def test_of_a_folder_of_folders_it_is_said_which_hold_how_many_pictures(tmp_path, signpost):
    for name, count in {"left": 2, "right/day 2": 3, "out": 4, ".cache": 1, "empty": 0}.items():
        (tmp_path / name).mkdir(parents=True)
        for number in range(count):
            save(tmp_path / name / f"{number}.jpg", signpost)
    (tmp_path / "out" / "run.json").write_text("{}")
    with pytest.raises(InputError) as error:
        load_capture(tmp_path)
    assert error.value.got == f"{tmp_path} with no pictures of its own, 5 pictures in 2 folders inside: left (2), right/day 2 (3)"
    assert f"such as {tmp_path / 'left'};" in error.value.do and "one person" in error.value.do


def test_many_folders_inside_are_counted_and_one_is_named(tmp_path, signpost):
    for number in range(6):
        (tmp_path / f"{number}").mkdir()
        save(tmp_path / f"{number}" / "a.png", signpost)
    with pytest.raises(InputError, match=r"6 pictures in 6 folders inside: 0 \(1\), 1 \(1\), 2 \(1\), 3 \(1\) and 2 more"):
        load_capture(tmp_path)
    for number in range(1, 6):
        (tmp_path / f"{number}" / "a.png").unlink()
    with pytest.raises(InputError) as error:
        load_capture(tmp_path)
    assert error.value.do == f"folders inside are not searched: give the folder that shows the person: {tmp_path / '0'}"


def test_pictures_in_folders_inside_are_named_but_outputs_are_not(tmp_path, signpost):
    save(tmp_path / "a.png", signpost)
    save(tmp_path / "b.png", signpost[::-1])
    for name in ("left side", "out", "empty"):
        (tmp_path / name).mkdir()
    save(tmp_path / "left side" / "c.png", signpost)
    save(tmp_path / "out" / "strip.png", signpost)
    (tmp_path / "out" / "run.json").write_text("{}")
    capture = load_capture(tmp_path)
    assert len(capture.views) == 2
    assert capture.notes == ("the folder left side inside holds pictures too and was not searched: give it as a further source",)


def test_one_photo_works_and_says_what_it_cannot_give(tmp_path, signpost):
    capture = load_capture(save(tmp_path / "a.png", signpost))
    assert len(capture.views) == 1
    assert capture.notes == (ONE_PHOTO_NOTE,)


def test_transparent_pictures_stand_on_white(tmp_path):
    image = np.zeros((100, 100, 4), np.uint8)
    image[:50] = (10, 200, 30, 255)
    save(tmp_path / "a.png", image)
    pixels = read_view(load_capture(tmp_path).views[0])
    assert pixels[10, 10].tolist() == [10, 200, 30]
    assert pixels[90, 10].tolist() == [255, 255, 255]


@pytest.mark.parametrize("suffix", [".png", ".tif"])
def test_sixteen_bit_grey_is_scaled_not_clipped_and_grey_like_other_photos(tmp_path, suffix):
    # More than 512 px, so that the probe's small copy is a shrunk one.
    ramp = np.tile(np.linspace(0, 65535, 1601).astype(np.uint16), (1100, 1))
    view = load_capture(save(tmp_path / f"a{suffix}", ramp)).views[0]
    assert (view.status, view.is_grey, view.reason) == ("ok", True, recon.photo.GREY_REASON)
    pixels = read_view(view)
    # Rounded: level 128 stands for 32 639 to 32 896, and 32 767 lies in the middle of the ramp.
    np.testing.assert_array_equal(pixels[1099, :, 1], np.floor(ramp[0] / 257 + 0.5))
    assert (pixels == pixels[..., :1]).all()


def test_a_sixteen_bit_tiff_that_counts_from_white_is_no_negative(tmp_path):
    ramp = np.tile(np.linspace(0, 65535, 200).astype(np.uint16), (100, 1))
    save(tmp_path / "a.tif", ramp, tiffinfo={262: 0})
    pixels = read_view(load_capture(tmp_path).views[0])
    assert pixels[50, 0, 0] == 255 and pixels[50, -1, 0] == 0


@pytest.mark.parametrize("suffix", [".png", ".tif"])
def test_sixteen_bit_colours_keep_their_upper_byte(tmp_path, suffix):
    ramp = np.tile(np.linspace(0, 65535, 700).astype(np.uint16), (600, 1))
    deep = np.stack([ramp, ramp[:, ::-1] // 2, np.full_like(ramp, 20_000)], -1)
    cv2.imwrite(str(tmp_path / f"a{suffix}"), deep[..., ::-1])
    view = load_capture(tmp_path).views[0]
    assert (view.status, view.is_grey) == ("ok", False)
    np.testing.assert_array_equal(read_view(view), deep >> 8)


# Compression 1 is none, 34676 is LogLuv.
@pytest.mark.parametrize(("channels", "compression"), [(1, 1), (3, 1), (3, 34676)])
def test_a_floating_point_tiff_is_called_one_and_not_damaged(tmp_path, signpost, channels, compression):
    save(tmp_path / "good.png", signpost)
    light = (signpost / 255).astype(np.float32)
    cv2.imwrite(str(tmp_path / "light.tif"), light if channels == 3 else light[..., 0], [cv2.IMWRITE_TIFF_COMPRESSION, compression])
    view = load_capture(tmp_path).views[1]
    assert (view.name, view.status) == ("light.tif", "unreadable")
    assert view.reason == "a floating-point picture, which is not read: export it to 8- or 16-bit sRGB (JPEG, PNG or TIFF)"


def test_whole_numbers_of_32_bits_and_unknown_tiffs_are_called_what_they_are(tmp_path, signpost):
    save(tmp_path / "good.png", signpost)
    cv2.imwrite(str(tmp_path / "depth.tif"), np.full((200, 120), 70_000, np.int32))
    whole = save(tmp_path / "odd.tif", signpost).read_bytes()
    (tmp_path / "odd.tif").write_bytes(whole.replace(struct.pack("<HHIH", 259, 3, 1, 1), struct.pack("<HHIH", 259, 3, 1, 40_000)))
    views = {view.name: view for view in load_capture(tmp_path).views}
    assert views["depth.tif"].status == "unreadable" and "32-bit" in views["depth.tif"].reason
    assert views["odd.tif"].reason.startswith("a TIFF of 3 x 8 bits and compression 40000, which is not read: export it to")


def test_pixels_of_a_tall_turned_picture_are_the_same_strip_by_strip(tmp_path):
    image = np.random.default_rng(5).integers(0, 256, (3 * STRIP_ROWS + 7, 150, 3), dtype=np.uint8)
    save(tmp_path / "a.png", np.ascontiguousarray(np.rot90(image, 1)), exif=exif_bytes(6))
    np.testing.assert_array_equal(read_view(load_capture(tmp_path).views[0]), image)


def test_reading_a_large_picture_holds_no_second_copy_of_it(tmp_path):
    # Decoded by Pillow at 4 bytes a pixel, and as an array at 3; the rest is for the decoder and its imports.
    code = (
        "import sys; from pathlib import Path; import re; from recon.photo import read_photo; read_photo(Path(sys.argv[1]));"
        "status = Path('/proc/self/status'); before = int(re.search(r'VmRSS:\\s+(\\d+)', status.read_text())[1]);"
        "Path('/proc/self/clear_refs').write_text('5'); size = read_photo(Path(sys.argv[2])).size;"
        "print(size // 3, int(re.search(r'VmHWM:\\s+(\\d+)', status.read_text())[1]) - before)"
    )
    if not Path("/proc/self/clear_refs").exists():
        pytest.skip("the peak of one call is measured where Linux tells it")
    large = np.tile(np.random.default_rng(2).integers(0, 256, (500, 400, 3), dtype=np.uint8), (8, 10, 1))
    paths = [save(tmp_path / "small.jpg", large[:64, :64]), save(tmp_path / "large.jpg", large)]
    run = subprocess.run([sys.executable, "-c", code, *map(str, paths)], capture_output=True, text=True, check=True)
    pixels, peak_kb = map(int, run.stdout.split())
    assert pixels == 16_000_000
    assert peak_kb * 1024 < 8.0 * pixels


def test_colours_of_another_profile_are_brought_to_srgb(tmp_path):
    from PIL import ImageCms

    # sRGB with the places of the red and the blue primary exchanged: what such a file calls red is blue.
    srgb = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    exchanged = srgb.replace(b"rXYZ", b"....", 1).replace(b"bXYZ", b"rXYZ", 1).replace(b"....", b"bXYZ", 1)
    image = np.random.default_rng(0).integers(0, 256, (100, 120, 3), dtype=np.uint8)
    save(tmp_path / "plain.png", image, icc_profile=srgb)
    save(tmp_path / "exchanged.png", image, icc_profile=exchanged)
    exchanged_view, plain_view = load_capture(tmp_path).views
    assert np.abs(read_view(plain_view).astype(int) - image).max() <= 1
    assert np.abs(read_view(exchanged_view).astype(int) - image[..., ::-1]).max() <= 2


def test_heic_is_read(tmp_path, signpost):
    pillow_heif = pytest.importorskip("pillow_heif")
    pillow_heif.from_pillow(Image.fromarray(signpost)).save(tmp_path / "a.heic", quality=95)
    view = load_capture(tmp_path).views[0]
    assert (view.status, view.width, view.height) == ("ok", 200, 120)
    assert np.median(np.abs(read_view(view).astype(int) - signpost)) <= 3


def test_heic_without_its_package_says_what_to_install(tmp_path, signpost, monkeypatch):
    save(tmp_path / "good.jpg", signpost)
    (tmp_path / "b.heic").write_bytes(b"\0\0\0\x18ftypheic")
    monkeypatch.setitem(sys.modules, "pillow_heif", None)
    views = {view.name: view for view in load_capture(tmp_path).views}
    assert views["b.heic"].status == "unreadable"
    assert "pip install 'recon-avatar[heic]'" in views["b.heic"].reason
    assert views["good.jpg"].status == "ok"


def test_a_photo_that_is_gone_when_it_is_read_is_an_input_error(tmp_path, signpost):
    view = load_capture(save(tmp_path / "a.png", signpost)).views[0]
    view.path.unlink()
    with pytest.raises(InputError, match=r"a\.png"):
        read_view(view)


def test_importing_ingest_and_detect_loads_no_heavy_package():
    heavy = ("mediapipe", "torch", "av", "open3d", "anny")
    code = f"import sys, recon, recon.ingest, recon.detect, recon.video; print([m for m in {heavy} if m in sys.modules])"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.strip() == "[]"


def test_a_folder_inside_that_may_not_be_read_is_passed_over(tmp_path, monkeypatch):
    """The root of a camera's card has a lost+found that belongs to root."""
    Image.new("RGB", (200, 220), (120, 90, 80)).save(tmp_path / "a1²2.jpg")
    (tmp_path / "lost+found").mkdir()
    listed = Path.iterdir

    def refusing(folder: Path):
        if folder.name == "lost+found":
            raise PermissionError(13, "Permission denied", str(folder))
        return listed(folder)

    monkeypatch.setattr(Path, "iterdir", refusing)
    assert [view.name for view in load_capture(tmp_path).views] == ["a1²2.jpg"]
