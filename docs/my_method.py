"""A method of one's own, from its loss term to a table over five seeds: `python docs/my_method.py`.

The term asks heatmaps of images without labels to be peaked. The method learns labels and that term
together; the control is the same method without it. The images are bright discs on noise, of which
16 are labelled: replace `discs` by your own arrays.
"""

import jax
import jax.numpy as jnp
import numpy as np
from flax import linen as nn

import kpjax
from kpjax.losses import heatmap_mse, total
from kpjax.methods.forward import prepare_streams
from kpjax.methods.gradient_step import State, gradient_step

SKELETON = kpjax.Skeleton(("centre",))
SIDE, BATCH, STEPS, SEEDS = 32, 8, 150, 5


def discs(number: int, seed: int, *, name: str):
    """Draws images (number, SIDE, SIDE, 3) of one disc each, with its centre in pixels (x, y)."""
    random = np.random.default_rng(seed)
    centres = random.uniform(6, SIDE - 7, (number, 1, 2)).astype(np.float32)
    rows, columns = np.mgrid[:SIDE, :SIDE]
    distance = np.hypot(columns - centres[:, :, :1], rows - centres[:, :, 1:])
    images = random.normal(80, 30, (number, SIDE, SIDE, 3)) + 120 * (distance < 4)[..., None]
    images = images.clip(0, 255).astype(np.uint8)
    return kpjax.arrays(images, centres, np.ones((number, 1)), SKELETON, name)


class Backbone(nn.Module):
    """Three convolutions: images (B, H, W, 3) to one feature map (B, H/4, W/4, 16)."""

    @nn.compact
    def __call__(self, images: jax.Array, train: bool) -> tuple[jax.Array, ...]:
        del train  # it has no BatchNorm
        features = nn.relu(nn.Conv(16, (3, 3), strides=2)(images))
        features = nn.relu(nn.Conv(16, (3, 3), strides=2)(features))
        return (nn.relu(nn.Conv(16, (5, 5))(features)),)


class Deepest(nn.Module):
    """The deepest map of a backbone, as it is."""

    def __call__(self, maps: tuple[jax.Array, ...], train: bool) -> jax.Array:
        return maps[-1]


def peak_term(weight: float) -> kpjax.Term:
    """Builds the mean distance of the heatmaps' maxima from 1."""
    return kpjax.Term(
        weight,
        lambda outputs, streams: jnp.abs(1 - outputs["unlabelled"].max((1, 2))).mean(),
        reads=("unlabelled",),
    )


def my_objective(codec: kpjax.Codec, weight: float = 0.05) -> dict[str, kpjax.Term]:
    """Builds the labels' squared error, and the peaks of images without labels."""

    def of_labels(outputs, streams):
        return heatmap_mse(outputs["labelled"], *codec.encode(streams["labelled"]))

    return {
        "supervised": kpjax.Term(1.0, of_labels, reads=("labelled",)),
        "peaks": peak_term(weight),
    }


def my_method(setup: kpjax.Setup, objective) -> kpjax.Method:
    """Builds the method: one step on images with and without labels."""
    streams_read = ("labelled", "unlabelled")

    def init(key, streams, start):
        images = jnp.zeros((1, *streams["labelled"].image.shape[1:]), jnp.float32)
        variables = {"batch_stats": {}} | dict(setup.model.init(key, images, train=False))
        return State(jnp.int32(0), variables, setup.optimizer.init(variables["params"]), {})

    def update(state, streams, key):
        views = prepare_streams(setup.augment, streams, key)

        def loss(params):
            outputs = {
                name: setup.model.apply(
                    {"params": params}, setup.normalise(views[name].image), train=True
                )
                for name in streams_read
            }
            value, metrics = total(objective, outputs, views)
            return value, (metrics, {})  # no statistics, which BatchNorm would have

        params, optimizer_state, statistics, metrics = gradient_step(
            loss, state.variables["params"], state, setup.optimizer, setup.learning_rate
        )
        variables = {"params": params, "batch_stats": statistics}
        return State(state.step + 1, variables, optimizer_state, state.frozen), metrics

    def predict(state, example):
        images = setup.normalise(example.image.astype(jnp.float32) / 255)
        heatmaps = setup.model.apply(state.variables, images, train=False)
        keypoints, scores = setup.codec.decode(heatmaps)
        return kpjax.Prediction(keypoints, scores, (heatmaps,))

    return kpjax.Method(init, update, predict, streams_read, setup.skeleton)


def train(method: kpjax.Method, seed: int, steps: int, *, shown: bool = False):
    """Trains a method on 16 labelled images, and prints its loss four times if `shown`."""
    streams = {
        "labelled": kpjax.stream(discs(16, 100 + seed, name="few"), batch_size=BATCH, seed=seed),
        "unlabelled": kpjax.stream(
            discs(256, 200 + seed, name="many"), batch_size=BATCH, seed=seed, labelled=False
        ),
    }
    key = jax.random.key(seed)
    update = jax.jit(method.update, donate_argnums=0)
    state = jax.jit(method.init)(key, {name: one[0] for name, one in streams.items()}, {})
    for step in range(steps):
        batch = {name: one[step] for name, one in streams.items()}
        state, metrics = update(state, batch, jax.random.fold_in(key, step))
        if shown and step % max(1, steps // 4) == 0:
            print(f"step {step}: loss {metrics['loss/total']:.4f}")
    return state


def main(steps: int = STEPS, seeds: int = SEEDS) -> dict[str, list[float]]:
    """Trains both methods with every seed, prints a table, and returns the errors in pixels."""
    codec = kpjax.codec(image_size=SIDE, heatmap_size=SIDE // 4, sigma=1.0)
    setup = kpjax.default_setup(SKELETON, image_size=SIDE)._replace(
        model=kpjax.models.KeypointNetwork(Backbone(), Deepest(), kpjax.models.HeatmapHead(1)),
        codec=codec,
        augment=kpjax.augment.no_augmentation(),
    )
    objective = my_objective(codec)
    methods = {
        "mine": my_method(setup, objective),
        "without the peaks": my_method(setup, kpjax.without(objective, "peaks")),
    }
    test = discs(200, 1, name="test")
    errors = {name: [] for name in methods}
    for name, method in methods.items():
        for seed in range(seeds):
            state = train(method, seed, steps, shown=seed == 0)
            found = kpjax.predict_source(method, state, test, batch_size=50)
            distance = np.linalg.norm(found.keypoints - found.true_keypoints, axis=-1)
            errors[name].append(float(distance.mean()))
    print("\nmean error in pixels, over seeds")
    for name, values in errors.items():
        print(f"{name:18} {np.mean(values):.2f} ± {np.std(values, ddof=1):.2f} ({seeds} seeds)")
    return errors


if __name__ == "__main__":
    main()
