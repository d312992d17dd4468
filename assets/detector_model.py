"""What a face detector marks on a head, by how far the head is turned: one file a head, topology and detector."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np

from assets.atomic import written_beside
from assets.cache import read_arrays
from assets.errors import ArtifactError, ConventionError, MissingAssetError, RangeError, ShapeError
from assets.head_model import HeadModel
from assets.refinement import coarse_topology, refined_places

DETECTORS = ("bundled", "tasks")
"""MediaPipe's face mesh of the wheel, and its FaceLandmarker `.task` file."""

NUM_LANDMARKS = 478

DATA_DIR = Path(__file__).parent / "data"
"""Where the calibrations that come with the package lie."""


@dataclasses.dataclass(frozen=True, eq=False)
class DetectorModel:
    """Where a detector puts each landmark on a head seen from a given side; made by recon/calibrate.py.

    A detector's points are not skin: seen from the front and from the side, one landmark lies on two different places of the
    cheek. `seen_yaw_deg` says which yaw a view has; between two bins everything is interpolated linearly, beyond the last
    bin it stays.
    """

    head_name: str
    """HeadModel.name of the head that it was made on."""
    topology_hash: str
    """HeadModel.topology_hash of that head."""
    detector: str
    """One of DETECTORS."""
    yaw_bins_deg: np.ndarray
    """(B,) float32 ascending and symmetric about 0; positive: the subject turns to their own left."""
    triangle_index: np.ndarray
    """(B, 478) int32 into HeadModel.triangles."""
    barycentric: np.ndarray
    """(B, 478, 3) float32, sums to 1."""
    covariance_mm2: np.ndarray
    """(B, 478, 2, 2) float32, mm^2 at the head's distance: detected minus predicted point, along the upright picture's axes
    (x to the right, y down, after the head's roll is taken out). Positive definite."""
    detection_rate: np.ndarray
    """(B, 478) float32 in [0, 1]: share of the renders of this bin in which a face was found and the landmark lay near its place."""

    def points(self, vertices: np.ndarray, triangles: np.ndarray, yaw_deg: float) -> np.ndarray:
        """(478, 3) positions on posed vertices (V, 3) for a view of this yaw; linear in the vertices, in their dtype."""
        low, high, share = self.between(yaw_deg)
        at = [self._points_of_bin(vertices, triangles, index) for index in (low, high)]
        return at[0] * vertices.dtype.type(1 - share) + at[1] * vertices.dtype.type(share)

    def covariance(self, yaw_deg: float) -> np.ndarray:
        """(478, 2, 2) float64 mm^2 for a view of this yaw."""
        low, high, share = self.between(yaw_deg)
        return (1 - share) * self.covariance_mm2[low].astype(np.float64) + share * self.covariance_mm2[high]

    def rate(self, yaw_deg: float) -> np.ndarray:
        """(478,) float64 detection rate for a view of this yaw."""
        low, high, share = self.between(yaw_deg)
        return (1 - share) * self.detection_rate[low].astype(np.float64) + share * self.detection_rate[high]

    def between(self, yaw_deg: float) -> tuple[int, int, float]:
        """(bin below, bin above, share of the one above) of a yaw; beyond the last bins those alone. RangeError for nan."""
        bins = self.yaw_bins_deg
        if not np.isfinite(yaw_deg):
            raise RangeError(expected="a yaw in degrees", got=repr(yaw_deg), do="pose the head first")
        low = int(np.clip(np.searchsorted(bins, yaw_deg, side="right") - 1, 0, max(len(bins) - 2, 0)))
        high = min(low + 1, len(bins) - 1)
        width = float(bins[high] - bins[low]) or 1.0
        return low, high, float(np.clip((yaw_deg - bins[low]) / width, 0.0, 1.0))

    def corners_and_weights(self, triangles: np.ndarray, yaw_deg: float) -> tuple[np.ndarray, np.ndarray]:
        """(478, 6) vertex indices and (478, 6) float64 weights that sum to 1: `points` as one mean of vertices."""
        low, high, share = self.between(yaw_deg)
        corners = np.concatenate([triangles[self.triangle_index[low]], triangles[self.triangle_index[high]]], 1)
        weights = np.concatenate([(1 - share) * self.barycentric[low], share * self.barycentric[high]], 1)
        return corners.astype(np.int64), weights.astype(np.float64)

    def _points_of_bin(self, vertices: np.ndarray, triangles: np.ndarray, index: int) -> np.ndarray:
        corners = vertices[triangles[self.triangle_index[index]]]
        return np.einsum("lk,lkc->lc", self.barycentric[index].astype(vertices.dtype), corners)


