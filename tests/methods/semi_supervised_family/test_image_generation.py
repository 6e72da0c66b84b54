"""What is painted from what, which term reaches which parameters, and the state of the perceptual
loss.
"""

import chex
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
import tiny_parts
from flax import linen as nn
from tiny_parts import BATCH, CODEC, SIDE, Features, batch, forward

from kpjax import geometry
from kpjax.augment.augmentations import no_augmentation
from kpjax.losses.objective import Term, without
from kpjax.methods import image_generation, image_generation_objective
from kpjax.methods.semi_supervised_family.image_generation import Reconstruction
from kpjax.models.image_generation import image_generator

WEIGHTS = {"supervised_weight": 1e3, "reconstruction": 1e-3}
OBJECTIVE = image_generation_objective(CODEC, **WEIGHTS)
PERCEPTUAL = image_generation_objective(CODEC, perceptual=True, **WEIGHTS)
SHIFT = 3  # pixels to the right
STREAMS = {"labelled": batch("labelled"), "unlabelled": batch("unlabelled")}
close = np.testing.assert_allclose


def build(objective=OBJECTIVE, **changes):
    settings = {
        "optimizer": optax.identity(),
        "learning_rate": lambda step: 1e-4,
        "augment": no_augmentation(),
        "generator": image_generator((4, 8)),
        "draw_map": lambda key, size: geometry.translation(SHIFT, 0),
    }
    return tiny_parts.build(image_generation, objective=objective, **settings | changes)


@pytest.fixture(scope="module")
def first():
    """The first state of a method that has everything; others are cut from it."""
    weights = tiny_parts.drawn(
        jax.eval_shape(Features().init, jax.random.key(1), jnp.zeros((1, 8, 8, 3)))
    )
    state = tiny_parts.drawn_state(
        build(PERCEPTUAL, perceptual=Features()), {"perceptual": weights}
    )
    return state._replace(averages=np.zeros(3, np.float32))


def test_without_reconstruction_no_generator_is_made():
    method = build(without(OBJECTIVE, "reconstruction"))
    assert (build().streams, method.streams) == (("labelled", "unlabelled"), ("labelled",))
    made = jax.eval_shape(method.init, jax.random.key(0), STREAMS, {})
    assert (made.generator, made.averages, made.frozen) == ({}, (), {})
    _, metrics = jax.eval_shape(
        method.update, made, {"labelled": STREAMS["labelled"]}, jax.random.key(0)
    )
    assert set(metrics) == {"loss/supervised", "loss/total", "gradient_norm/model"}


def test_images_are_painted_from_their_own_and_compared_with_the_moved_ones(first):
    """Terms that read the outputs: the painter here returns its sources, and its points are those
    of the moved view.
    """

    class Copy(nn.Module):
        @nn.compact
        def __call__(self, images, points, train):
            return images * self.param("scale", nn.initializers.ones, ()) + 0 * points.sum()

    def pixels(example, shift):
        return geometry.warp(
            example.image, jnp.broadcast_to(geometry.translation(shift, 0), (BATCH, 3, 3))
        )

    def same_rows(rows, shift):
        def distance(outputs, streams):
            expected = jnp.stack(
                [pixels(streams[name], shift) for name in ("labelled", "unlabelled")], 1
            )
            return jnp.abs(
                getattr(outputs["reconstruction"], rows) - expected.reshape(-1, SIDE, SIDE, 3)
            ).max()

        return distance

    def moved_labels(outputs, streams):
        moved = streams["labelled/warped"].keypoints - streams["labelled"].keypoints
        return jnp.abs(moved - jnp.array([[[SHIFT, 0.0]]])).max()

    def moved_heatmaps(outputs, streams):
        return jnp.abs(outputs["labelled"] - outputs["labelled/warped"]).max()

    reads = ("labelled", "labelled/warped", "unlabelled/warped")
    terms = {
        "sources": same_rows("images", 0),
        "targets": same_rows("targets", SHIFT),
        "labels": moved_labels,
        "heatmaps": moved_heatmaps,
    }
    method = build(
        {name: Term(1.0, function, reads) for name, function in terms.items()}, generator=Copy()
    )
    params = {"scale": jnp.float32(1)}
    state = first._replace(
        generator={"params": params, "batch_stats": {}},
        averages=(),
        frozen={},
        optimizer_state=optax.identity().init(None),
    )
    metrics, _, _ = forward(method)(state, STREAMS, jax.random.key(0))
    close([metrics[f"loss/{name}"] for name in ("sources", "targets", "labels")], 0, atol=1e-6)
    assert metrics["loss/heatmaps"] > 1e-3


