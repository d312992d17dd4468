"""What a head's parts are made of in a GLB: one material for each kind of surface, all with the head's one albedo.

Roughness is that of glTF's metallic-roughness model (Khronos, glTF 2.0, section 3.9.2 and appendix B); every part is a dielectric.
"""

from __future__ import annotations

import dataclasses
import io
from typing import Any

import numpy as np
from PIL import Image

from assets.head_model import PARTS
from recon.avatar import Avatar
from recon.export.glb_buffers import GlbBuffers
from recon.export.occlusion import occlusion_map


@dataclasses.dataclass(frozen=True)
class PartMaterial:
    """One material and the parts that have it."""

    name: str
    parts: tuple[str, ...]
    """Names of PARTS."""
    roughness: float
    """0 a mirror, 1 chalk."""
    double_sided: bool = False
    """Whether the back of a triangle is drawn: surfaces that are seen from both sides, or are thin sheets."""

    def triangles(self, triangle_parts: np.ndarray) -> np.ndarray:
        """(F,) bool: the triangles of (F,) part ids that have this material."""
        return np.isin(triangle_parts, [PARTS.index(part) for part in self.parts])


MATERIALS = (
    PartMaterial("skin", ("skin",), 0.6),
    # Cornea, teeth and tongue are wet: their highlights are small and bright, and move when the head turns.
    PartMaterial("eyes", ("eye_left", "eye_right"), 0.1),
    PartMaterial("teeth", ("teeth_upper", "teeth_lower"), 0.25),
    PartMaterial("tongue", ("tongue",), 0.4),
    PartMaterial("mouth", ("mouth_socket",), 0.6, double_sided=True),
    PartMaterial("lashes", ("lashes",), 0.9, double_sided=True),
)
"""Every part but the background has one."""


def has_normal_map(avatar: Avatar, material: PartMaterial) -> bool:
    """Whether a material has the avatar's normal map: skin alone, since it is made from photos of skin."""
    return avatar.normal_map is not None and material.name == "skin"


def add_materials(buffers: GlbBuffers, avatar: Avatar, used: list[PartMaterial]) -> dict[str, Any]:
    """The document's materials, in the order of `used`, with textures, samplers and images; the pictures' bytes go into `buffers`."""
    images = [("albedo", avatar.albedo_srgb), ("occlusion", occlusion_map(avatar))]
    images += [] if avatar.normal_map is None else [("normal", avatar.normal_map)]
    return {
        "materials": [_material(material, has_normal_map(avatar, material)) for material in used],
        "textures": [{"source": index, "sampler": 0} for index in range(len(images))],
        "samplers": [{"magFilter": 9729, "minFilter": 9987, "wrapS": 33071, "wrapT": 33071}],
        "images": [{"bufferView": buffers.add_bytes(_png(image)), "mimeType": "image/png", "name": name} for name, image in images],
    }


def _material(material: PartMaterial, with_normals: bool) -> dict[str, Any]:
    shading = {"baseColorTexture": {"index": 0}, "metallicFactor": 0.0, "roughnessFactor": material.roughness}
    record: dict[str, Any] = {"name": material.name, "pbrMetallicRoughness": shading, "occlusionTexture": {"index": 1}}
    if with_normals:
        record["normalTexture"] = {"index": 2}
    return record | ({"doubleSided": True} if material.double_sided else {})


def _png(image: np.ndarray) -> bytes:
    stream = io.BytesIO()
    Image.fromarray(np.ascontiguousarray(image)).save(stream, "PNG")
    return stream.getvalue()
