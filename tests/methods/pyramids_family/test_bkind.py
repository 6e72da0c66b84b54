"""BKinD: what is rendered, what its terms read and when they count, and what it refuses."""
import functools

import jax
import jax.numpy as jnp
import numpy as np
from test_pyramids import built, images, randomised, shapes
from tiny_parts import Features, batch, tiny_pyramid

from kpjax.evaluation.degeneracy import baseline_errors
from kpjax.losses.differences import structural_difference
from kpjax.losses.objective import without
from kpjax.methods.pyramids_family.bkind import TURNED, bkind, bkind_objective, bkind_pass
from kpjax.models.bkind_network import as_bkind

close = functools.partial(np.testing.assert_allclose, rtol=1e-5, atol=1e-6)
NETWORK = as_bkind(tiny_pyramid((3,)))
ALONE = without(bkind_objective(), "rotation", "separation")
STREAMS = {"frame": batch("frame"), "reference": batch("reference")}


def method(objective=None, **changes):
    return built(bkind_objective() if objective is None else objective, bkind, NETWORK, **changes)


def test_the_decoder_reaches_the_images_size_from_the_deepest_map():
    """From 8 x 8 of images of 16 in a trunk of two maps."""
    assert set(shapes(method()).variables["params"]) == {"keypoints", "decoder"}
    decoder = shapes(method()).variables["params"]["decoder"]
    assert {name: part["conv1"]["kernel"].shape[2] for name, part in decoder.items() if name != "output"} == {
        "scale1": 4 + 2 * 3}


def test_the_difference_takes_the_place_of_the_frame():
    """A decoder that renders 0.25 everywhere. A reference that has not changed differs nowhere."""
    found = method(ALONE)
    state = randomised(shapes(found))
    params = state.variables["params"]
    output = jax.tree.map(jnp.zeros_like, params["decoder"]["output"])
    output["bias"] += 0.25
    params = params | {"decoder": params["decoder"] | {"output": output}}
    _, metrics = jax.jit(found.update)(state._replace(variables=state.variables | {"params": params}), STREAMS,
                                       jax.random.key(0))
    frame, reference = (jnp.asarray(STREAMS[name].image, jnp.float32) / 255 for name in ("frame", "reference"))
    wanted = jax.jit(structural_difference)(frame, reference)
    close(metrics["loss/reconstruction"], np.square(wanted - 0.25).mean(), rtol=1e-4)
    close(metrics["error/reconstruction"], metrics["loss/reconstruction"])
    for name, value in baseline_errors(wanted, jnp.zeros_like(wanted)).items():
        close(metrics[f"baseline/{name}"], value, rtol=1e-3)


def test_rotation_and_separation_count_later():
    found = method(later=5, learning_rate=lambda step: 0.0)
    state, update = randomised(shapes(found)), jax.jit(found.update)
    for step, factor in ((0, 0), (4, 0), (5, 1)):
        _, metrics = update(state._replace(step=jnp.int32(step)), STREAMS, jax.random.key(0))
        later = metrics["loss/rotation"] + 0.05 * metrics["loss/separation"]
        assert later > 0
        close(metrics["loss/total"], metrics["loss/reconstruction"] + factor * later)


def test_keypoints_of_both_frames_have_a_gradient_and_turns_are_of_the_frame():
    variables = randomised(shapes(method()).variables)

    def outputs(frame, reference, turned=False):
        return NETWORK.apply(variables, frame, reference, train=True, method=bkind_pass(turned=turned))

    frame, reference = images()
    by_frame, by_reference = jax.jit(jax.grad(
        lambda *pair: jnp.square(outputs(*pair)["reconstruction"]).sum(), argnums=(0, 1)))(frame, reference)
    assert by_frame.any()
    assert by_reference.any()
    turned = jax.jit(functools.partial(outputs, turned=True))(frame, reference)[TURNED]
    for quarters, found in enumerate(turned, start=1):
        again = jax.jit(outputs)(jnp.rot90(frame, quarters, axes=(1, 2)), reference)["points"][0]
        close(found, again, rtol=1e-4, atol=1e-5)


def test_features_are_compared_with_bounded_distances():
    objective, scales = without(bkind_objective(perceptual=True), "rotation", "separation"), (1.0, 2.0, 3.0)
    found = method(objective, perceptual=Features(), scales=scales)
    weights = randomised(jax.eval_shape(Features().init, jax.random.key(0), jnp.zeros((1, 8, 8, 3))))
    state = randomised(jax.eval_shape(found.init, jax.random.key(0), STREAMS, {"perceptual": weights}))
    state = state._replace(averages=jnp.array(scales), frozen={"perceptual": weights})
    after, metrics = jax.jit(found.update)(state, STREAMS, jax.random.key(0))
    close(after.averages, scales)
    pixels = metrics["error/reconstruction"]
    assert pixels / (0.99 + 0.01 * pixels) < metrics["loss/reconstruction"] < 300
