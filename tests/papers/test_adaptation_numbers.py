"""Numbers of "Object landmark discovery through unsupervised adaptation" (NeurIPS 2019), computed
elsewhere.
"""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from untrained import count

from kpjax.heatmaps import decode_soft_argmax, gaussian_bumps
from kpjax.images import boxes
from kpjax.images.boxes import landmark_box, turned_canvas
from kpjax.methods.adaptation_family import adaptation, released_training
from kpjax.methods.adaptation_family.parametrisation import (
    adapted,
    finetuned,
    finetuned_last,
    project,
)
from kpjax.models.hourglass_network import hourglass
from kpjax.models.layers import convolve
from kpjax.models.residual_generator import ResidualGenerator, residual_generator_for
from kpjax.models.vgg import VGG
from kpjax.optimization import descend

TOLERANCE = {"rtol": 1e-4, "atol": 2e-6}


# The projection of a kernel


def test_the_projection_of_a_kernel(close):
    o, i, a, b = np.indices((3, 2, 3, 3))
    theta = np.sin(1 + 7 * o + 3 * i + 2 * a + b)
    kernel = theta.transpose(2, 3, 1, 0).astype(np.float32)
    matrix = np.array([[1, 0.5, 0], [-0.25, 2, 1], [0, 0, 0.5]], np.float32)
    close((kernel[0, 0, 0, 0], kernel[2, 2, 1, 2]), (0.841471, -0.905578))
    core, projections = (
        {"conv": {"kernel": jnp.asarray(kernel)}},
        {"conv": {"kernel": jnp.asarray(matrix)}},
    )
    projected = project(core, projections)["conv"]["kernel"]
    close(projected[0, 0, 0], (1.336150, 2.418637, 0.325144))
    close(projected[2, 2, 1, 1], -2.692368)
    close(projected, kernel @ matrix.T)

    h, w, c = np.indices((4, 4, 2))
    x = jnp.asarray(np.cos(h + 2 * w + 3 * c)[None], jnp.float32)
    before, after = convolve(x, core["conv"]["kernel"], 1, 1), convolve(x, projected, 1, 1)
    close(before[0, 0, 0], (-2.320630, -3.061525, -2.295551))
    close(after[0, 0, 0], (-3.851392, -7.838443, -1.147776))
    close(after[0, 1, 2], (-3.808537, -0.827143, 0.546929))
    close(after.sum(), -0.270019, rtol=1e-3)
    close(after, before @ matrix.T)


# Points and their heatmaps


def peaks(*cells):
    heatmap = np.zeros((32, 32), np.float32)
    for row, column, value in cells:
        heatmap[row, column] = value
    return heatmap


SOFT_ARGMAX = [
    (np.array([[0, 0], [0, 0.1]], np.float32), (0.650245, 0.650245)),
    (peaks(), (15.5, 15.5)),
    (peaks((10, 20, 1)), (19.800082, 10.244344)),
    (peaks((10, 20, 1), (4, 6, 0.9)), (16.210873, 8.620277)),
    (10 * peaks((10, 20, 1), (4, 6, 0.9)), (19.999364, 9.999728)),
    (peaks((10, 20, 1), (4, 6, 0.9)) - 7, (16.210873, 8.620277)),
]


def test_soft_argmax(close):
    for heatmap, point in SOFT_ARGMAX:
        found, _ = decode_soft_argmax(jnp.asarray(heatmap)[None, :, :, None], temperature=0.1)
        close(found[0, 0], point)


def rendered(x, y, size=(32, 32), sigma=adaptation.RELEASED_SIGMA):
    return gaussian_bumps(jnp.array([[x, y]], jnp.float32), size, sigma, window=None)[..., 0]


def test_drawn_points(close):
    first = [0.026649, 0.535261, 0.196912, 0.001327]
    close(rendered(1.25, 0.5, (3, 4)), [first, first, [0.000488, 0.009804, 0.003607, 0.000024]])
    first = [0.000710, 0.286505, 0.038774, 0.000002]
    close(rendered(1.25, 0.5, (3, 4), 0.5 / 2**0.5), [first, first, [0, 0.000096, 0.000013, 0]])
    close((rendered(20, 10).sum(), rendered(20, 10).max()), (1.616309, 1))
    close((rendered(20.3, 9.6).sum(), rendered(20.3, 9.6).max()), (1.545617, 0.606531))
    # Drawing and finding are not inverse to each other
    found, _ = decode_soft_argmax(
        jnp.asarray(peaks((10, 20, 1), (4, 6, 0.9)))[None, :, :, None], temperature=0.1
    )
    blob = rendered(*found[0, 0])
    close(blob.max(), 0.685701)
    close(blob.argmax(), 9 * 32 + 16)
    again, _ = decode_soft_argmax(rendered(20.3, 9.6)[None, :, :, None], temperature=0.1)
    close(again[0, 0], (17.003272, 13.637097))


