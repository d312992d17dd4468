"""A tiny untrained checkpoint of the real diffusers classes, and render buffers made by hand."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from conditioning.control_image import ControlBundle, ControlImage
from conditioning.diffusion.settings import GenerateSettings
from render.buffers import Fragments, RenderBuffers
from render.camera import Camera
from render.mesh import Mesh

SIDE = 64


@pytest.fixture(scope="session")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder with model/, depth/ and mediapipe_face/: random weights, and ControlNets whose outputs are not zero."""
    import torch
    from diffusers import StableDiffusionPipeline

    from conditioning.diffusion.tiny_models import TinySize, build_autoencoder, build_controlnet, build_scheduler, build_unet
    from conditioning.diffusion.tiny_text import build_text_encoder, write_tokenizer

    folder = tmp_path_factory.mktemp("checkpoint")
    vocabulary = tmp_path_factory.mktemp("vocabulary")
    size = TinySize(latent_channels=4, unet_channels=(16, 32), text_channels=16)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(3)
        tokenizer = write_tokenizer(vocabulary, ["photo of the person, smiling"])
        unet = build_unet(size)
        pipeline = StableDiffusionPipeline(
            vae=build_autoencoder(size),
            text_encoder=build_text_encoder(tokenizer, size.text_channels),
            tokenizer=tokenizer,
            unet=unet,
            scheduler=build_scheduler(),
            safety_checker=None,
            feature_extractor=None,
            requires_safety_checker=False,
        )
        pipeline.save_pretrained(folder / "model")
        for kind in ("depth", "mediapipe_face"):
            net = build_controlnet(unet)
            for convolution in (*net.controlnet_down_blocks, net.controlnet_mid_block):
                torch.nn.init.normal_(convolution.weight, std=0.5)
            net.save_pretrained(folder / kind)
    return folder


@pytest.fixture
def settings(checkpoint: Path) -> GenerateSettings:
    return GenerateSettings(
        model=str(checkpoint / "model"),
        controlnets=(str(checkpoint / "depth"), str(checkpoint / "mediapipe_face")),
        num_inference_steps=2,
        guidance_scale=2.0,
        device="cpu",
        local_files_only=True,
    )


def random_bundle(name: str = "0000", *, seed: int = 0, width: int = SIDE, height: int = SIDE) -> ControlBundle:
    """Control pictures and a start picture of random blocks."""
    rng = np.random.default_rng(seed)

    def picture() -> np.ndarray:
        return np.kron(rng.integers(0, 256, (height // 8, width // 8, 3)), np.ones((8, 8, 1))).astype(np.uint8)

    images = (ControlImage("depth", "disparity", name, picture()), ControlImage("mediapipe_face", "crucibleai", name, picture()))
    return ControlBundle(name, images, picture())


def hand_buffers(depth: np.ndarray, landmarks_px: np.ndarray, depth_range_m: tuple[float, float]) -> RenderBuffers:
    """Buffers of a frame where only depth, landmarks and the lit picture say something."""
    height, width = depth.shape
    camera = Camera(np.array([[100.0, 0, width / 2], [0, 100.0, height / 2], [0, 0, 1]]), np.eye(4), width, height)
    mask = np.isfinite(depth)
    vector, colour = np.full((height, width, 3), np.nan, np.float32), np.full((height, width, 3), 77, np.uint8)
    mesh = Mesh(
        np.zeros((3, 3), np.float32),
        np.array([[0, 1, 2]], np.int32),
        np.zeros((3, 2), np.float32),
        np.array([[0, 1, 2]], np.int32),
        np.array([1], np.uint8),
    )
    return RenderBuffers(
        name="0007",
        camera=camera,
        mesh=mesh,
        fragments=Fragments(np.where(mask, 0, -1).astype(np.int32), vector, depth),
        mask=mask,
        alpha=mask.astype(np.float32),
        depth=depth,
        distance=depth,
        position_world=vector,
        normal_world=vector,
        normal_cam=vector,
        uv=vector[..., :2],
        part_id=mask.astype(np.uint8),
        albedo_srgb=colour,
        beauty_srgb=colour,
        landmarks_world=np.zeros((478, 3), np.float32),
        landmarks_px=landmarks_px,
        landmarks_visible=np.ones(478, bool),
        depth_range_m=depth_range_m,
    )
