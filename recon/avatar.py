"""The avatar: what a fit leaves, and how it is posed for the renderer."""

from __future__ import annotations

import dataclasses
import difflib
import functools
from collections.abc import Mapping
from typing import Literal

import numpy as np

from assets.drawn import drawn_triangles
from assets.errors import DegenerateGeometryError, InputError
from assets.head_model import HeadModel
from assets.landmarks import LandmarkEmbedding
from assets.posing import personal_deltas, pose_vertices
from recon.capture import ViewStatus
from recon.uncertainty import Uncertainty
from render.camera import Camera
from render.head_pose import head_pose_matrix
from render.mesh import Mesh
from render.sweep import Frame, Gaze, HeadPose, Light

NECK_REACH_M = 0.05
"""How far around the head's neck joint the vertices lie whose displacement the joint follows."""


@dataclasses.dataclass(frozen=True)
class ShapeEvidence:
    """What the capture says of one expression shape. Names without evidence are the head model's own, never seen."""

    num_views: int
    """Pictures in which the shape was at work."""
    num_instants: int
    """Instants of those pictures: the cameras of a rig that fire together see one instant."""
    max_weight: float
    """The largest fitted weight of it."""


@dataclasses.dataclass(frozen=True)
class NamedExpression:
    """An expression that this person makes, by a name that the user may change."""

    name: str
    weights: Mapping[str, float]
    """ARKit weights by name."""
    views: tuple[str, ...] = ()
    """Names of the pictures that show it."""
    meaning: str = ""
    """What it means, in the user's words; "" where nobody has said."""
    when: str = ""
    """When the person makes it, in the user's words; "" where nobody has said."""


@dataclasses.dataclass(frozen=True, eq=False)
class FittedView:
    """One picture of the capture after the solve."""

    name: str
    status: ViewStatus
    reason: str
    camera: Camera | None
    """None where the view could not be registered."""
    T_world_head: np.ndarray | None
    """(4, 4) head frame to world. Loose pictures: identity, the camera moves instead."""
    weights: Mapping[str, float]
    """Fitted ARKit weights by name."""
    residual_px: float
    """Median distance of the detected landmarks from the fitted mesh's, without the shift of each that all pictures share (where this
    person's brow paint, or the border of the lips, lies beside the head model's); nan where none were detected."""
    yaw_deg: float
    """Head pose as the camera sees it; nan where not registered."""
    pitch_deg: float
    roll_deg: float
    correction: np.ndarray | None = None
    """(V, 3) float32 metres, head frame: what the blendshapes miss of this picture's expression, on top of neutral and weights.

    Views of one instant share the array. None: the face is at rest, too little was measured, or the fit was a fast one.
    """
    gain_linear: tuple[float, float, float] | None = None
    """Exposure and white balance: the photo is gain x (light x albedo), linear R, G, B; None where unknown."""


