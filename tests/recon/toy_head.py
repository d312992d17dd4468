"""A small made-up head for tests: an egg with a nose, two eyeballs, a plate of teeth, all 52 shapes but two; compiled in milliseconds."""

from __future__ import annotations

import numpy as np

from assets.blendshapes import ARKIT_BLENDSHAPES
from assets.head_model import PARTS, HeadModel
from assets.landmarks import LandmarkEmbedding
from recon.avatar import Avatar
from render.sweep import Light

ABSENT = ("tongueOut", "cheekPuff")
EYE_RADIUS_M = 0.012


def sphere(rows: int, columns: int, box: tuple[float, float, float, float]) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Unit sphere with +Z in the middle of its chart: vertices (V,3), triangles, uvs (T,2) inside box (u0,v0,u1,v1), triangle_uvs."""
    polar = np.pi * np.arange(1, rows) / rows
    turn = 2 * np.pi * np.arange(columns) / columns - np.pi
    grid = np.stack(np.broadcast_arrays(
        np.sin(polar)[:, None] * np.sin(turn), np.cos(polar)[:, None] + 0 * turn, np.sin(polar)[:, None] * np.cos(turn)), -1)  # fmt: skip
    vertices = np.concatenate([[[0, 1, 0]], grid.reshape(-1, 3), [[0, -1, 0]]])
    last = len(vertices) - 1

    def vertex(r: int, c: int) -> int:
        return 0 if r == 0 else last if r == rows else 1 + (r - 1) * columns + c % columns

    def uv(r: int, c: int) -> int:
        return r * (columns + 1) + c

    u, v = np.linspace(box[0], box[2], columns + 1), np.linspace(box[3], box[1], rows + 1)
    uvs = np.stack(np.meshgrid(u, v), -1).reshape(-1, 2)
    triangles, triangle_uvs = [], []
    for r in range(rows):
        for c in range(columns):
            quad = [(r, c), (r + 1, c), (r + 1, c + 1), (r, c + 1)]
            for corners in ((quad[0], quad[1], quad[2]), (quad[0], quad[2], quad[3])):
                ids = [vertex(*corner) for corner in corners]
                if len(set(ids)) == 3:
                    triangles.append(ids)
                    triangle_uvs.append([uv(*corner) for corner in corners])
    return vertices, np.array(triangles, np.int32), uvs, np.array(triangle_uvs, np.int32)


def toy_head(rows: int = 48, columns: int = 64, seed: int = 3) -> HeadModel:
    """Deterministic; about 3,600 vertices. The skin's chart is [0,1] x [0.25,1], the eyes' charts lie below it."""
    skin, skin_t, skin_uv, skin_tuv = sphere(rows, columns, (0.0, 0.25, 1.0, 1.0))
    nose = np.exp(-0.5 * ((skin[:, 0] / 0.16) ** 2 + ((skin[:, 1] + 0.3) / 0.2) ** 2)) * (skin[:, 2] > 0)
    skin = skin * (0.075, 0.11, 0.09) + (0, -0.01, -0.073) + nose[:, None] * (0, -0.004, 0.018)
    ball, ball_t, ball_uv, ball_tuv = sphere(12, 16, (0.05, 0.02, 0.45, 0.22))
    eyes = [ball * EYE_RADIUS_M + (sign * 0.032, 0.0, 0.0) for sign in (1, -1)]
    plate = np.array([[-0.02, -0.06, -0.03], [0.02, -0.06, -0.03], [0.02, -0.05, -0.03], [-0.02, -0.05, -0.03]])
    pieces = [
        (skin, skin_t, skin_uv, skin_tuv, "skin"),
        (eyes[0], ball_t, ball_uv, ball_tuv, "eye_left"),
        (eyes[1], ball_t, ball_uv + (0.5, 0), ball_tuv, "eye_right"),
        (plate, np.array([[0, 1, 2], [0, 2, 3]]), plate[:, :2] * (0.2, 1) + (0.5, 0.06), np.array([[0, 1, 2], [0, 2, 3]]), "teeth_upper"),
    ]
    starts = np.cumsum([0] + [len(piece[0]) for piece in pieces])
    uv_starts = np.cumsum([0] + [len(piece[2]) for piece in pieces])
    vertices = np.concatenate([piece[0] for piece in pieces])
    vertex_parts = np.concatenate([np.full(len(piece[0]), PARTS.index(piece[4])) for piece in pieces]).astype(np.uint8)
    mirrored = np.abs(vertices[:, None] * (-1, 1, 1) - vertices[None]).sum(-1).argmin(1)
    return HeadModel(
        name="toy",
        source="tests",
        licence="CC0",
        commercial=True,
        vertices=vertices.astype(np.float32),
        triangles=np.concatenate([piece[1] + start for piece, start in zip(pieces, starts, strict=False)]).astype(np.int32),
        uvs=np.concatenate([piece[2] for piece in pieces]).astype(np.float32),
        triangle_uvs=np.concatenate([piece[3] + start for piece, start in zip(pieces, uv_starts, strict=False)]).astype(np.int32),
        triangle_parts=np.concatenate([np.full(len(piece[1]), PARTS.index(piece[4])) for piece in pieces]).astype(np.uint8),
        vertex_parts=vertex_parts,
        vertex_regions=np.where(vertex_parts == 1, np.where(vertices[:, 2] > -0.073, 1, 3), 0).astype(np.uint8),
        identity_names=("wide", "long", "lopsided"),
        identity_basis=(
            vertices[None] * np.array([[[0.05, 0, 0]], [[0, 0.06, 0]], [[0, 0, 0.0]]])
            + np.array([0, 0, 1])[:, None, None] * (vertices[:, :1] > 0) * (0, 0.002, 0)
        ).astype(np.float32),
        blendshape_deltas=_deltas(vertices, vertex_parts, np.random.default_rng(seed)),
        absent_blendshapes=ABSENT,
        absent_parts=("teeth_lower", "tongue", "mouth_socket", "lashes"),
        neck_joint=np.array([0, -0.1, -0.07], np.float32),
        mirror_vertices=mirrored.astype(np.int32),
    )


def _deltas(vertices: np.ndarray, parts: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """A smooth bump of up to 5 mm for each shape; jawOpen moves the lower face down by 10 mm. Eyeballs stay where they are."""
    deltas = np.zeros((len(ARKIT_BLENDSHAPES), len(vertices), 3), np.float32)
    for index, name in enumerate(ARKIT_BLENDSHAPES):
        if name in ABSENT:
            continue
        centre = vertices[rng.integers((parts == 1).sum())]
        near = np.exp(-0.5 * (np.linalg.norm(vertices - centre, axis=1) / 0.02) ** 2)
        deltas[index] = (near * (parts == 1))[:, None] * rng.uniform(-0.005, 0.005, 3)
    low = np.clip((-0.03 - vertices[:, 1]) / 0.02, 0, 1) * (parts == 1)
    deltas[ARKIT_BLENDSHAPES.index("jawOpen")] = low[:, None] * (0, -0.01, 0)
    return deltas


def toy_avatar(head: HeadModel | None = None, *, seed: int = 5, **changes) -> Avatar:
    """An avatar with arbitrary, asymmetric content everywhere; `changes` replace fields."""
    head, rng = head or toy_head(), np.random.default_rng(seed)
    barycentric = rng.dirichlet((1, 1, 1), 478).astype(np.float32)
    landmarks = LandmarkEmbedding(
        scheme="mediapipe478",
        topology_hash=head.topology_hash,
        triangle_index=rng.integers(len(head.triangles), size=478).astype(np.int32),
        barycentric=barycentric,
        spread_mm=np.where(np.arange(478) % 50 == 7, np.inf, 1.5).astype(np.float32),
    )
    fields = {
        "head": head,
        "identity_coeffs": np.array([0.5, -0.3, 1.0], np.float32),
        "offsets": rng.normal(0, 2e-4, head.vertices.shape).astype(np.float32),
        "scale": "relative",
        "T_world_head": np.eye(4),
        "landmarks": landmarks,
        "albedo_srgb": rng.integers(0, 256, (64, 64, 3), dtype=np.uint8),
        "confidence": rng.integers(0, 256, (64, 64), dtype=np.uint8),
        "light": Light(rng.normal(size=(9, 3)).astype(np.float32)),
        "views": (),
    }
    return Avatar(**(fields | changes))
