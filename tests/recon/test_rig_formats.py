"""Camera files of nerfstudio, OpenCV, Metashape and RealityScan: written by their formulas, read here, projected, and broken."""

from __future__ import annotations

import dataclasses
import json
import re
from functools import partial
from pathlib import Path

import cv2
import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from assets.errors import ConventionError, InputError
from recon.lens import distorted_px
from recon.rig import Rig, load_rig, save_cameras_json, write_colmap, write_transforms
from tests.recon.rig_writers import (
    FLIP_YZ,
    Truth,
    brown,
    fisheye,
    metashape_xml,
    opencv_yaml,
    realityscan_csv,
    some_points,
    transforms_json,
    truths,
)

SIZES = {truth.name: (truth.width, truth.height) for truth in truths(3)}


def misses_px(rig: Rig, expected: dict[str, np.ndarray]) -> float:
    """The largest distance between where the rig and the truth put `some_points`."""
    assert {Path(entry.image).stem for entry in rig.cameras} == {Path(name).stem for name in expected}
    misses = []
    for name, px in expected.items():
        entry = rig.find(Path("/elsewhere") / name)
        assert entry is not None
        misses.append(np.abs(distorted_px(entry.camera, entry.lens, entry.distortion, some_points()) - px))
    return float(np.max(misses))  # nan where a point lies behind a camera


def projected(cameras: list[Truth], k: tuple[float, ...] = (), p: tuple[float, float] = (0.0, 0.0), **more: float) -> dict[str, np.ndarray]:
    return {truth.name: brown(truth, some_points(), k, p, **more) for truth in cameras}


class TestTransforms:
    @pytest.mark.parametrize("k4", [0.0, 0.03])
    def test_frames_are_opengl_cameras_to_world_with_opencvs_lens(self, tmp_path, k4):
        lens = {"k1": -0.12, "k2": 0.05, "k3": -0.01, "k4": k4, "p1": 0.004, "p2": -0.006}
        rig = load_rig(transforms_json(tmp_path / "transforms.json", truths(), lens))
        assert (rig.format, rig.unit, rig.axes) == ("transforms.json", "", "opengl")
        assert misses_px(rig, projected(truths(), (-0.12, 0.05, -0.01, k4), (0.004, -0.006))) < 1e-6

    def test_fisheye_is_that_of_opencv(self, tmp_path):
        k = (-0.03, 0.02, -0.01, 0.004)
        lens = {"camera_model": "OPENCV_FISHEYE"} | {f"k{n}": value for n, value in enumerate(k, start=1)}
        rig = load_rig(transforms_json(tmp_path / "transforms.json", truths(), lens))
        assert misses_px(rig, {truth.name: fisheye(truth, some_points(), k) for truth in truths()}) < 1e-6

    def test_the_file_of_the_original_nerf_has_one_angle_and_no_sizes(self, tmp_path):
        def bare(content):
            content["camera_angle_x"] = 2 * np.arctan(1300 / 2 / 1500.0)
            for frame in content["frames"]:
                for key in ("fl_x", "fl_y", "cx", "cy", "w", "h"):
                    del frame[key]
                frame["file_path"] = frame["file_path"].removesuffix(".png")

        path = transforms_json(tmp_path / "transforms.json", truths(), edit=bare)
        for entry in load_rig(path, sizes=SIZES).cameras:
            np.testing.assert_allclose(entry.camera.K, [[1500, 0, 650], [0, 1500, 450], [0, 0, 1]], rtol=1e-12)
        with pytest.raises(InputError, match="no picture"):
            load_rig(path)

    def test_the_transform_and_scale_that_nerfstudio_applied_are_taken_out(self, tmp_path):
        A = np.eye(4)[[0, 2, 1, 3]] * [[1], [1], [-1], [1]]  # ns-process-data's own for COLMAP: a row swap and a flip

        def apply(content):
            content["applied_transform"], content["applied_scale"] = A[:3].tolist(), 0.25
            for frame in content["frames"]:
                saved = A @ np.array(frame["transform_matrix"])
                saved[:3, 3] *= 0.25
                frame["transform_matrix"] = saved.tolist()

        rig = load_rig(transforms_json(tmp_path / "transforms.json", truths(), edit=apply))
        assert misses_px(rig, projected(truths())) < 1e-6

    def test_what_is_written_here_is_read_back_and_is_metric(self, tmp_path):
        rig = load_rig(write_transforms(tmp_path / "transforms.json", {truth.name: truth.camera for truth in truths()}))
        assert rig.unit == "m" and misses_px(rig, projected(truths())) < 1e-6
        # The third column points backwards from the view: +Z of an OpenGL camera.
        frame = json.loads((tmp_path / "transforms.json").read_text())["frames"][1]
        np.testing.assert_allclose(np.array(frame["transform_matrix"])[:3, 2], -truths()[1].T_cam_world[2, :3], atol=1e-12)

    @pytest.mark.parametrize(
        ("edit", "kind", "part"),
        [
            (lambda c: c.update(frames=[]), InputError, "no frames"),
            (lambda c: c["frames"][1].pop("transform_matrix"), InputError, "transform_matrix"),
            (lambda c: c["frames"][1].pop("fl_x") and c["frames"][1].pop("fl_y"), InputError, "camera_angle_x"),
            (lambda c: c["frames"][1].update(transform_matrix=[[1, 2], [3, 4]]), InputError, "shape"),
            (lambda c: c["frames"][1].update(transform_matrix=(2 * np.eye(4)).tolist()), ConventionError, "orthonormal"),
            (lambda c: c["frames"][1].update(fl_x="wide"), InputError, "wide"),
            (lambda c: c["frames"][1].update(file_path="images/cam00.png"), InputError, "2 times"),
            (lambda c: c.update(camera_model="EQUIRECTANGULAR"), InputError, "EQUIRECTANGULAR"),
            (lambda c: c.update(applied_scale=-2.0), InputError, "applied_scale: -2.0"),
            (lambda c: c.update(applied_scale=0), InputError, "a scale above 0"),
        ],
    )
    def test_broken_files_say_what_is_wrong_and_where(self, tmp_path, edit, kind, part):
        path = transforms_json(tmp_path / "transforms.json", truths(), edit=edit)
        with pytest.raises(kind) as caught:
            load_rig(path)
        assert part in str(caught.value) and caught.value.do