def seen_yaw_deg(camera_position: np.ndarray) -> float:
    """Yaw of the head as a camera at (3,) of the head frame sees it: positive where it stands at the subject's right.

    The head would look the same to a camera straight in front if it turned this far to its own left.
    """
    return float(np.degrees(np.arctan2(-camera_position[0], camera_position[2])))


def upright_rotation(R_cam_head: np.ndarray) -> np.ndarray:
    """(2, 2) rotation from a picture's axes (x right, y down) to those of the same picture turned until the head is upright.

    Upright: the head's +Y axis, seen by a camera with rotation R_cam_head (3, 3), has no component to the left or right.
    """
    right, down = R_cam_head[:2, 1]
    length = float(np.hypot(right, down))
    # Seen from straight above the head has no upright; the picture's own axes then serve.
    cosine, sine = (1.0, 0.0) if length < 1e-9 else (-down / length, right / length)
    return np.array([[cosine, sine], [-sine, cosine]])


def family(head_name: str) -> str:
    """The head model's own name in a name as given to `--head`: "anny" of "anny+1", "flame" of "flame:/path/to/file.npz"."""
    return head_name.split(":")[0].split("+")[0]


def detector_model_path(head: HeadModel, detector: str = "bundled", *, folder: Path = DATA_DIR) -> Path:
    """The model's file, named after the head's family, its topology (before any subdivision) and the detector."""
    return folder / f"{family(head.name)}-{coarse_topology(head).topology_hash}.{detector}.npz"


def save_detector_model(head: HeadModel, model: DetectorModel, *, folder: Path = DATA_DIR) -> Path:
    """Writes a model where `load_detector_model` looks for it, and returns the file.

    Stored to 1/65535 of a triangle's side, half-precision covariances and 1/255 of a rate. Raises ConventionError where the model
    was made for another topology, ShapeError where its arrays do not fit.
    """
    if model.topology_hash != head.topology_hash:
        raise ConventionError(
            expected=f"a calibration on the topology {head.topology_hash} of head {head.name!r}",
            got=f"one on {model.topology_hash}",
            do="calibrate on the same head model that you save for",
        )
    if coarse_topology(head).levels:
        raise ConventionError(
            expected="a calibration of a head as it is before subdivision",
            got=f"one of {head.name}",
            do="calibrate the head without its +1 or +2: subdivided ones take the same calibration over",
        )
    check_detector_model(model, len(head.triangles))
    first_two = np.round(model.barycentric[..., :2].astype(np.float64) * _STEPS).astype(np.int64)
    # Rounding both up could leave less than nothing for the third.
    first_two[..., 1] = np.minimum(first_two[..., 1], _STEPS - first_two[..., 0])
    covariance = model.covariance_mm2
    arrays = {
        "yaw_bins_deg": model.yaw_bins_deg.astype(np.float32),
        "triangle_index": model.triangle_index.astype(np.min_scalar_type(len(head.triangles))),
        "barycentric": first_two.astype(np.uint16),
        "covariance_mm2": np.stack([covariance[..., 0, 0], covariance[..., 0, 1], covariance[..., 1, 1]], -1).astype(np.float16),
        "detection_rate": np.round(model.detection_rate * 255).astype(np.uint8),
    }
    path = detector_model_path(head, model.detector, folder=folder)
    with written_beside(path) as beside, beside.open("wb") as file:
        np.savez_compressed(file, **arrays)
    return path


