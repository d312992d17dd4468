"""BlendshapeWeights: by name only, immutable, and usable wherever a mapping of weights is."""

from __future__ import annotations

import copy
import pickle

import numpy as np
import pytest

from assets.blendshapes import ARKIT_BLENDSHAPES, BlendshapeWeights, weights_to_vector
from assets.errors import RangeError, ShapeError
from assets.heads import load_head


def test_unknown_names_fail_with_the_nearest_valid_one():
    for wrong, right in {"jawopen": "jawOpen", "eyeBlink_L": "eyeBlinkLeft", "MouthSmileRight": "mouthSmileRight"}.items():
        with pytest.raises(RangeError, match=f"did you mean '{right}'"):
            BlendshapeWeights({wrong: 0.5})


def test_looking_up_an_unknown_name_fails_too_while_one_not_given_is_just_absent():
    weights = BlendshapeWeights(jawOpen=0.5)
    assert weights.get("jawLeft", 0.0) == 0.0 and "jawLeft" not in weights and "jawOpen" in weights
    with pytest.raises(RangeError, match="did you mean 'jawOpen'"):
        weights.get("jawopen", 0.0)


@pytest.mark.parametrize("weight", [float("nan"), float("inf"), -float("inf")])
def test_weights_that_are_not_finite_are_refused(weight):
    with pytest.raises(RangeError, match="jawOpen"):
        BlendshapeWeights(jawOpen=weight)
    vector = np.zeros(52)
    vector[17] = weight
    with pytest.raises(RangeError, match="jawOpen"):
        BlendshapeWeights.from_vector(vector, above=0.1)


@pytest.mark.parametrize("weight", ["0.5", None, [0.5, 0.1]])
def test_weights_that_are_no_numbers_are_refused(weight):
    with pytest.raises(RangeError, match="a finite weight for jawOpen"):
        BlendshapeWeights({"jawOpen": weight})


def test_copies_and_pickles_are_equal():
    """As `dataclasses.asdict` and worker processes make them."""
    weights = BlendshapeWeights(jawOpen=0.5, eyeBlinkLeft=1.0)
    for other in (copy.copy(weights), copy.deepcopy(weights), pickle.loads(pickle.dumps(weights))):
        assert type(other) is BlendshapeWeights and other == weights and hash(other) == hash(weights)


def test_nothing_can_be_changed_afterwards():
    given = {"jawOpen": 0.5}
    weights = BlendshapeWeights(given)
    given["jawOpen"] = 0.9
    assert weights["jawOpen"] == 0.5
    with pytest.raises(TypeError):
        weights["jawOpen"] = 0.9  # pyright: ignore[reportIndexIssue]
    with pytest.raises(AttributeError, match="cannot be changed"):
        weights._by_name = {}  # pyright: ignore[reportAttributeAccessIssue]
    with pytest.raises(AttributeError):
        weights.jawOpen = 0.9  # pyright: ignore[reportAttributeAccessIssue]


def test_vectors_are_in_arkits_order_and_come_back():
    weights = BlendshapeWeights(tongueOut=0.25, eyeBlinkLeft=1.0, jawLeft=-0.5)
    vector = weights.vector()
    assert vector.dtype == np.float32 and vector[0] == 1.0 and vector[51] == 0.25 and vector[16] == -0.5
    assert np.count_nonzero(vector) == 3
    assert BlendshapeWeights.from_vector(vector) == weights
    assert BlendshapeWeights.from_vector(vector, above=0.3) == {"eyeBlinkLeft": 1.0, "jawLeft": -0.5}


def test_a_vector_of_another_length_is_refused():
    with pytest.raises(ShapeError, match="52"):
        BlendshapeWeights.from_vector(np.zeros(57))


def test_mirroring_swaps_sides_and_leaves_the_middle():
    weights = BlendshapeWeights(mouthSmileLeft=0.7, eyeBlinkRight=0.2, jawOpen=0.4, jawLeft=0.1)
    assert weights.mirrored() == {"mouthSmileRight": 0.7, "eyeBlinkLeft": 0.2, "jawOpen": 0.4, "jawRight": 0.1}
    assert weights.mirrored().mirrored() == weights


def test_equal_weights_are_equal_and_hash_alike_in_any_order():
    first, second = BlendshapeWeights(jawOpen=0.5, browInnerUp=0.1), BlendshapeWeights(browInnerUp=0.1, jawOpen=0.5)
    assert first == second == {"jawOpen": 0.5, "browInnerUp": 0.1} and hash(first) == hash(second)
    assert first.scaled(2.0) == {"jawOpen": 1.0, "browInnerUp": 0.2}
    assert len(BlendshapeWeights()) == 0 and BlendshapeWeights() != first


def test_it_serves_wherever_plain_mappings_do():
    weights = BlendshapeWeights(mouthSmileLeft=0.7)
    np.testing.assert_array_equal(weights_to_vector(weights), weights.vector())
    assert dict(weights) == {**weights} == {"mouthSmileLeft": 0.7} and set(weights) <= set(ARKIT_BLENDSHAPES)
    head = load_head()
    np.testing.assert_array_equal(head.expression_offsets(weights), head.expression_offsets({"mouthSmileLeft": 0.7}))


def test_expressions_in_a_batch_are_those_one_by_one():
    head, rng = load_head(), np.random.default_rng(2)
    weights = np.where(rng.uniform(size=(7, 52)) < 0.3, rng.uniform(-0.2, 1.0, (7, 52)), 0).astype(np.float32)
    batch = head.expression_offsets_batch(weights)
    assert batch.shape == (7, head.num_vertices, 3) and batch.dtype == np.float32
    for row, offsets in zip(weights, batch, strict=True):
        np.testing.assert_allclose(offsets, head.expression_offsets(BlendshapeWeights.from_vector(row)), atol=1e-8)
    assert not head.expression_offsets_batch(np.zeros((2, 52))).any()
    assert head.expression_offsets_batch(np.zeros((0, 52))).shape == (0, head.num_vertices, 3)


@pytest.mark.parametrize("shape", [(52,), (3, 51), (2, 3, 52)])
def test_a_batch_of_another_shape_is_refused(shape):
    with pytest.raises(ShapeError, match=r"\(N, 52\)"):
        load_head().expression_offsets_batch(np.zeros(shape))