class TestOpenCV:
    @pytest.mark.parametrize("rodrigues", [True, False])
    def test_a_folder_of_yaml_files_has_a_camera_each_half_a_pixel_on(self, tmp_path, rodrigues):
        distortion = (-0.12, 0.05, 0.004, -0.006, -0.01)
        for truth in truths():
            opencv_yaml(tmp_path / f"{Path(truth.name).stem}.yml", truth, distortion, rodrigues=rodrigues)
        rig = load_rig(tmp_path)
        assert (rig.format, rig.unit) == ("OpenCV", "")
        assert [entry.image for entry in rig.cameras] == ["cam00", "cam01", "cam02"]
        assert misses_px(rig, projected(truths(), (-0.12, 0.05, -0.01), (0.004, -0.006))) < 1e-6

    @pytest.mark.parametrize("count", [4, 5, 8, 12])
    def test_projection_is_that_of_opencv_for_every_number_of_coefficients(self, tmp_path, count):
        distortion = (-0.12, 0.05, 0.004, -0.006, -0.01, 0.03, -0.02, 0.01, 0.001, -0.002, 0.003, 0.0005)[:count]
        truth = truths()[1]
        entry = load_rig(opencv_yaml(tmp_path / "cam01.yaml", truth, distortion)).cameras[0]
        K = np.array([[truth.fx, 0, truth.cx - 0.5], [0, truth.fy, truth.cy - 0.5], [0, 0, 1]])
        rvec, tvec = cv2.Rodrigues(truth.T_cam_world[:3, :3])[0], truth.T_cam_world[:3, 3]
        expected = cv2.projectPoints(some_points(), rvec, tvec, K, np.array(distortion))[0][:, 0] + 0.5
        np.testing.assert_allclose(distorted_px(entry.camera, entry.lens, entry.distortion, some_points()), expected, atol=1e-6)

    def test_fisheye_projection_is_that_of_opencv(self, tmp_path):
        k, truth = (-0.03, 0.02, -0.01, 0.004), truths()[2]
        entry = load_rig(opencv_yaml(tmp_path / "cam02.yml", truth, k, fisheye_model=True)).cameras[0]
        K = np.array([[truth.fx, 0, truth.cx - 0.5], [0, truth.fy, truth.cy - 0.5], [0, 0, 1]])
        rvec, tvec = cv2.Rodrigues(truth.T_cam_world[:3, :3])[0], truth.T_cam_world[:3, 3]
        expected = cv2.fisheye.projectPoints(some_points()[None], rvec, tvec, K, np.array(k))[0][0] + 0.5
        np.testing.assert_allclose(distorted_px(entry.camera, entry.lens, entry.distortion, some_points()), expected, atol=1e-6)

    def test_one_json_may_hold_all_cameras_and_state_their_unit(self, tmp_path):
        content: dict = {"units": "mm", "image_width": 1300, "image_height": 900}
        for truth in truths():
            content[Path(truth.name).stem] = {
                "camera_matrix": [[truth.fx, 0, truth.cx - 0.5], [0, truth.fy, truth.cy - 0.5], [0, 0, 1]],
                "distortion_coefficients": [-0.12, 0.05, 0.0, 0.0],
                "R": truth.T_cam_world[:3, :3].tolist(), "T": (1000 * truth.T_cam_world[:3, 3]).tolist(),
            }  # fmt: skip
        (tmp_path / "rig.json").write_text(json.dumps(content))
        rig = load_rig(tmp_path / "rig.json")
        assert (rig.format, rig.unit) == ("OpenCV", "mm")
        assert misses_px(rig, projected(truths(), (-0.12, 0.05))) < 1e-6

    @pytest.mark.parametrize("width", [None, "wide", 1300.5, [1300]])
    def test_a_size_that_is_no_whole_number_is_an_error(self, tmp_path, width):
        content = {"camera_matrix": np.eye(3).tolist(), "rvec": [0, 0, 0], "tvec": [0, 0, 1], "image_width": width, "image_height": 900}
        (tmp_path / "cam.json").write_text(json.dumps(content))
        with pytest.raises(InputError, match="whole pixels"):
            load_rig(tmp_path / "cam.json")

    @pytest.mark.parametrize("stamp", ["1732290000123", "-99999999999999999999999", "2147483648", '"1732290000123"'])
    def test_a_long_number_beside_the_camera_does_no_harm(self, tmp_path, stamp):
        """FileStorage goes round in circles on whole numbers beyond 32 bits, such as time stamps in milliseconds."""
        path = opencv_yaml(tmp_path / "cam00.yml", truths()[0], (0.0,) * 5)
        expected = load_rig(path).cameras[0].camera
        path.write_text(path.read_text().replace("image_width", f"stamp: {stamp}\nimage_width"))
        found = load_rig(path).cameras[0].camera
        np.testing.assert_array_equal(found.K, expected.K)
        np.testing.assert_array_equal(found.T_cam_world, expected.T_cam_world)

    def test_a_json_with_a_byte_order_mark_is_read(self, tmp_path):
        content = {"camera_matrix": np.eye(3).tolist(), "rvec": [0, 0, 0], "tvec": [0, 0, 1], "image_width": 1300, "image_height": 900}
        (tmp_path / "cam.json").write_text(json.dumps(content), encoding="utf-8-sig")
        assert load_rig(tmp_path / "cam.json").cameras[0].camera.width == 1300

    def test_one_yaml_may_hold_all_cameras_by_name(self, tmp_path):
        storage = cv2.FileStorage(str(tmp_path / "rig.yaml"), cv2.FILE_STORAGE_WRITE)
        for truth in truths():
            storage.startWriteStruct(Path(truth.name).stem, cv2.FILE_NODE_MAP)
            storage.write("camera_matrix", np.array([[truth.fx, 0, truth.cx - 0.5], [0, truth.fy, truth.cy - 0.5], [0, 0, 1]]))
            storage.write("distortion_coefficients", np.array([-0.12, 0.05, 0.004, -0.006]))
            storage.write("rvec", cv2.Rodrigues(truth.T_cam_world[:3, :3])[0])
            storage.write("tvec", truth.T_cam_world[:3, 3])
            storage.endWriteStruct()
        storage.write("units", "metres")
        storage.release()
        # The file does not state the size of the pictures, which are there.
        rig = load_rig(tmp_path / "rig.yaml", sizes=SIZES)
        assert rig.unit == "m" and misses_px(rig, projected(truths(), (-0.12, 0.05), (0.004, -0.006))) < 1e-6

    def test_a_camera_of_a_name_belongs_to_all_pictures_that_end_in_it(self, tmp_path):
        rig = load_rig(opencv_yaml(tmp_path / "cam1.yml", truths()[0], (0.0,) * 5))
        for name in ("smile_cam1.jpg", "cam1-neutral.png", "cam1/0004.jpg", "cam1.tif"):
            assert rig.find(tmp_path / name) is rig.cameras[0], name
        for name in ("smile_cam11.jpg", "scam1.jpg", "cam12.png"):
            assert rig.find(tmp_path / name) is None, name

    def test_calibration_without_a_pose_or_without_a_header_is_an_error(self, tmp_path):
        path = opencv_yaml(tmp_path / "cam.yml", truths()[0], (0.0,) * 5)
        text = path.read_text()
        path.write_text(text.replace("tvec", "tvec_of_the_board"))
        with pytest.raises(InputError, match="world to camera"):
            load_rig(path)
        path.write_text("camera_matrix: [[1, 0, 0")
        with pytest.raises(InputError, match="FileStorage"):
            load_rig(path)
        path.write_text(text.replace("camera_matrix", "matrix"))
        with pytest.raises(InputError, match="camera_matrix"):
            load_rig(path)