def load_detector_model(head: HeadModel, detector: str = "bundled", *, folder: Path | None = None) -> DetectorModel:
    """The calibration of a head and detector: that of the package, else the user's own, or that of `folder` alone.

    A subdivided head ("anny+1") takes over that of the head before: the same shares of the same triangles.

    Raises RangeError for an unknown detector, MissingAssetError where none was made for the head's topology, ArtifactError or
    ShapeError where the file is broken or does not fit the head.
    """
    if detector not in DETECTORS:
        raise RangeError(expected=f"a detector: {' or '.join(DETECTORS)}", got=repr(detector), do="use 'bundled', which needs no file")
    folders = (DATA_DIR, calibrations_dir()) if folder is None else (folder,)
    paths = [detector_model_path(head, detector, folder=folder) for folder in folders]
    path = next((path for path in paths if path.is_file()), None)
    if path is None:
        raise MissingAssetError(
            expected=f"where the detector {detector!r} sees the landmarks of head {head.name!r}: {' or '.join(map(str, paths))}",
            got="no such file",
            do=f"run: recon assets calibrate --head {head.name}" + ("" if detector == "bundled" else f" --detector {detector}"),
        )
    coarse = coarse_topology(head)
    model = check_detector_model(_read(path, head, detector), len(coarse.triangles))
    if coarse.levels == 0:
        return model
    index, barycentric = refined_places(model.triangle_index, model.barycentric, len(coarse.triangles), coarse.levels)
    return dataclasses.replace(model, topology_hash=head.topology_hash, triangle_index=index, barycentric=barycentric)


def calibrations_dir() -> Path:
    """Where the user's own calibrations lie."""
    from assets.home import data_home

    return data_home() / "calibrations"


def _read(path: Path, head: HeadModel, detector: str) -> DetectorModel:
    stored = read_arrays(path)
    names = ("yaw_bins_deg", "triangle_index", "barycentric", "covariance_mm2", "detection_rate")
    if stored is None or any(name not in stored for name in names):
        raise ArtifactError(expected=f"a calibration with {', '.join(names)}", got=f"{path}", do="delete it and calibrate the head anew")
    first_two = stored["barycentric"].astype(np.float64) / _STEPS
    xx, xy, yy = (stored["covariance_mm2"][..., k].astype(np.float32) for k in range(3))
    return DetectorModel(
        head_name=family(head.name),
        topology_hash=coarse_topology(head).topology_hash,
        detector=detector,
        yaw_bins_deg=stored["yaw_bins_deg"],
        triangle_index=stored["triangle_index"].astype(np.int32),
        barycentric=np.concatenate([first_two, 1 - first_two.sum(-1, keepdims=True)], -1).astype(np.float32),
        covariance_mm2=np.stack([np.stack([xx, xy], -1), np.stack([xy, yy], -1)], -2),
        detection_rate=stored["detection_rate"].astype(np.float32) / 255,
    )


def check_detector_model(model: DetectorModel, num_triangles: int) -> DetectorModel:
    """Returns the model after checking its arrays against each other and the number of triangles; else ShapeError."""
    bins, num = model.yaw_bins_deg, len(model.yaw_bins_deg)
    shapes = {
        "triangle_index": (num, NUM_LANDMARKS),
        "barycentric": (num, NUM_LANDMARKS, 3),
        "covariance_mm2": (num, NUM_LANDMARKS, 2, 2),
        "detection_rate": (num, NUM_LANDMARKS),
    }
    for name, shape in shapes.items():
        if getattr(model, name).shape != shape:
            _refuse(f"{name} {shape}", f"{getattr(model, name).shape}")
    if num < 1 or not np.array_equal(bins, -bins[::-1]) or (np.diff(bins) <= 0).any():
        _refuse("yaw bins that ascend and are symmetric about 0", f"{bins}")
    index, weights, rate = model.triangle_index, model.barycentric, model.detection_rate
    if index.min() < 0 or index.max() >= num_triangles:
        _refuse(f"triangles in 0..{num_triangles - 1}", f"{index.min()}..{index.max()}")
    if not (np.isfinite(weights).all() and np.allclose(weights.sum(-1), 1, atol=1e-4)):
        _refuse("barycentrics that sum to 1", f"sums {weights.sum(-1).min()}..{weights.sum(-1).max()}")
    variances = np.linalg.eigvalsh(model.covariance_mm2) if np.isfinite(model.covariance_mm2).all() else np.zeros(1)
    if not variances.min() > 0:
        _refuse("positive definite covariances", f"a variance of {variances.min():g} mm^2")
    if not ((rate >= 0) & (rate <= 1)).all():
        _refuse("detection rates in [0, 1]", f"{rate.min()}..{rate.max()}")
    return model


def _refuse(expected: str, got: str) -> None:
    raise ShapeError(expected=f"a calibration with {expected}", got=got, do="calibrate the head anew")


_STEPS = 65535