def test_the_terms_have_the_published_factors():
    images, targets = jnp.full((2, 4, 4, 3), 0.6), jnp.full((2, 4, 4, 3), 0.5)
    outputs = {
        "reconstruction": Reconstruction(
            images, targets, jnp.array([50.0, 3.0]), jnp.array([100.0, 2.0])
        )
    }
    default = image_generation_objective(CODEC)
    assert {name: term.weight for name, term in OBJECTIVE.items()} == {
        "supervised": 1e3,
        "reconstruction": 1e-3,
    }
    close(
        [default[name].weight * 1e3 for name in OBJECTIVE],
        [term.weight for term in OBJECTIVE.values()],
    )
    close(OBJECTIVE["reconstruction"].function(outputs, {}), 1000 / 255 * 25.5**2, rtol=1e-5)
    close(PERCEPTUAL["reconstruction"].function(outputs, {}), 1000 * (0.5 + 1.5), rtol=1e-6)


def test_reconstruction_moves_model_and_generator_and_reads_no_label(first):
    blind = {
        name: example._replace(keypoints=0 * example.keypoints, visible=0 * example.visible)
        for name, example in STREAMS.items()
    }
    state = first._replace(averages=(), frozen={})
    update = jax.jit(build(without(OBJECTIVE, "supervised")).update)
    after, metrics = update(state, STREAMS, jax.random.key(0))
    for tree, other in ((state.variables, after.variables), (state.generator, after.generator)):
        for part in tree["params"]:
            assert not all(
                np.array_equal(*pair)
                for pair in zip(
                    *(jax.tree.leaves(each["params"][part]) for each in (tree, other)), strict=True
                )
            ), part
    assert set(metrics) == {
        "loss/reconstruction",
        "loss/total",
        "gradient_norm/model",
        "gradient_norm/generator",
    }
    chex.assert_trees_all_equal(
        (after, metrics), update(state, blind, jax.random.key(0)), strict=True
    )


def test_averages_start_at_the_first_distances_and_then_follow(first):
    assert first.averages.shape == (3,)  # pixels and two feature maps
    update, key = forward(build(PERCEPTUAL, perceptual=Features())), jax.random.key(0)
    metrics, averages, frozen = update(first, STREAMS, key)
    close(metrics["loss/reconstruction"], 3000, rtol=1e-5)  # each distance is its own average
    assert (averages > 0).all()
    chex.assert_trees_all_equal(frozen, first.frozen, strict=True)
    lower = first._replace(step=np.int32(1), averages=averages * np.float32([1, 0.5, 1]))
    metrics, _, _ = update(lower, STREAMS, key)
    close(metrics["loss/reconstruction"], 1000 * (2 + 1 / (0.99 * 0.5 + 0.01)), rtol=1e-4)


def test_large_images_are_painted_small():
    large = {
        "unlabelled": jax.eval_shape(
            lambda: jax.tree.map(
                jnp.asarray,
                batch("unlabelled")._replace(image=np.zeros((BATCH, 64, 48, 3), np.uint8)),
            )
        )
    }
    seen = []

    def sizes(outputs, streams):
        seen.append(
            (outputs["reconstruction"].images.shape, outputs["reconstruction"].targets.shape)
        )
        return jnp.float32(0)

    method = build({"sizes": Term(1.0, sizes, ("unlabelled/warped",))}, size=32)
    state = jax.eval_shape(method.init, jax.random.key(0), large, {})
    jax.eval_shape(method.update, state, large, jax.random.key(0))
    assert seen[0] == ((BATCH, 32, 24, 3),) * 2