METASHAPE_LENS = {"k1": -0.12, "k2": 0.05, "k3": -0.01, "k4": 0.02, "p1": 0.004, "p2": -0.006, "b2": 1.75}


class TestMetashape:
    @pytest.mark.parametrize("in_component", [True, False])
    def test_offsets_from_the_middle_own_tangential_order_affinity_and_chunk_transform(self, tmp_path, in_component):
        rig = load_rig(metashape_xml(tmp_path / "cameras.xml", truths(), METASHAPE_LENS, in_component=in_component))
        assert (rig.format, rig.unit) == ("Metashape XML", "m")
        # OpenCV's p1 is Metashape's p2, and the skew of 1.75 px acts on the distorted y.
        assert misses_px(rig, projected(truths(), (-0.12, 0.05, -0.01, 0.02), (-0.006, 0.004), skew_px=1.75)) < 1e-6
        for entry in rig.cameras:
            truth = next(t for t in truths() if Path(t.name).stem == entry.image)
            np.testing.assert_allclose(entry.camera.T_cam_world, truth.T_cam_world, atol=1e-12)
        assert any("lost" in note for note in rig.notes)

    def test_a_chunk_may_be_the_root(self, tmp_path):
        def bare(text):
            return text[text.index("<chunk") : text.index("</chunk>") + len("</chunk>")]

        rig = load_rig(metashape_xml(tmp_path / "cameras.xml", truths(), {}, edit=bare))
        assert misses_px(rig, projected(truths())) < 1e-6

    def test_fisheye_sensor(self, tmp_path):
        k = (-0.03, 0.02, -0.01, 0.004)
        lens = {f"k{n}": value for n, value in enumerate(k, start=1)}
        rig = load_rig(metashape_xml(tmp_path / "cameras.xml", truths(), lens, kind="fisheye"))
        assert misses_px(rig, {truth.name: fisheye(truth, some_points(), k) for truth in truths()}) < 1e-6

    @pytest.mark.parametrize(("scale", "reference"), [(None, "local"), (0.5, "none")])
    def test_without_scale_or_reference_the_unit_is_unknown(self, tmp_path, scale, reference):
        rig = load_rig(metashape_xml(tmp_path / "cameras.xml", truths(), {}, scale=scale, reference=reference))
        assert rig.unit == "" and misses_px(rig, projected(truths())) < 1e-6

    @pytest.mark.parametrize(
        ("edit", "lens", "part"),
        [
            (lambda text: text, {"p3": 0.1}, "p3"),
            (lambda text: text.replace('type="frame"', 'type="spherical"'), {}, "spherical sensor"),
            (lambda text: text.replace("<f>", "<g>").replace("</f>", "</g>"), {}, "f = 0"),
            (lambda text: text.replace('sensor_id="1"', 'sensor_id="8"'), {}, "no sensor"),
            (lambda text: text.replace("<transform>", "<pose>").replace("</transform>", "</pose>"), {}, "no camera with a pose"),
            (lambda text: text.replace(' width="1300"', ' width="wide"'), {}, "whole pixels"),
            (lambda text: text[:-30], {}, "XML"),
            (lambda text: "<a><b/></a>", {}, "other content"),
            (lambda text: '<!DOCTYPE a [<!ENTITY b "c">]>' + text.partition("?>")[2], {}, "DOCTYPE"),
        ],
    )
    def test_broken_files_say_what_is_wrong(self, tmp_path, edit, lens, part):
        path = metashape_xml(tmp_path / "cameras.xml", truths(), lens, edit=edit)
        with pytest.raises(InputError) as caught:
            load_rig(path)
        assert part in str(caught.value) and str(path) in str(caught.value)


