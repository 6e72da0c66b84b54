"""Easy and hard views: a step against the same written out."""

import chex
import jax
import jax.numpy as jnp
import numpy as np
import optax
import tiny_parts
from tiny_parts import BATCH, CODEC, MODEL, batch, centred

from kpjax import geometry
from kpjax.augment.augmentations import no_augmentation
from kpjax.losses.heatmap import heatmap_mse
from kpjax.methods.semi_supervised_family import easy_hard as module
from kpjax.methods.semi_supervised_family.easy_hard import easy_hard, easy_hard_objective

STREAMS = {name: batch(name) for name in ("labelled", "unlabelled")}
SHIFT = geometry.translation(4.0, 0.0)  # one cell to the right


def darken_left(key, images, points, weights):
    """A hiding that shows which points it was given: their mean x is written into the first
    pixel."""
    del key
    return images.at[:, :, :2].set(0.0).at[:, 0, 0, 0].set((points[..., 0] * weights).mean(1))


def test_a_step_goes_down_half_squared_errors_on_the_statistics_of_all_images(monkeypatch):
    """The easy view's answer, moved with the image, is a constant; its points are hidden in the
    hard view.
    """
    monkeypatch.setattr(module, "HARDER", lambda key, size: SHIFT)
    method = tiny_parts.build(
        easy_hard,
        objective=easy_hard_objective(CODEC),
        optimizer=optax.trace(0.0),
        learning_rate=lambda step: 0.5,
        augment=no_augmentation(),
        hide=darken_left,
    )
    first, labelled = tiny_parts.drawn_state(method), jax.tree.map(jnp.asarray, STREAMS["labelled"])

    def passed(params, images):
        return MODEL.apply(
            first.variables | {"params": params}, images, train=True, mutable=["batch_stats"]
        )

    @jax.jit
    def by_hand(params, easy, images):
        answer, _ = passed(params, centred(easy))
        columns = answer.reshape(BATCH, -1, 3).argmax(1) % 4
        holed = easy.at[:, :, :2].set(0.0).at[:, 0, 0, 0].set(4 * columns.mean(1))
        hard = geometry.warp(holed, SHIFT)
        # what comes in is 0
        moved = jnp.concatenate([jnp.zeros_like(answer[:, :, :1]), answer[:, :, :-1]], 2)

        def losses(params):
            both = centred(jnp.stack([images, hard], 1).reshape(-1, *hard.shape[1:]))
            heatmaps, after = passed(params, both)
            supervised = heatmap_mse(heatmaps[::2], *CODEC.encode(labelled))
            consistency = 0.5 * jnp.square(heatmaps[1::2] - moved).mean()
            return supervised + consistency, (
                supervised,
                consistency,
                supervised + consistency,
                after,
            )

        return jax.grad(losses, has_aux=True)(params)

    images = (
        jnp.asarray(STREAMS[name].image, jnp.float32) / 255 for name in ("unlabelled", "labelled")
    )
    gradient, (*losses, after) = by_hand(first.variables["params"], *images)
    state, metrics = jax.jit(method.update)(first, STREAMS, jax.random.key(1))
    np.testing.assert_allclose(
        [metrics["loss/supervised"], metrics["loss/consistency"], metrics["loss/total"]],
        losses,
        rtol=1e-4,
    )
    wanted = jax.tree.map(lambda p, g: p - 0.5 * g, first.variables["params"], gradient)
    chex.assert_trees_all_close(state.variables["params"], wanted, atol=1e-5, rtol=1e-7)
    chex.assert_trees_all_close(
        state.variables["batch_stats"], after["batch_stats"], atol=1e-5, rtol=1e-7
    )