# Views


def test_a_turn_on_a_canvas_that_holds_it(close):
    turned = turned_canvas(178, 218, 30)
    assert (turned.width, turned.height) == (263, 277)
    close(turned.map_[:2], [[0.866025, -0.5, 108.923739], [0.5, 0.866025, -0.396769]])
    close(
        boxes.move_points(turned.map_, np.array([[89, 109], [69, 111]])),
        [(131.5, 138.5), (113.179492, 130.232051)],
    )
    turned = turned_canvas(128, 128, 15)
    assert (turned.width, turned.height) == (156, 156)
    close(
        turned.map_[:2] * (128 / 156),
        [[0.792555, -0.212364, 26.867829], [0.212364, 0.792555, -0.314808]],
    )


@pytest.mark.parametrize(
    ("tightness", "box", "first", "last"),
    [
        (70, (40, 80, 137, 183), (38.268041, 36.038835), (89.731959, 91.961165)),
        (16, (63, 103, 114, 160), (15.058824, 13.473684), (112.941176, 114.526316)),
        (200, (0, 25, 177, 217), (49.898305, 56.0), (78.101695, 86.0)),
    ],
)
def test_a_crop_by_landmarks(close, tightness, box, first, last):
    points = np.array([(69, 109), (106, 113), (77, 142), (73, 152), (108, 154)])
    found = landmark_box(points, tightness, 178, 218)
    np.testing.assert_array_equal(found, box)
    moved = boxes.move_points(boxes.crop_map(found, 128, grid="index"), points)
    close(moved[[0, -1]], (first, last), rtol=1e-6)


# Training


def descended(gradients, optimizer, weight=1.0):
    params = {"w": jnp.float32(weight)}
    state, path = optimizer.init(params), []
    for step, gradient in enumerate(gradients):
        params, state = descend(
            optimizer,
            {"w": jnp.float32(gradient)},
            state,
            params,
            lambda step: 1e-3,
            jnp.int32(step),
        )
        path.append(params["w"])
    return path


def test_the_optimizer(close):
    with_both_moments = optax.chain(
        optax.clip_by_global_norm(1.0),
        optax.add_decayed_weights(5e-4),
        optax.scale_by_adam(b1=0.0, b2=0.9, eps=1e-8),
    )
    for optimizer in (released_training.released_optimizer(), with_both_moments):
        one, several = ([0.2], [-0.0004]), [0.2, 0.1, -0.3]
        close(
            [descended(gradients, optimizer)[0] for gradients in one],
            [0.9990000000, 0.9990000999900],
            rtol=1e-7,
            atol=1.2e-7,
        )
        close(
            descended(several, optimizer), [0.999, 0.998356065, 0.999716452], rtol=1e-7, atol=2e-7
        )


def test_a_clipped_gradient_is_that_of_one_network(close):
    optimizer, params = (
        released_training.released_optimizer(decay=0.0),
        {"a": jnp.zeros(2), "b": jnp.zeros(1)},
    )
    gradient = {"a": jnp.array([3.0, 4.0]), "b": jnp.array([12.0])}
    _, state = descend(
        optimizer, gradient, optimizer.init(params), params, lambda step: 0.0, jnp.int32(0)
    )
    seen = jax.tree.map(lambda nu: jnp.sqrt(nu / 0.1), optax.tree.get(state, "nu"))
    close(seen["a"], (0.230769, 0.307692))
    close(seen["b"], [0.923077])
    # Where weights decay to
    params = {
        "projections": {
            "kernel": jnp.array([[1.0, 0.5], [0.0, 0.0]]),
            "depthwise": jnp.array([1.0, 2.0]),
        },
        "free": {"bn": {"scale": jnp.full(2, 3.0)}, "conv": jnp.full((1, 2), 3.0)},
    }
    still = jax.tree.map(jnp.zeros_like, params)
    for decay_to, wanted in (
        ("zero", params),
        (
            "start",
            {
                "projections": {
                    "kernel": jnp.array([[0.0, 0.5], [0.0, -1.0]]),
                    "depthwise": jnp.array([0.0, 1.0]),
                },
                "free": {"bn": {"scale": jnp.zeros(2)}, "conv": jnp.full((1, 2), 3.0)},
            },
        ),
    ):
        optimizer = released_training.released_optimizer(decay=0.1, decay_to=decay_to)
        _, state = descend(
            optimizer, still, optimizer.init(params), params, lambda step: 0.0, jnp.int32(0)
        )
        squares = jax.tree.map(lambda leaf: 0.1 * (0.1 * leaf) ** 2, wanted)
        jax.tree.map(
            functools.partial(close, rtol=1e-5, atol=0), optax.tree.get(state, "nu"), squares
        )
    # The learning rate of epochs
    rate = released_training.released_learning_rate()
    rates = [rate(jnp.float32(2500 * epoch)) for epoch in (0, 29, 30, 59, 60, 79)]
    close(rates, [1e-3, 1e-3, 1e-4, 1e-4, 1e-5, 1e-5], rtol=1e-5, atol=0)