class TestRealityScan:
    @pytest.mark.parametrize("newer", [False, True])
    def test_angles_focal_of_36_mm_and_own_tangential_order(self, tmp_path, newer):
        cameras = truths(square=True)
        path = realityscan_csv(tmp_path / "cameras.csv", cameras, (-0.12, 0.05, -0.01, 0.02), (0.004, -0.006), newer=newer)
        rig = load_rig(path, sizes=SIZES)
        assert (rig.format, rig.unit) == ("RealityScan CSV", "")
        assert misses_px(rig, projected(cameras, (-0.12, 0.05, -0.01, 0.02), (-0.006, 0.004))) < 1e-6

    def test_portrait_pictures_scale_with_their_height(self, tmp_path):
        cameras = truths(width=900, height=1300, square=True)
        rig = load_rig(realityscan_csv(tmp_path / "cameras.csv", cameras), sizes={c.name: (900, 1300) for c in cameras})
        assert misses_px(rig, projected(cameras)) < 1e-6

    def test_rotation_is_that_of_the_xmp_of_the_same_camera(self, tmp_path):
        # heading, pitch, roll and <xcr:Rotation> of one camera, as published in forums.unrealengine.com/t/710449; the last number of
        # the matrix is cut off there.
        (tmp_path / "c.csv").write_text(
            "#name,x,y,alt,heading,pitch,roll,f\na.png,0,0,0,163.736597399311,83.4154313461628,174.386496244756,35\n"
        )
        xmp = [0.982594073038806, 0.185426733553445, -0.0112166890261935, -0.032113633044729, 0.11008102707942, -0.993403685341366,
               -0.18296885582437, 0.976472781986697]  # fmt: skip
        camera = load_rig(tmp_path / "c.csv", sizes={"a.png": (6000, 4000)}).cameras[0].camera
        np.testing.assert_allclose(camera.T_cam_world[:3, :3].ravel()[:8], xmp, atol=1e-12)
        np.testing.assert_allclose(camera.K, [[35 / 36 * 6000, 0, 3000], [0, 35 / 36 * 6000, 2000], [0, 0, 1]])

    @pytest.mark.parametrize(
        ("edit", "part"),
        [
            (lambda text: text.replace("cam01.png", "other.png"), "no picture other.png"),
            (lambda text: text.replace("alt", "height"), "other content"),
            (lambda text: text.replace("cam02.png", "cam00.png"), "2 times"),
            (lambda text: "\n".join(line.rsplit(",", 9)[0] if line.startswith("cam01") else line for line in text.splitlines()), "f"),
        ],
    )
    def test_broken_files_say_what_is_wrong(self, tmp_path, edit, part):
        path = realityscan_csv(tmp_path / "cameras.csv", truths(square=True), edit=edit)
        with pytest.raises(InputError) as caught:
            load_rig(path, sizes=SIZES)
        assert part in str(caught.value)


