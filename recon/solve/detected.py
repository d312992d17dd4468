"""What a calibrated detector says about one view: where its landmarks lie on the head seen from there, and how well each."""

from __future__ import annotations

import dataclasses

import numpy as np

from assets.detector_model import DetectorModel, upright_rotation
from assets.head_model import HeadModel
from recon.solve.deformable import DeformableHead
from recon.solve.residuals import Projection, SurfaceSamples, sample_surface

MIN_RELATIVE_SD = 0.5
"""Landmarks with less noise than this share of the frontal median are not believed further: they come from few sightings."""


@dataclasses.dataclass(frozen=True, eq=False)
class DetectedLandmarks:
    """A detector's calibration, sampled once so that a step needs no vertex arrays."""

    model: DetectorModel
    bins: tuple[SurfaceSamples, ...]
    """(B,) the surface points of each yaw bin."""
    reference_mm2: float
    """Median variance of a landmark in frontal pictures: what counts as weight 1."""

    def at(self, yaw_deg: float) -> SurfaceSamples:
        """The surface points seen at a yaw: means of two bins, hence six corners each."""
        low, high, share = self.model.between(yaw_deg)
        a, b = self.bins[low], self.bins[high]
        return SurfaceSamples(
            corners=np.concatenate([a.corners, b.corners], 1),
            barycentric=np.concatenate([(1 - share) * a.barycentric, share * b.barycentric], 1),
            modes=np.float32(1 - share) * a.modes + np.float32(share) * b.modes,
            shapes=np.float32(1 - share) * a.shapes + np.float32(share) * b.shapes,
        )

    def weight(self, yaw_deg: float) -> np.ndarray:
        """(478,) about 1 for a good landmark of a frontal picture: detection rate times reference over mean variance."""
        variance = np.trace(self.model.covariance(yaw_deg), axis1=1, axis2=2) / 2
        return self.model.rate(yaw_deg) / np.maximum(variance / self.reference_mm2, MIN_RELATIVE_SD**2)

    def whitening(self, yaw_deg: float, R_cam_head: np.ndarray) -> np.ndarray:
        """(478, 2, 2) from pixel residuals to ones whose two coordinates are equally noisy and independent; determinant 1.

        The covariances are those of the upright picture, hence the rotation of the head against the camera (3, 3).
        """
        variances, axes = np.linalg.eigh(self.model.covariance(yaw_deg))
        relative = np.sqrt(variances.prod(1) ** 0.5)[:, None] / np.sqrt(variances)
        return relative[:, :, None] * np.transpose(axes, (0, 2, 1)) @ upright_rotation(R_cam_head)


def sample_detector(head: HeadModel, deformable: DeformableHead, model: DetectorModel) -> DetectedLandmarks:
    """Sample a calibration on the head that it was made for."""
    bins = [
        sample_surface(head.triangles[index].astype(np.int64), barycentric.astype(np.float64), deformable.modes, deformable.shapes)
        for index, barycentric in zip(model.triangle_index, model.barycentric, strict=True)
    ]
    frontal = model.covariance_mm2[len(bins) // 2]
    return DetectedLandmarks(model, tuple(bins), float(np.median(np.trace(frontal, axis1=1, axis2=2)) / 2))


def whitened(projection: Projection, whitening: np.ndarray) -> Projection:
    """Derivatives of the whitened residuals; the pixels stay what they are."""
    return dataclasses.replace(
        projection,
        d_point=whitening @ projection.d_point,
        d_log_focal=whitening @ projection.d_log_focal,
        d_pose=whitening @ projection.d_pose,
    )
