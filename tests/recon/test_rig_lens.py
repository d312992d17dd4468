"""Pictures freed of their lens, and captures with cameras of every format and the options that go with them."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image

from assets.errors import InputError, RangeError
from recon.capture import CaptureSettings
from recon.ingest import capture_files, load_capture, read_view
from recon.lens import LensModel, check_lens, distort, distorted_px, undistort_picture
from recon.rig import save_cameras_json, write_colmap
from render.camera import Camera
from studio.capture_file import read_capture, write_capture
from studio.source import hash_sources
from tests.recon.rig_writers import FLIP_YZ, brown, metashape_xml, opencv_yaml, realityscan_csv, some_points, transforms_json, truths

CAMERA = Camera(K=np.array([[310.0, 0, 208.5], [0, 302.0, 141.25], [0, 0, 1]]), T_cam_world=np.eye(4), width=400, height=300)

LENSES: list[tuple[LensModel, tuple[float, ...]]] = [
    ("opencv", (0.2, -0.05, 0.006, -0.009)),
    ("opencv", (-0.15, 0.05, 0.006, -0.009, 0.01, 0.05, -0.03, 0.02)),
    ("opencv", (-0.15, 0.05, 0.006, -0.009, 0.01, 0.05, -0.03, 0.02, 0.004, -0.003, 0.005, 0.002)),
    ("fisheye", (-0.03, 0.02, -0.01, 0.004)),
    ("brown", (-0.15, 0.05, 0.006, -0.009, -0.01, 0.02, 0.013)),
    ("division", (-0.2,)),
]


def bent_px(lens: LensModel, c: tuple[float, ...], straight_px: np.ndarray) -> np.ndarray:
    """Where the lens puts what stands at `straight_px` (2,) without it; by OpenCV where it has the model."""
    ray = np.array([(straight_px[0] - CAMERA.K[0, 2]) / CAMERA.K[0, 0], (straight_px[1] - CAMERA.K[1, 2]) / CAMERA.K[1, 1], 1.0])
    zero = np.zeros(3)
    if lens == "opencv":
        return cv2.projectPoints(ray[None], zero, zero, CAMERA.K, np.array(c))[0][0, 0]
    if lens == "fisheye":
        return cv2.fisheye.projectPoints(ray[None, None], zero, zero, CAMERA.K, np.array(c))[0][0, 0]
    if lens == "division":
        # Undistorted = distorted / (1 + k distorted^2), solved for the distorted radius by bisection.
        r = float(np.hypot(*ray[:2]))
        low, high = 0.0, 2 * r
        for _ in range(80):
            middle = (low + high) / 2
            low, high = (middle, high) if middle / (1 + c[0] * middle**2) < r else (low, middle)
        bent = ray[:2] * low / r
    else:
        x, y, r2 = ray[0], ray[1], ray[0] ** 2 + ray[1] ** 2
        radial = 1 + c[0] * r2 + c[1] * r2**2 + c[4] * r2**3 + c[5] * r2**4
        bent = np.array([x * radial + 2 * c[2] * x * y + c[3] * (r2 + 2 * x**2), y * radial + c[2] * (r2 + 2 * y**2) + 2 * c[3] * x * y])
        bent[0] += c[6] * bent[1]
    return bent * [CAMERA.K[0, 0], CAMERA.K[1, 1]] + CAMERA.K[:2, 2]


@pytest.mark.parametrize(("lens", "coefficients"), LENSES)
def test_a_dot_comes_back_to_its_straight_place_through_every_lens(lens, coefficients):
    y, x = np.mgrid[0:300, 0:400] + 0.5
    for straight in np.array([[312.5, 71.5], [96.25, 214.75], [215.5, 138.25]]):
        bent = bent_px(lens, coefficients, straight)
        dot = 255 * np.exp(-((x - bent[0]) ** 2 + (y - bent[1]) ** 2) / 18)
        image = np.repeat(dot.round().astype(np.uint8)[..., None], 3, 2)
        back = undistort_picture(image, CAMERA, lens, coefficients)[..., 0].astype(float)
        found = np.array([(back * x).sum(), (back * y).sum()]) / back.sum()
        np.testing.assert_allclose(found, straight, atol=0.12)
    assert np.linalg.norm(bent_px(lens, coefficients, np.array([312.5, 71.5])) - [312.5, 71.5]) > 1.5


def test_undistortion_is_that_of_opencv_but_for_the_interpolation():
    rng = np.random.default_rng(2)
    image = cv2.GaussianBlur(rng.integers(0, 256, (300, 400, 3), dtype=np.uint8), (0, 0), 4)
    c = (-0.15, 0.05, 0.006, -0.009, 0.01)
    K = CAMERA.K.copy()
    K[:2, 2] -= 0.5
    expected = cv2.undistort(image, K, np.array(c))
    found = undistort_picture(image, CAMERA, "opencv", c)
    inner = np.s_[5:-5, 5:-5]
    assert np.abs(found[inner].astype(int) - expected[inner]).max() <= 2
    assert image[inner].std() > 3


def test_what_lies_beyond_the_fold_of_a_polynomial_is_black_not_a_ghost():
    # x (1 - 0.9 r^2) turns back at r = 0.61; the corner of the picture lies at 0.8.
    white = np.full((300, 400, 3), 255, np.uint8)
    found = undistort_picture(white, CAMERA, "opencv", (-0.9, 0.0, 0.0, 0.0))[..., 0]
    slopes = np.stack(CAMERA.slopes(CAMERA.pixel_centres()), -1)
    radius = np.linalg.norm(slopes, axis=-1)
    assert (found[radius > 0.615] == 0).all() and (radius > 0.615).any()
    assert (found[radius < 0.60] == 255).all()


def test_the_division_model_has_no_image_beyond_its_radius():
    assert np.isnan(distort("division", (0.9,), np.array([[0.7, 0.0]]))).all()
    bent = distort("division", (0.3,), np.array([[0.4, 0.2]]))
    np.testing.assert_allclose(bent / (1 + 0.3 * (bent**2).sum()), [[0.4, 0.2]], rtol=1e-12)


@pytest.mark.parametrize(
    ("lens", "c"),
    [("opencv", (0.1,)), ("opencv", (0.1,) * 14), ("fisheye", ()), ("fov", (0.5,)), ("brown", (np.nan,) * 7), (["brown"], (0.0,) * 7)],
)
def test_a_lens_that_is_none_is_an_error(lens, c):
    with pytest.raises(RangeError, match="here"):
        check_lens(lens, c, where="here")


def photos(folder: Path, size: tuple[int, int] = (1300, 900)) -> Path:
    folder.mkdir(exist_ok=True)
    for index, truth in enumerate(truths()):
        image = np.random.default_rng(index).integers(0, 256, (size[1] // 10, size[0] // 10, 3), dtype=np.uint8)
        Image.fromarray(cv2.resize(image, size)).save(folder / truth.name)
    return folder


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    return photos(tmp_path_factory.mktemp("capture") / "images")


def cameras_files(path: Path) -> dict[str, Path]:
    """One rig in every format, all with square pixels."""
    cameras = truths(square=True)
    write_colmap(path / "colmap" / "sparse" / "0", {truth.name: truth.camera for truth in cameras})
    save_cameras_json(path / "cameras.json", {truth.name: truth.camera for truth in cameras})
    (path / "calibration").mkdir()
    for truth in cameras:
        opencv_yaml(path / "calibration" / f"{Path(truth.name).stem}.yml", truth, (0.0,) * 5)
    return {
        "COLMAP text": path / "colmap",
        "cameras.json": path / "cameras.json",
        "OpenCV": path / "calibration",
        "transforms.json": transforms_json(path / "transforms.json", cameras),
        "Metashape XML": metashape_xml(path / "cameras.xml", cameras, {}),
        "RealityScan CSV": realityscan_csv(path / "cameras.csv", cameras),
    }


METRIC = ("cameras.json", "Metashape XML")


def test_every_format_gives_one_capture_its_cameras(folder, tmp_path):
    for name, path in cameras_files(tmp_path).items():
        capture = load_capture(folder, cameras=path)
        assert capture.is_calibrated and [view.status for view in capture.views] == ["ok"] * 3, name
        assert capture.scale == ("metric" if name in METRIC else "relative"), name
        assert any("states no unit" in note for note in capture.notes) == (name not in METRIC), name
        for view, truth in zip(capture.views, truths(square=True), strict=True):
            assert view.camera is not None and view.camera_file == path.name
            px, _ = view.camera.project(some_points())
            assert np.abs(px - brown(truth, some_points())).max() < 1e-6, name
        files = capture_files(folder, cameras=path)
        assert all(file.is_file() for file in files) and len(files) > 3
        stated = load_capture(folder, cameras=path, settings=CaptureSettings(cameras_unit="m"))
        assert stated.scale == "metric" and stated.views[0].camera_unit == "m"
        assert load_capture(folder, cameras=path, settings=CaptureSettings(cameras_unit="unknown")).scale == "relative"


def test_a_folder_of_cameras_is_hashed_file_by_file_and_the_capture_survives_its_file(folder, tmp_path):
    path = cameras_files(tmp_path)["COLMAP text"]
    assert {"cameras.txt", "images.txt"} <= {Path(name).name for name in hash_sources([folder], path, CaptureSettings())}
    capture = load_capture(folder, cameras=path, settings=CaptureSettings(cameras_axes="opengl", cameras_unit="cm"))
    lens = dataclasses.replace(capture.views[0], lens="fisheye", distortion=(0.1, 0.2, 0.3, 0.4))
    capture = dataclasses.replace(capture, views=(lens, *capture.views[1:]))
    back = read_capture(write_capture(tmp_path / "capture.json", capture))
    for view, other in zip(capture.views, back.views, strict=True):
        kept = ("lens", "distortion", "camera_file", "camera_unit", "camera_axes", "camera_inverted")
        assert [getattr(view, name) for name in kept] == [getattr(other, name) for name in kept]


def test_options_of_the_settings_reach_the_cameras(folder, tmp_path):
    path = cameras_files(tmp_path)["cameras.json"]
    content = json.loads(path.read_text())
    for entry in content["cameras"].values():
        matrix = np.linalg.inv(FLIP_YZ @ np.array(entry["world_to_camera"]))
        matrix[:3, 3] *= 1000
        entry["world_to_camera"] = matrix.tolist()
    path.write_text(json.dumps(content))
    settings = CaptureSettings(cameras_unit="mm", cameras_invert=True, cameras_axes="opengl")
    for view, truth in zip(load_capture(folder, cameras=path, settings=settings).views, truths(square=True), strict=True):
        assert view.camera is not None
        np.testing.assert_allclose(view.camera.T_cam_world, truth.T_cam_world, atol=1e-12)
        assert (view.camera_unit, view.camera_axes, view.camera_inverted) == ("mm", "opengl", True)


def test_pictures_of_the_other_orientation_are_named_as_such(folder, tmp_path):
    turned = {t.name: dataclasses.replace(t, width=t.height, height=t.width).camera for t in truths()}
    save_cameras_json(tmp_path / "cameras.json", turned)
    with pytest.raises(InputError, match="width and height are swapped") as caught:
        load_capture(folder, cameras=tmp_path / "cameras.json")
    assert "exchange them" in caught.value.do


@pytest.mark.parametrize(
    ("lens", "c"), [("opencv", LENSES[2][1]), ("brown", (-0.15, 0.05, 0.006, -0.009, -0.01, 0.02, 0.0)), ("fisheye", LENSES[3][1])]
)
def test_cameras_of_stored_pixels_turn_with_the_pictures_that_exif_turns(tmp_path, lens, c):
    orientations = {"cam00.png": 6, "cam01.png": 8, "cam02.png": 3}
    save_cameras_json(tmp_path / "cameras.json", {truth.name: truth.camera for truth in truths()})
    content = json.loads((tmp_path / "cameras.json").read_text())
    for name, orientation in orientations.items():
        content["cameras"][name].update(lens=lens, distortion=c)
        tags = Image.Exif()
        tags[0x0112] = orientation
        Image.fromarray(np.random.default_rng(1).integers(0, 256, (900, 1300, 3), dtype=np.uint8)).save(tmp_path / name, exif=tags)
    (tmp_path / "cameras.json").write_text(json.dumps(content))
    capture = load_capture(tmp_path)
    assert any("stored pixels" in note for note in capture.notes)
    for view, truth in zip(capture.views, truths(), strict=True):
        u, v = distorted_px(truth.camera, lens, c, some_points()).T
        shown = {6: (900 - v, u), 8: (v, 1300 - u), 3: (1300 - u, 900 - v)}[orientations[view.name]]
        assert view.status == "ok" and view.camera is not None
        np.testing.assert_allclose(distorted_px(view.camera, view.lens, view.distortion, some_points()), np.stack(shown, 1), atol=1e-9)
    # Where the pictures as shown were calibrated, nothing turns.
    for name in ("cam00.png", "cam01.png"):
        content["cameras"][name].update(width=900, height=1300)
    (tmp_path / "cameras.json").write_text(json.dumps(content))
    assert [view.camera_turns for view in load_capture(tmp_path).views] == [0, 0, 0]


@pytest.mark.parametrize("lens", ["opencv", "brown", "division"])
def test_skew_without_distortion_is_taken_into_any_lens(folder, tmp_path, lens):
    camera = truths()[0].camera
    K = camera.K.copy()
    K[0, 1] = 6.5
    save_cameras_json(tmp_path / "cameras.json", {"cam00.png": dataclasses.replace(camera, K=K)})
    content = json.loads((tmp_path / "cameras.json").read_text())
    content["cameras"]["cam00.png"].update(lens=lens, distortion={"opencv": [], "brown": [0.0] * 7, "division": [0.0]}[lens])
    (tmp_path / "cameras.json").write_text(json.dumps(content))
    view = load_capture(folder, cameras=tmp_path / "cameras.json").views[0]
    assert view.camera is not None and view.camera.K[0, 1] == 0
    expected = dataclasses.replace(camera, K=K).project(some_points())[0]
    np.testing.assert_allclose(distorted_px(view.camera, view.lens, view.distortion, some_points()), expected, atol=1e-9)


def test_skew_goes_from_the_intrinsics_into_the_lens(folder, tmp_path):
    camera = truths()[0].camera
    K = camera.K.copy()
    K[0, 1] = 6.5
    save_cameras_json(tmp_path / "cameras.json", {"cam00.png": dataclasses.replace(camera, K=K)})
    view = load_capture(folder, cameras=tmp_path / "cameras.json").views[0]
    assert view.camera is not None and view.camera.K[0, 1] == 0 and view.lens == "brown"
    # A column of the picture leans by 6.5 px over a focal length; read_view sets it upright.
    raw, straight = np.asarray(Image.open(folder / "cam00.png")).astype(float), read_view(view).astype(float)
    for row in (60, 450, 840):
        shift = 6.5 * (row + 0.5 - K[1, 2]) / K[1, 1]
        columns = np.arange(100, 1200)
        expected = np.interp(columns + shift, np.arange(1300), raw[row, :, 1])
        assert np.abs(straight[row, columns, 1] - expected).mean() < 1.0
    assert read_view(view).shape == (900, 1300, 3)
