"""Domain adaptation of keypoints regressed as numbers: disparity discrepancy (Zhang et al. 2019) without heatmaps.

RegDA's reference for heatmaps, on dSprites (Jiang et al. 2021): the same game as `dd` where a prediction is a vector.
"""
import jax
import jax.numpy as jnp
from flax import linen as nn

from kpjax.losses.adversarial import regression_disparity, scale_gradient, warm_start
from kpjax.methods.forward import augmented, empty_images, initial_variables, train_pass, unit_range
from kpjax.methods.gradient_step import gradient_steps
from kpjax.methods.regda_family.regda import State
from kpjax.methods.setup import Setup
from kpjax.models.layers import BatchNorm
from kpjax.models.network import KeypointNetwork
from kpjax.optimization import Schedule
from kpjax.structures import Example, Method, Metrics, Prediction, Start, Streams, Trained, named_key


class PooledFeatures(nn.Module):
    """Feature maps of a backbone -> the mean of the deepest one over space, (B, C) float32."""

    def __call__(self, backbone_features: tuple[jax.Array, ...], train: bool) -> jax.Array:
        return backbone_features[-1].astype(jnp.float32).mean((1, 2))


class CoordinateHead(nn.Module):
    """Pooled features (B, C) -> (B, outputs) in (0, 1), float32: one hidden layer with BatchNorm, and a sigmoid."""

    outputs: int
    width: int = 1024

    @nn.compact
    def __call__(self, features: jax.Array, train: bool) -> jax.Array:
        hidden = nn.relu(BatchNorm(name="bn1")(nn.Dense(self.width, name="dense1")(features), train))
        return nn.sigmoid(nn.Dense(self.outputs, name="output")(hidden))


def dd_regression(
    setup: Setup, *, margin: float = 1.0, trade_off: float = 1.0, coefficient: Schedule = warm_start, width: int = 1024
) -> Method:
    """Trains by disparity discrepancy on coordinates, with the streams of `dd`.

    Two heads read the pooled features of the model's backbone; its upsampling and head are not used. Coordinates are
    fractions of the image's width and height, from the centre of the first pixel to that of the last. The first head
    learns the source by a mean squared error, to which keypoints beyond those centres and unlabelled ones add 0. The
    second maximises `regression_disparity`, and the features, through a reversed gradient, minimise it.

    The start may have `variables`, of which the backbone is taken. The scores of a prediction are all 1.

    Args:
        setup: as in `regda`; the codec is not used.
        margin: weight of the source's disparity relative to the target's.
        trade_off: weight of the disparity.
        coefficient: of the reversed gradient, a function of the step.
        width: of the heads' hidden layer.
    """
    model, skeleton, normalise = setup.model, setup.skeleton, setup.normalise
    head = CoordinateHead(2 * len(skeleton.names), width)
    network = KeypointNetwork(model.backbone, PooledFeatures(), head, model.frozen_statistics)

    def init(key: jax.Array, streams: Streams, start: Start) -> State:
        images = empty_images(setup.augment, streams, "source")
        variables = initial_variables(network, named_key(key, "model"), images, start, carried=("backbone",))
        shape = jax.eval_shape(lambda: network.apply(variables, images, train=False, method="features"))
        adversary = dict(head.init(named_key(key, "adversary"), jnp.zeros(shape.shape, shape.dtype), train=False))
        states = {name: setup.optimizer.init(tree) for name, tree in _groups(variables, adversary, "params").items()}
        return State(jnp.int32(0), variables, adversary, states, {})

    def update(state: State, streams: Streams, key: jax.Array) -> tuple[State, Metrics]:
        views = augmented(setup.augment, {name: streams[name] for name in ("source", "target")}, key)
        fractions, labelled = _fractions(views["source"])
        scale = coefficient(state.step.astype(jnp.float32))

        def heads(params, statistics, example: Example):
            """Returns both heads' outputs (B, 2 K) and the statistics afterwards."""
            images, after = normalise(example.image), {}
            features, after["features"] = train_pass(
                network, params["features"], statistics["features"], images, method="features")
            first, after["head"] = train_pass(head, params["head"], statistics["head"], features)
            second, after["adversary"] = train_pass(
                head, params["adversary"], statistics["adversary"], scale_gradient(features, -scale))
            return first, second, after

        def objective_of(params):
            first, second, after = heads(params, statistics, views["source"])
            target_first, target_second, after = heads(params, after, views["target"])
            supervised = (labelled * jnp.square(first - fractions)).mean()
            disparity = regression_disparity(first, second, target_first, target_second, margin=margin)
            parts = {"loss/supervised": supervised, "loss/disparity": disparity}
            return supervised - trade_off * disparity, (parts, after)

        params, statistics = (_groups(state.variables, state.adversary, kind) for kind in ("params", "batch_stats"))
        moved, states, after, metrics = gradient_steps(
            objective_of, params, state, setup.optimizer, setup.learning_rate)
        variables = {kind: tree["features"] | {"head": tree["head"]}
                     for kind, tree in (("params", moved), ("batch_stats", after))}
        adversary = {"params": moved["adversary"], "batch_stats": after["adversary"]}
        return State(state.step + 1, variables, adversary, states, state.frozen), metrics

    def predict(state: Trained, example: Example) -> Prediction:
        found = network.apply(state.variables, normalise(unit_range(example).image), train=False)
        keypoints = found.reshape(-1, len(skeleton.names), 2) * _last_pixel(example)
        return Prediction(keypoints, jnp.ones_like(keypoints[..., 0]), ())

    return Method(init, update, predict, ("source", "target"), skeleton)


def _groups(variables, adversary, kind: str) -> dict:
    """Splits parameters, or statistics, by learning rate."""
    tree = variables[kind]
    return {"features": {name: tree[name] for name in tree if name != "head"}, "head": tree["head"],
            "adversary": adversary[kind]}


def _last_pixel(example: Example) -> jax.Array:
    height, width = example.image.shape[-3:-1]
    return jnp.array([width - 1, height - 1], jnp.float32).reshape(1, 1, 2)


def _fractions(example: Example) -> tuple[jax.Array, jax.Array]:
    """Returns keypoints as fractions (B, 2 K) of the image, and 1 where there is a label that a sigmoid can reach."""
    fractions = example.keypoints / _last_pixel(example)
    reached = ((fractions >= 0) & (fractions <= 1)).all(-1).astype(jnp.float32) * example.visible
    return fractions.reshape(len(fractions), -1), jnp.repeat(reached, 2, axis=-1)