class TestTheDoor:
    def plain(self, tmp_path: Path) -> Path:
        path = tmp_path / "cameras.json"
        save_cameras_json(path, {truth.name: truth.camera for truth in truths()})
        return path

    def test_the_plain_file_is_metric_and_takes_the_lens_models_by_name(self, tmp_path):
        path = self.plain(tmp_path)
        rig = load_rig(path)
        assert (rig.format, rig.unit) == ("cameras.json", "m") and misses_px(rig, projected(truths())) < 1e-6
        content = json.loads(path.read_text())
        for entry in content["cameras"].values():
            entry.update(lens="fisheye", distortion=[-0.03, 0.02, -0.01, 0.004])
        path.write_text(json.dumps(content))
        expected = {truth.name: fisheye(truth, some_points(), (-0.03, 0.02, -0.01, 0.004)) for truth in truths()}
        assert misses_px(load_rig(path), expected) < 1e-6

    @pytest.mark.parametrize("name", ["notes.txt", "empty.json", "folder"])
    def test_an_unknown_file_is_an_error_that_lists_the_formats(self, tmp_path, name):
        path = tmp_path / name
        path.mkdir() if name == "folder" else path.write_text("{}")
        with pytest.raises(InputError) as caught:
            load_rig(path)
        for known in ("COLMAP", "transforms.json", "OpenCV", "Metashape", "RealityScan", "cameras.json"):
            assert known in caught.value.expected

    def test_a_stated_unit_goes_before_the_files_own(self, tmp_path):
        rig = load_rig(self.plain(tmp_path), unit="mm")
        assert rig.unit == "mm"
        np.testing.assert_allclose(rig.cameras[1].camera.T_cam_world[:3, 3], truths()[1].T_cam_world[:3, 3] / 1000, rtol=1e-12)
        with pytest.raises(ConventionError, match="furlong"):
            load_rig(self.plain(tmp_path), unit="furlong")  # pyright: ignore[reportArgumentType]

    @pytest.mark.parametrize("axes", ["opencv", "opengl"])
    @pytest.mark.parametrize("invert", [False, True])
    def test_options_undo_each_other_convention_of_a_plain_file(self, tmp_path, axes, invert):
        path = self.plain(tmp_path)
        content = json.loads(path.read_text())
        for entry in content["cameras"].values():
            T = (FLIP_YZ if axes == "opengl" else np.eye(4)) @ np.array(entry["world_to_camera"])
            entry["world_to_camera"] = (np.linalg.inv(T) if invert else T).tolist()
        path.write_text(json.dumps(content))
        rig = load_rig(path, axes=axes, invert=invert)
        assert (rig.axes, rig.inverted) == (axes, invert)
        assert misses_px(rig, projected(truths())) < 1e-6
        if axes == "opengl" or invert:
            assert not misses_px(load_rig(path), projected(truths())) < 100

    @pytest.mark.parametrize("axes", ["opencv", "opengl"])
    @pytest.mark.parametrize("invert", [False, True])
    def test_options_mean_the_matrices_as_they_stand_in_a_transforms_json(self, tmp_path, axes, invert):
        def otherwise(content):
            for frame, truth in zip(content["frames"], truths(), strict=True):
                T = (FLIP_YZ if axes == "opengl" else np.eye(4)) @ truth.T_cam_world
                frame["transform_matrix"] = (T if invert else np.linalg.inv(T)).tolist()

        rig = load_rig(transforms_json(tmp_path / "transforms.json", truths(), edit=otherwise), axes=axes, invert=invert)
        assert misses_px(rig, projected(truths())) < 1e-6

    def test_cameras_on_the_globe_are_refused(self, tmp_path):
        path = self.plain(tmp_path)
        content = json.loads(path.read_text())
        content["cameras"]["cam01.png"]["world_to_camera"][0][3] = 4.2e6
        path.write_text(json.dumps(content))
        with pytest.raises(ConventionError, match="local coordinate system"):
            load_rig(path)

    def test_a_rotation_far_from_one_is_refused_whatever_the_format(self, tmp_path):
        bent = Rotation.from_euler("xyz", [3, 4, 5], degrees=True).as_matrix() * [1.02, 1, 1]
        truth = truths()[0]
        T = truth.T_cam_world.copy()
        T[:3, :3] = bent
        broken = Truth(truth.name, T, truth.fx, truth.fy, truth.cx, truth.cy, truth.width, truth.height)
        for path in (opencv_yaml(tmp_path / "a.yml", broken, (0.0,) * 5, rodrigues=False), transforms_json(tmp_path / "t.json", [broken])):
            with pytest.raises(ConventionError, match="rotation"):
                load_rig(path)


