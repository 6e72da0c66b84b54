"""Disparity discrepancy on coordinates, seen in the gradients that its optimizer is given; one update serves all."""
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
import tiny_parts
from tiny_parts import BATCH, KEYPOINTS, MODEL, SIDE, batch, centred, start

from kpjax.augment.augmentations import no_augmentation
from kpjax.methods.forward import train_pass
from kpjax.methods.regda_family.direct_regression import dd_regression

SCALE, WIDTH = 0.5, 5
STREAMS = {"source": batch("source"), "target": batch("target")}


def keeper():
    """Keeps the gradient as its state and moves nothing."""
    return optax.GradientTransformation(
        lambda params: jax.tree.map(jnp.zeros_like, params),
        lambda gradient, state, params=None: (jax.tree.map(jnp.zeros_like, gradient), gradient))


METHOD = tiny_parts.build(
    dd_regression, optimizer=keeper(), learning_rate=dict.fromkeys(("features", "head", "adversary"), lambda step: 0),
    augment=no_augmentation(), margin=2.0, trade_off=3.0, width=WIDTH,
    coefficient=lambda step: jnp.where(step == 0, 0.0, SCALE))


@pytest.fixture(scope="module")
def first():
    return jax.tree.map(np.asarray, jax.jit(METHOD.init)(jax.random.key(3), STREAMS, {}))


@pytest.fixture(scope="module")
def after(first):
    """`after(step, streams)` -> (state, metrics) of one update, at another step than the state's own."""
    update = jax.jit(METHOD.update)
    return lambda step, streams=STREAMS: jax.tree.map(
        np.asarray, update(first._replace(step=jnp.int32(step)), streams, jax.random.key(0)))


def pooled(backbone, statistics, name):
    images = centred(jnp.asarray(STREAMS[name].image, jnp.float32) / 255)
    maps, after = train_pass(MODEL, {"backbone": backbone}, {"backbone": statistics}, images,
                             method="backbone_features")
    return maps[-1].mean((1, 2)), after["backbone"]


def head(params, features):
    """The head by hand: a batch is normalised by its own mean and biased variance."""
    dense, norm, output = ({name: jnp.atleast_2d(leaf) for name, leaf in params[part].items()}
                           for part in ("dense1", "bn1", "output"))
    hidden = features @ dense["kernel"] + dense["bias"]
    hidden = (hidden - hidden.mean(0, keepdims=True)) / jnp.sqrt(hidden.var(0, keepdims=True) + 1e-5)
    return jax.nn.sigmoid(jax.nn.relu(hidden * norm["scale"] + norm["bias"]) @ output["kernel"] + output["bias"])


def test_a_step_is_the_squared_error_and_the_game_by_hand(first, after):
    """Every group's gradient is that of a loss of its own; nothing flows into a prediction from the disparity."""
    true = (STREAMS["source"].keypoints / (SIDE - 1)).reshape(BATCH, -1)
    own, other = first.variables["params"]["head"], first.adversary["params"]

    def both(backbone):
        features, statistics = pooled(backbone, first.variables["batch_stats"]["backbone"], "source")
        return features, pooled(backbone, statistics, "target")[0]

    def supervised(backbone, own):
        return jnp.square(head(own, both(backbone)[0]) - true).mean()

    def disparity(backbone, other):
        source, target = (jnp.abs(head(other, features) - jax.lax.stop_gradient(head(own, features))).mean()
                          for features in both(backbone))
        return target - 2 * source

    @jax.jit
    def by_hand(backbone):
        value, (of_backbone, of_head) = jax.value_and_grad(supervised, (0, 1))(backbone, own)
        game, (through, of_adversary) = jax.value_and_grad(disparity, (0, 1))(backbone, other)
        return (value, game, value - 3 * game), (of_backbone, through, of_head, of_adversary)

    values, (of_backbone, through, of_head, of_adversary) = by_hand(first.variables["params"]["backbone"])
    state, metrics = after(1)
    found = [metrics[f"loss/{name}"] for name in ("supervised", "disparity", "total")]
    np.testing.assert_allclose(found, values, rtol=1e-5)
    assert max(float(jnp.abs(leaf).max()) for leaf in jax.tree.leaves(through)) > 1e-4
    # The adversary raises the disparity; the features lower it, by their share of its gradient.
    expected = {"features": {"backbone": jax.tree.map(lambda a, b: a + SCALE * 3 * b, of_backbone, through)},
                "head": of_head, "adversary": jax.tree.map(lambda leaf: -3 * leaf, of_adversary)}
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-3, atol=2e-5), state.optimizer_state, expected)


def test_at_step_0_the_target_reaches_the_adversary_alone(after):
    one, other = (after(0, streams)[0].optimizer_state for streams in (
        STREAMS, STREAMS | {"target": batch("another target")}))
    for group in ("features", "head"):
        jax.tree.map(np.testing.assert_array_equal, one[group], other[group])
    assert any(np.any(a != b) for a, b in zip(*map(jax.tree.leaves, (one["adversary"], other["adversary"])),
                                             strict=True))


def test_labels_that_are_missing_or_out_of_reach_add_nothing(after):
    source = STREAMS["source"]
    visible, keypoints = source.visible.copy(), source.keypoints.copy()
    visible[:, 1] = 0
    keypoints[:, 1] = 5
    missing = after(0, STREAMS | {"source": source._replace(visible=visible)})
    moved = after(0, STREAMS | {"source": source._replace(visible=visible, keypoints=keypoints)})
    keypoints[:, 1, 0] = -3
    beyond = after(0, STREAMS | {"source": source._replace(keypoints=keypoints)})
    for other in (moved, beyond):
        jax.tree.map(np.testing.assert_array_equal, missing, other)
    assert missing[1]["loss/supervised"] < after(0)[1]["loss/supervised"]


def test_predictions_are_pixels_of_the_image_and_the_backbone_of_a_start_is_taken():
    state = jax.jit(METHOD.init)(jax.random.key(0), STREAMS, start())
    jax.tree.map(np.testing.assert_array_equal, state.variables["params"]["backbone"],
                 start()["variables"]["params"]["backbone"])
    params = jax.tree.map(jnp.zeros_like, state.variables["params"])
    params["head"]["output"]["bias"] = jnp.array([-100.0, 100, 0, 0, 100, -100])
    found = jax.jit(METHOD.predict)(state._replace(variables=state.variables | {"params": params}), STREAMS["source"])
    np.testing.assert_allclose(found.keypoints[0], [[0, 15], [7.5, 7.5], [15, 0]], atol=1e-5)
    assert found.scores.shape == (BATCH, KEYPOINTS)
    assert found.heatmaps == ()
