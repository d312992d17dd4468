"""COLMAP models written by COLMAP's own library, read here, and the other way round; the two must project alike."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from assets.errors import InputError
from recon.lens import distorted_px
from recon.rig import load_rig, write_colmap
from recon.rig.colmap import MODELS
from tests.recon.rig_writers import some_points, truths

pycolmap = pytest.importorskip("pycolmap", reason="pycolmap, of the test extra, is not installed")

PARAMETERS = {
    "SIMPLE_PINHOLE": [1210.5, 655.2, 440.7],
    "PINHOLE": [1210.5, 1203.1, 655.2, 440.7],
    "SIMPLE_RADIAL": [1210.5, 655.2, 440.7, -0.11],
    "RADIAL": [1210.5, 655.2, 440.7, -0.11, 0.06],
    "OPENCV": [1210.5, 1203.1, 655.2, 440.7, -0.11, 0.06, 0.004, -0.007],
    "OPENCV_FISHEYE": [1210.5, 1203.1, 655.2, 440.7, -0.03, 0.02, -0.01, 0.004],
    "FULL_OPENCV": [1210.5, 1203.1, 655.2, 440.7, -0.11, 0.06, 0.004, -0.007, 0.02, 0.05, -0.03, 0.01],
    "SIMPLE_RADIAL_FISHEYE": [1210.5, 655.2, 440.7, -0.03],
    "RADIAL_FISHEYE": [1210.5, 655.2, 440.7, -0.03, 0.02],
    "SIMPLE_DIVISION": [1210.5, 655.2, 440.7, -0.09],
    "DIVISION": [1210.5, 1203.1, 655.2, 440.7, -0.09],
    "SIMPLE_FISHEYE": [1210.5, 655.2, 440.7],
    "FISHEYE": [1210.5, 1203.1, 655.2, 440.7],
}
REFUSED = {
    "FOV": [1210.5, 1203.1, 655.2, 440.7, 0.5],
    "THIN_PRISM_FISHEYE": [1210.5, 1203.1, 655.2, 440.7, 0.01, 0.01, 0.001, 0.001, 0.0, 0.0, 0.001, 0.001],
    "EUCM": [1210.5, 1203.1, 655.2, 440.7, 0.5, 1.1],
}


def colmap_model(parameters: dict[str, list[float]]):
    """A reconstruction with one posed image for each camera model, and two points so that point lines are read over."""
    model = pycolmap.Reconstruction()
    for number, (truth, (name, values)) in enumerate(zip(truths(len(parameters)), parameters.items(), strict=True), start=1):
        camera = pycolmap.Camera(model=name, width=1300, height=900, params=values, camera_id=10 + number)
        model.add_camera_with_trivial_rig(camera)
        image = pycolmap.Image(name=f"set a/{name.lower()}.png", camera_id=10 + number, image_id=number)
        image.points2D = pycolmap.Point2DList([pycolmap.Point2D(np.array([3.5 * number, 7.25]))] * (number % 3))
        model.add_image_with_trivial_frame(image, pycolmap.Rigid3d(truth.T_cam_world[:3]))
    return model


def write(model, folder: Path, form: str) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    (model.write_text if form == "text" else model.write_binary)(str(folder))
    return folder


@pytest.mark.parametrize("form", ["text", "binary"])
def test_every_model_projects_as_colmap_itself_does(tmp_path, form):
    model = colmap_model(PARAMETERS)
    rig = load_rig(write(model, tmp_path / "sparse" / "0", form))
    assert rig.format == f"COLMAP {form}" and rig.unit == "" and rig.axes == "opencv"
    assert len(rig.cameras) == len(PARAMETERS)
    by_name = {entry.image: entry for entry in rig.cameras}
    for image in model.images.values():
        entry, points = by_name[image.name], some_points()
        expected = np.array([model.cameras[image.camera_id].img_from_cam(image.cam_from_world() * point) for point in points])
        found = distorted_px(entry.camera, entry.lens, entry.distortion, points)
        assert np.abs(found - expected).max() < 1e-6, image.name
        assert (entry.camera.width, entry.camera.height) == (1300, 900)


def test_the_table_of_models_is_that_of_the_installed_colmap():
    members = {name: value for name, value in pycolmap.CameraModelId.__members__.items() if name != "INVALID"}
    assert {name: int(number) for name, number in members.items()} == {name: model.number for name, model in MODELS.items()}
    for name, model in MODELS.items():
        assert len(pycolmap.Camera.create_from_model_name(1, name, 500.0, 640, 480).params) == model.num_parameters


@pytest.mark.parametrize("name", REFUSED)
def test_a_model_that_no_lens_here_has_is_refused_by_name_with_what_to_do(tmp_path, name):
    folder = write(colmap_model({name: REFUSED[name]}), tmp_path, "binary")
    with pytest.raises(InputError, match=name) as caught:
        load_rig(folder)
    assert "image_undistorter" in caught.value.do


@pytest.mark.parametrize("inside", ["", "sparse", "sparse/0"])
def test_a_model_is_found_in_the_folders_that_colmap_and_its_friends_write(tmp_path, inside):
    write(colmap_model({"PINHOLE": PARAMETERS["PINHOLE"]}), tmp_path / inside, "text")
    rig = load_rig(tmp_path)
    assert rig.format == "COLMAP text"
    # Names are relative to the folder of pictures, which a model does not know.
    assert rig.find(tmp_path / "images" / "set a" / "pinhole.png") is rig.cameras[0]
    assert load_rig(tmp_path / inside / "images.txt").cameras[0].image == "set a/pinhole.png"


def test_binary_goes_before_text_and_a_torn_file_is_an_error(tmp_path):
    write(colmap_model({"PINHOLE": PARAMETERS["PINHOLE"]}), tmp_path, "text")
    write(colmap_model({"RADIAL": PARAMETERS["RADIAL"]}), tmp_path, "binary")
    assert load_rig(tmp_path).cameras[0].image == "set a/radial.png"
    torn = (tmp_path / "images.bin").read_bytes()[:-5]
    (tmp_path / "images.bin").write_bytes(torn)
    with pytest.raises(InputError, match="complete COLMAP model"):
        load_rig(tmp_path)


def test_what_is_written_here_is_read_by_colmap_with_the_same_projection(tmp_path):
    cameras = {truth.name: truth.camera for truth in truths(3)}
    write_colmap(tmp_path / "model", cameras)
    model = pycolmap.Reconstruction(str(tmp_path / "model"))
    assert sorted(image.name for image in model.images.values()) == sorted(cameras)
    points = some_points()
    for image in model.images.values():
        expected, _ = cameras[image.name].project(points)
        found = np.array([model.cameras[image.camera_id].img_from_cam(image.cam_from_world() * point) for point in points])
        assert np.abs(found - expected).max() < 1e-6
    # And back here, to the last bits.
    for entry in load_rig(tmp_path / "model").cameras:
        np.testing.assert_allclose(entry.camera.T_cam_world, cameras[entry.image].T_cam_world, atol=1e-14)
        np.testing.assert_array_equal(entry.camera.K, cameras[entry.image].K)


def test_images_without_their_line_of_points_are_an_error_instead_of_half_the_images(tmp_path):
    write_colmap(tmp_path, {truth.name: truth.camera for truth in truths(3)})
    text = (tmp_path / "images.txt").read_text()
    (tmp_path / "images.txt").write_text("\n".join(line for line in text.splitlines() if line) + "\n")
    with pytest.raises(InputError, match=r"no line of points after '1 0"):
        load_rig(tmp_path)


def test_an_image_of_an_unknown_camera_is_named(tmp_path):
    folder = write(colmap_model({"PINHOLE": PARAMETERS["PINHOLE"]}), tmp_path, "text")
    text = (folder / "cameras.txt").read_text().replace("\n11 PINHOLE", "\n99 PINHOLE")
    (folder / "cameras.txt").write_text(text)
    with pytest.raises(InputError, match=r"set a/pinhole\.png: camera 11"):
        load_rig(folder)