def spoil_pose(content: dict) -> None:
    content["frames"][1]["transform_matrix"][2][3] = float("nan")


def spoiled_plain(folder: Path) -> Path:
    save_cameras_json(folder / "cameras.json", {truth.name: truth.camera for truth in truths()})
    content = json.loads((folder / "cameras.json").read_text())
    content["cameras"]["cam01.png"]["world_to_camera"][2][3] = float("nan")
    (folder / "cameras.json").write_text(json.dumps(content))
    return folder / "cameras.json"


def spoiled_opencv(folder: Path) -> Path:
    T_cam_world = truths()[1].T_cam_world.copy()
    T_cam_world[2, 3] = np.nan
    return opencv_yaml(folder / "cam01.yml", dataclasses.replace(truths()[1], T_cam_world=T_cam_world), (0.0, 0.0, 0.0, 0.0, 0.0))


def spoiled_metashape(folder: Path) -> Path:
    spoil = partial(re.sub, r'(label="cam01"><transform>(?:\S+ ){11})\S+', r"\1nan")
    return metashape_xml(folder / "rig.xml", truths(), {}, edit=spoil)


def spoiled_realityscan(folder: Path) -> Path:
    return realityscan_csv(folder / "rig.csv", truths(), edit=partial(re.sub, r"(cam01\.png,(?:[^,]+,){2})[^,]+", r"\1nan"))