@dataclasses.dataclass(frozen=True, eq=False)
class Avatar:
    """Satisfies render.Posable. World frame: the head frame of the neutral; for a calibrated rig the rig's own."""

    head: HeadModel
    identity_coeffs: np.ndarray
    """(I,) float32 unit variance."""
    offsets: np.ndarray
    """(V, 3) float32 metres, head frame: free-form displacement of the neutral beyond the identity basis."""
    scale: Literal["metric", "relative"]
    T_world_head: np.ndarray
    """(4, 4) float64 rigid: rest pose of the head in the world (identity for loose captures)."""
    landmarks: LandmarkEmbedding
    albedo_srgb: np.ndarray
    """(H, W, 3) uint8, row 0 is v = 1."""
    confidence: np.ndarray
    """(H, W) uint8: 0 filled in, 255 seen well."""
    light: Light
    views: tuple[FittedView, ...]
    notes: tuple[str, ...] = ()
    expression_scale: float = 1.0
    """Factor on the head model's blendshapes: what the solved head was multiplied by as a whole, its expressions included.

    1 where the solve set the size itself, as in a rig: its weights stand for the blendshapes in the head model's own size.
    """
    scale_error: float | None = None
    """Standard deviation of the size over the size; None where the scale is relative or its error unknown."""
    scale_source: str = ""
    """What gave a metric scale, in words: "the rig's cameras", or the distances that were stated; "" where nothing did."""
    uncertainty: Uncertainty | None = None
    """How far the neutral's surface may be off, by vertex and by area; None for avatars that were not fitted with it."""
    skin_labels: np.ndarray | None = None
    """(V,) uint8 into recon.solve.unlike_skin.LABELS: what the fit took each vertex for, and what it did not believe to be skin.

    None for avatars whose pictures were not matched.
    """
    normal_map: np.ndarray | None = None
    """(H, W, 3) uint8 tangent-space normals in glTF's convention: +X along u, +Y along v upwards, +Z outwards, (128, 128, 255)
    flat; row 0 is v = 1, chart of the albedo. None: none was made."""
    hair_mask: np.ndarray | None = None
    """(H, W) uint8 in the albedo's chart: 255 hair or scalp, 0 skin. None: none was made."""
    shape_corrections: Mapping[str, np.ndarray] = dataclasses.field(default_factory=dict)
    """(V, 3) float32 metres in this head's size by ARKit name: how this person's shape differs from the head model's, at weight 1.

    Names that are absent are the head model's own.
    """
    shape_evidence: Mapping[str, ShapeEvidence] = dataclasses.field(default_factory=dict)
    """What the capture says of each shape, by ARKit name; names that are absent were never seen."""
    expressions: tuple[NamedExpression, ...] = ()
    """The person's own expressions by name; no name stands twice."""

    @functools.cached_property
    def neutral(self) -> np.ndarray:
        """(V, 3) float32 metres, head frame: this person's head at rest."""
        return (self.head.neutral(self.identity_coeffs) + self.offsets).astype(np.float32)

    @functools.cached_property
    def eye_centres(self) -> np.ndarray:
        """(2, 3) float32 metres, head frame: centres of this person's left and right eyeball, about which gaze turns."""
        return self.head.eye_centres(self.neutral)

    @functools.cached_property
    def neck_joint(self) -> np.ndarray:
        """(3,) float32 metres, head frame: the point about which this person's head turns.

        The head model's joint, moved by the mean displacement of the vertices around it (Gaussian, NECK_REACH_M), so that a
        longer neck or a wider jaw takes the joint along; an identity of zero leaves it where the head model has it.
        """
        distance = np.linalg.norm(self.head.vertices - self.head.neck_joint, axis=1)
        near = np.exp(-0.5 * ((distance - distance.min()) / NECK_REACH_M) ** 2)
        moved = near @ (self.neutral - self.head.vertices) / near.sum()
        return (self.head.neck_joint + moved).astype(np.float32)

    @functools.cached_property
    def blendshape_deltas(self) -> np.ndarray:
        """(52, V, 3) float32 metres at weight 1: this person's shapes.

        The head model's in this head's size with `shape_corrections` added, and blinks that close its eyes. Raises RangeError for
        a correction of an unknown shape.
        """
        return personal_deltas(self.head, self.neutral, scale=self.expression_scale, corrections=self.shape_corrections)

    def vertices(self, weights: Mapping[str, float] | None = None, gaze: Gaze | None = None) -> np.ndarray:
        """(V, 3) float32 metres, head frame: the neutral with an expression and a gaze, lids kept outside the eyeballs.

        `eyeLook*` weights and the gaze add up: the weights displace the eyeball's vertices first, the gaze turns the result
        about the eyeballs' centres, and the lids follow it. Raises RangeError for an unknown name or a weight that is not finite.
        """
        yaw_deg, pitch_deg = (0.0, 0.0) if gaze is None else (gaze.yaw_deg, gaze.pitch_deg)
        scale = self.expression_scale
        return pose_vertices(
            self.head, self.neutral, self.blendshape_deltas, weights or {}, yaw_deg=yaw_deg, pitch_deg=pitch_deg, scale=scale
        )

    def pose(self, frame: Frame) -> Mesh:
        """The mesh of a sweep's frame in the world: expression, gaze, rigid turn about the neck joint, then T_world_head.

        Lashes are left out (assets/drawn.py). The head is cut at the neck and turns as one piece; a frame's head pose is relative
        to the avatar's rest pose.
        """
        return self._mesh(transform_points(self.T_world_head, self.frame_vertices(frame)), drawn_triangles(self.head))

    def frame_vertices(self, frame: Frame) -> np.ndarray:
        """(V, 3) metres, head frame: expression, gaze and head pose of a sweep's frame, before T_world_head; its camera plays no part."""
        vertices = self.vertices(frame.weights, frame.gaze)
        if frame.head_pose == HeadPose():
            return vertices
        turn = head_pose_matrix(frame.head_pose)
        return (vertices - self.neck_joint) @ turn.T + self.neck_joint

    def view_vertices(self, view: FittedView) -> np.ndarray:
        """(V, 3) float32 metres, head frame: the head as fitted to one picture, its correction included."""
        vertices = self.vertices(view.weights)
        return vertices if view.correction is None else (vertices + view.correction).astype(np.float32)

    def mesh(
        self, weights: Mapping[str, float] | None = None, frame: Literal["head", "world"] = "head", *, view: str | None = None
    ) -> Mesh:
        """The whole mesh, lashes included, with an expression, in the head frame or at the rest pose in the world.

        `view` names a picture of the capture instead: its expression, correction and, in the world, its head pose. Raises
        InputError for a name that is not among the views or beside weights, DegenerateGeometryError for a view not registered.
        """
        if view is None:
            vertices, T_world_head = self.vertices(weights), self.T_world_head
        elif weights is not None:
            raise InputError(expected="weights or a view", got=f"weights and the view {view!r}", do="give one of the two")
        else:
            fitted = self.view_named(view)
            vertices, T_world_head = self.view_vertices(fitted), _pose_of(fitted)
        return self._mesh(vertices if frame == "head" else transform_points(T_world_head, vertices), self.head.triangles)

    def view_named(self, name: str) -> FittedView:
        """The view of a name; raises InputError, with the nearest name, where there is none."""
        for view in self.views:
            if view.name == name:
                return view
        names = [view.name for view in self.views]
        near = difflib.get_close_matches(name, names, 1) or names[:1]
        raise InputError(
            expected="the name of a picture of the capture", got=repr(name), do=f"try {near[0]!r}" if near else "the avatar has no views"
        )

    def posed_view(self, name: str) -> Mesh:
        """`pose_view` of the view of a name."""
        return self.pose_view(self.view_named(name))

    def pose_view(self, view: FittedView) -> Mesh:
        """The mesh as fitted to one picture of the capture, in the world; raises where the view was not registered."""
        return self._mesh(transform_points(_pose_of(view), self.view_vertices(view)), drawn_triangles(self.head))

    def _mesh(self, vertices: np.ndarray, triangles: np.ndarray) -> Mesh:
        head = self.head
        return Mesh(vertices.astype(np.float32), triangles, head.uvs, head.triangle_uvs, head.triangle_parts)


def _pose_of(view: FittedView) -> np.ndarray:
    if view.T_world_head is None:
        raise DegenerateGeometryError(
            expected="a view that the solve registered",
            got=f"view {view.name!r} with status {view.status!r} and no head pose",
            do="choose another view, or look in the report why this one was not registered",
        )
    return view.T_world_head


def transform_points(T_a_b: np.ndarray, points_b: np.ndarray) -> np.ndarray:
    """(..., 3) points of frame b expressed in frame a by the 4 x 4 matrix T_a_b."""
    return points_b @ T_a_b[:3, :3].T + T_a_b[:3, 3]