def test_the_reconstruction_loss(close):
    target = np.linspace(0, 1, 12, dtype=np.float32).reshape(1, 2, 2, 3)
    painted = ((np.tanh(np.sin(np.arange(12.0))) + 1) / 2).astype(np.float32).reshape(1, 2, 2, 3)
    mixing = np.array([[1, -1], [0.5, 0.5], [-1, 1]], np.float32)

    def features(images):
        brightness = 2 * np.maximum(images.mean(-1, keepdims=True) - np.float32(0.3), 0)
        return tuple(jnp.asarray(layer) for layer in (np.maximum(images @ mixing, 0), brightness))

    found = adaptation.Reconstruction(
        jnp.asarray(painted), jnp.asarray(target), features(painted), features(target)
    )

    def terms(**options):
        objective = adaptation.adaptation_objective(perceptual=True, **options)
        return {
            name: term.weight * term.function({"reconstruction": found}, {})
            for name, term in objective.items()
        }

    squared = terms()
    close((squared["pixels"], squared["features"]), (0.233897, 0.187735 + 0.501061))
    close(sum(squared.values()), 0.922693)
    close(terms(form="absolute")["features"], 0.936490)


# Sizes


def test_sizes_of_the_landmark_network():
    params = jax.eval_shape(
        lambda: hourglass(10).init(jax.random.key(0), jnp.zeros((1, 128, 128, 3)), False)
    )["params"]
    head, body = count(params.pop("head")), params
    assert head == 2_570

    def trained(parametrisation):
        return jax.eval_shape(lambda params: parametrisation.init(params, frozenset()), body)[1]

    for keypoints, parameters in ((10, 6_234_762), (16, 6_236_304), (68, 6_249_668)):
        output = jax.eval_shape(
            lambda n=keypoints: hourglass(n).head.init(
                jax.random.key(0), jnp.zeros((1, 32, 32, 256)), False
            )
        )["params"]
        assert count(body) + count(output) == parameters
    of_adapted = trained(adapted())
    assert count(of_adapted["projections"]) == 380_928
    assert len(jax.tree.leaves(of_adapted["projections"])) == 51
    assert count(of_adapted) + head == 514_698
    assert count(of_adapted["projections"]) + head == 383_498
    assert count(trained(finetuned())) + head == 6_234_762
    # By the paper's text: the stem (64 channels), skips of 128 and 256, and the last 1x1
    # convolution of 256 have matrices, too; their biases and BatchNorm are free.
    of_every = trained(adapted(every=True))
    assert len(jax.tree.leaves(of_every["projections"])) == 51 + 4
    assert count(of_every["projections"]) == 380_928 + 64**2 + 128**2 + 256**2 + 256**2
    assert count(of_every["free"]) == 14_976 + 64 + 256
    # The last layers: the top block (405,504 weights and its BatchNorms), the 1x1 convolution with
    # a bias, and its BatchNorm.
    last = trained(finetuned_last())["free"]
    assert set(last["upsampling"]) == {"top_m_0", "conv_last0", "bn_end0"}
    assert count(last) == 405_504 + 2 * (256 + 128 + 64) + 65_792 + 2 * 256


@pytest.mark.parametrize(("width", "parameters"), [(32, 2_424_424), (64, 9_030_824)])
def test_the_size_of_the_generator(width, parameters):
    images, maps = jnp.zeros((1, 128, 128, 3)), jnp.zeros((1, 32, 32, 10))
    generator = ResidualGenerator(width)
    painted, variables = jax.eval_shape(
        lambda key: generator.init_with_output(key, images, maps, False), jax.random.key(0)
    )
    assert count(variables["params"]) == parameters
    assert painted.shape == images.shape
    assert residual_generator_for(128) == ResidualGenerator(32)


def test_sizes_of_the_networks_of_features():
    for depth, parameters in ((19, 8_225_344), (16, 7_635_264)):
        assert (
            count(jax.eval_shape(VGG(depth).init, jax.random.key(0), jnp.zeros((1, 32, 32, 3))))
            == parameters
        )
