"""Generation with the real diffusers classes at toy size."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from assets.errors import MissingAssetError, RangeError, ShapeError
from conditioning.diffusion import generate as generate_module
from conditioning.diffusion.generate import generate
from conditioning.diffusion.loading import load_pipeline
from tests.conditioning.conftest import random_bundle


def draw(settings, *bundles, **options):
    return [frame.rgb for frame in generate(bundles, settings, **options)]


def one_net(settings):
    return dataclasses.replace(
        settings,
        controlnets=settings.controlnets[:1],
        kinds=("depth",),
        controlnet_conditioning_scale=(1.0,),
        control_guidance_start=(0.0,),
        control_guidance_end=(1.0,),
    )


def with_picture_of(bundle, other, kind):
    replaced = {image.kind: image for image in other.images}
    return dataclasses.replace(bundle, images=tuple(replaced[kind] if image.kind == kind else image for image in bundle.images))


def test_text_to_image_with_two_nets_is_deterministic_and_of_the_asked_size(settings):
    bundle = random_bundle(width=64, height=48)
    first, second = draw(settings, bundle)[0], draw(settings, bundle)[0]
    assert first.shape == (48, 64, 3) and first.dtype == np.uint8
    assert first.tobytes() == second.tobytes()
    assert first.std() > 1


def test_seed_prompt_and_start_picture_change_the_frame(settings):
    bundle = random_bundle()
    text = draw(settings, bundle)[0]
    assert (draw(dataclasses.replace(settings, seed=1), bundle)[0] != text).any()
    assert (draw(settings, bundle, prompts={"0000": "smiling"})[0] != text).any()
    low, high = (dataclasses.replace(settings, strength=strength) for strength in (0.5, 1.0))
    other = dataclasses.replace(bundle, init_srgb=255 - bundle.init_srgb)
    assert (draw(low, bundle)[0] != text).any()
    assert (draw(low, other)[0] != draw(low, bundle)[0]).any()
    # With full strength and zero terminal signal nothing of the start picture is left.
    np.testing.assert_array_equal(draw(high, other)[0], draw(high, bundle)[0])


def test_image_to_image_with_one_net(settings):
    frame = draw(dataclasses.replace(one_net(settings), strength=0.6), random_bundle())[0]
    assert frame.shape == (64, 64, 3)


def test_zero_scale_removes_exactly_that_nets_influence(settings):
    bundle = random_bundle()
    changed = with_picture_of(bundle, random_bundle(seed=9), "mediapipe_face")
    both = draw(settings, bundle)[0]
    assert (draw(settings, changed)[0] != both).any()
    first_only = dataclasses.replace(settings, controlnet_conditioning_scale=(1.0, 0.0))
    silenced = draw(first_only, bundle)[0]
    np.testing.assert_array_equal(silenced, draw(first_only, changed)[0])
    np.testing.assert_array_equal(silenced, draw(one_net(settings), bundle)[0])
    assert (silenced != both).any()


def test_frames_share_the_seed_unless_asked_and_the_pipeline_is_loaded_once(settings, monkeypatch):
    loads = []
    monkeypatch.setattr(generate_module, "load_pipeline", lambda given: loads.append(1) or load_pipeline(given))
    same = dataclasses.replace(random_bundle(), name="0001")
    told = []
    frames = list(generate([random_bundle(), same], settings, progress=lambda *call: told.append(call)))
    assert [frame.seed for frame in frames] == [0, 0] and frames[0].rgb.tobytes() == frames[1].rgb.tobytes()
    frames = list(generate([random_bundle(), same], dataclasses.replace(settings, seed=5, seed_per_frame=True)))
    assert [frame.seed for frame in frames] == [5, 6] and frames[0].rgb.tobytes() != frames[1].rgb.tobytes()
    assert [frame.name for frame in frames] == ["0000", "0001"]
    assert len(loads) == 2 and told == [("generate", 1, 2), ("generate", 2, 2)]


@pytest.fixture
def no_weights(monkeypatch):
    def fail(settings):
        pytest.fail("weights were touched")

    monkeypatch.setattr(generate_module, "load_pipeline", fail)


@pytest.mark.usefixtures("no_weights")
@pytest.mark.parametrize("name", ["kinds", "controlnet_conditioning_scale", "control_guidance_start", "control_guidance_end"])
def test_list_of_wrong_length_is_refused_by_name(settings, name):
    wrong = dataclasses.replace(settings, **{name: getattr(settings, name) + getattr(settings, name)[:1]})
    with pytest.raises(RangeError, match=f"2 values in {name}") as caught:
        generate([random_bundle()], wrong)
    assert "3:" in caught.value.got


@pytest.mark.usefixtures("no_weights")
def test_numbers_out_of_range_are_refused(settings):
    for change in (
        {"strength": 0.0},
        {"strength": 1.5},
        {"strength": 0.1, "num_inference_steps": 5},
        {"num_inference_steps": 0},
        {"controlnet_conditioning_scale": (1.0, np.nan)},
        {"control_guidance_end": (1.0, 0.0)},
        {"controlnets": ()},
    ):
        with pytest.raises(RangeError):
            generate([random_bundle()], dataclasses.replace(settings, **change))


@pytest.mark.usefixtures("no_weights")
def test_wrong_size_wrong_kind_and_missing_start_picture_are_refused(settings):
    def first(bundle, **changes):
        return next(iter(generate([bundle], dataclasses.replace(settings, **changes))))

    bundle, low = random_bundle(), np.zeros((60, 64, 3), np.uint8)
    odd = dataclasses.replace(bundle, images=tuple(dataclasses.replace(image, rgb=low) for image in bundle.images), init_srgb=None)
    lone = dataclasses.replace(bundle, images=bundle.images[:1])
    with pytest.raises(ShapeError, match="multiples of 8"):
        first(odd)
    with pytest.raises(ShapeError, match="96x64"):
        first(random_bundle(), width=96)
    with pytest.raises(RangeError, match="no mediapipe_face"):
        first(lone)
    with pytest.raises(RangeError, match="lit render"):
        first(dataclasses.replace(random_bundle(), init_srgb=None), strength=0.5)


def test_pictures_go_to_the_net_that_wants_their_kind_whatever_the_order_of_the_bundle(settings):
    bundle = random_bundle()
    turned = dataclasses.replace(bundle, images=bundle.images[::-1])
    np.testing.assert_array_equal(draw(settings, bundle)[0], draw(settings, turned)[0])


def test_unknown_model_folder_is_a_three_part_message(settings, tmp_path):
    empty = tmp_path / "empty"
    empty.mkdir()
    for folder in (tmp_path / "nowhere", empty):
        with pytest.raises(MissingAssetError, match="unknown model folder") as caught:
            draw(dataclasses.replace(settings, model=str(folder)), random_bundle())
        assert str(folder) in caught.value.got and caught.value.expected and "hub name" in caught.value.do
    with pytest.raises(MissingAssetError, match="unknown ControlNet folder"):
        draw(dataclasses.replace(settings, controlnets=(str(empty), settings.controlnets[1])), random_bundle())


def test_hub_name_that_is_not_here_says_how_to_get_it(settings):
    with pytest.raises(MissingAssetError, match="hf download nobody/nothing"):
        draw(dataclasses.replace(settings, model="nobody/nothing"), random_bundle())
    with pytest.raises(MissingAssetError, match="ControlNet 'nobody/net'"):
        draw(dataclasses.replace(settings, controlnets=("nobody/net", settings.controlnets[1])), random_bundle())


def test_model_of_another_family_is_refused(settings, tmp_path):
    (tmp_path / "model_index.json").write_text('{"_class_name": "FluxPipeline"}')
    with pytest.raises(MissingAssetError, match="FluxPipeline"):
        draw(dataclasses.replace(settings, model=str(tmp_path)), random_bundle())
    (tmp_path / "model_index.json").write_text("not json")
    with pytest.raises(MissingAssetError, match="download the model again"):
        draw(dataclasses.replace(settings, model=str(tmp_path)), random_bundle())


@pytest.mark.filterwarnings("error::FutureWarning")
def test_a_pipeline_loads_in_the_asked_precision_without_words_that_its_library_will_drop(settings):
    """The suite ignores such warnings elsewhere; the person at the terminal sees them."""
    import torch

    halved = load_pipeline(dataclasses.replace(settings, dtype="bfloat16"))
    parts = (halved.unet, halved.vae, halved.text_encoder, *halved.controlnet.nets)  # type: ignore[attr-defined]
    assert {part.dtype for part in parts} == {torch.bfloat16}