def spoiled_colmap(folder: Path) -> Path:
    write_colmap(folder, {truth.name: truth.camera for truth in truths()})
    text = (folder / "images.txt").read_text()
    (folder / "images.txt").write_text(re.sub(r"(?m)^((?:\S+ ){7})\S+( \d+ cam01\.png)", r"\1nan\2", text))
    return folder


@pytest.mark.parametrize(
    ("spoiled", "place"),
    [
        (spoiled_plain, '"world_to_camera" has nan in row 3, column 4'),
        (lambda folder: transforms_json(folder / "transforms.json", truths(), edit=spoil_pose), "the matrix has nan in row 3, column 4"),
        (spoiled_opencv, "tvec has nan in place 3"),
        (spoiled_metashape, "<transform> has nan in place 12"),
        (spoiled_realityscan, "alt = nan"),
        (spoiled_colmap, "the pose has nan in row 3, column 4"),
    ],
)
def test_a_nan_is_refused_with_file_camera_and_place(tmp_path, spoiled, place):
    path = spoiled(tmp_path)
    with pytest.raises(InputError) as error:
        load_rig(path, sizes=SIZES)
    assert str(path) in error.value.got and "cam01" in error.value.got and error.value.got.endswith(place)
    assert "finite" in error.value.expected and error.value.do


def test_a_nan_in_a_lens_is_refused_as_one_in_a_pose(tmp_path):
    path = transforms_json(tmp_path / "transforms.json", truths(), edit=lambda content: content["frames"][2].update(k1=float("nan")))
    with pytest.raises(InputError, match=r"cam02.*nan"):
        load_rig(path)
