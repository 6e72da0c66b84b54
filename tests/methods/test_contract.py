"""The contract of every method. New methods are found without an edit.

All of them are traced. Two run by default, and all with the slow tests, on one device and on eight;
tests of families compare a step of each with the same by hand. The slow tests resume all; those of
training resume a smaller one.
"""

import functools
import inspect
import itertools
import json
import math
import re
from pathlib import Path

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest
import tiny_parts as tiny
from jax.extend.core import jaxpr_as_fun

from kpjax.heatmaps import codec
from kpjax.losses.objective import Term
from kpjax.models import mobilenet_v2
from kpjax.platforms import known_platform
from kpjax.structures import Trained
from kpjax.training.fit import FitOptions, compiled_init, compiled_update, fit
from kpjax.training.mesh import data_mesh, replicate, shard

FACTORIES = tiny.factories()
QUICK = "regda.regda"  # does by default what others do with the slow tests
BY_VALUE = [
    pytest.param(
        name, marks=() if name in (QUICK, "supervised_learning.supervised") else pytest.mark.slow
    )
    for name in sorted(FACTORIES)
]
STATISTICS_ALONE = {"feature_matching.adabn"}  # learns no parameter
# Biases that may stay where they are: what follows takes a constant away, so that their gradient is
# zero but for rounding.
TAKEN_AWAY = {
    "params/head/conv1/bias",  # by BatchNorm
    "params/head/output/bias",  # by a softmax over each map
    "params/keypoints/features/smooth_norm1/bias",  # likewise, in KeyNet and Transporter
}
STEPS = 2
CUT, WHOLE = 2, 4  # steps before and after a run is resumed


def traced_once(function):
    """The function as it was traced at its first call, whatever mesh later calls are for."""

    @functools.cache
    def traced(structure, *shapes):
        return jax.make_jaxpr(function, return_shape=True)(*jax.tree.unflatten(structure, shapes))

    def call(*arguments):
        leaves, structure = jax.tree.flatten(arguments)
        shapes = (jax.ShapeDtypeStruct(jnp.shape(leaf), jnp.result_type(leaf)) for leaf in leaves)
        jaxpr, result = traced(structure, *shapes)
        return jax.tree.unflatten(jax.tree.structure(result), jaxpr_as_fun(jaxpr)(*leaves))

    return call


@functools.cache
def method_of(name):
    """The method, which is traced once for all tests and meshes."""
    method = tiny.build(FACTORIES[name])
    return method._replace(
        **{part: traced_once(getattr(method, part)) for part in ("init", "update", "predict")}
    )


# By shape


@pytest.mark.parametrize("name", sorted(FACTORIES))
def test_states_metrics_and_predictions_have_their_shapes(name):
    """A prediction reads no labels: they need not even be there."""
    method, example = (
        tiny.build(FACTORIES[name]),
        tiny.batch("labelled")._replace(keypoints=None, visible=None),
    )
    key, streams = jax.random.key(0), tiny.streams_of(method)
    first = jax.eval_shape(method.init, key, streams, tiny.start())
    after, metrics = jax.eval_shape(method.update, first, streams, key)
    assert {"step", "variables", "frozen"} <= set(first._fields)
    assert first.step.dtype == np.int32
    assert "params" in after.variables
    chex.assert_trees_all_equal_shapes_and_dtypes(first, after)
    assert "loss/total" in metrics
    if "optimizer_state" in first._fields:  # and otherwise nothing is descended
        assert all(rate >= 0 for rate in method.rates(0).values())
    assert {(value.shape, value.dtype) for value in metrics.values()} == {((), np.dtype("float32"))}
    prediction = jax.eval_shape(method.predict, Trained(after.variables, after.frozen), example)
    count = len(method.skeleton.names)
    assert (prediction.keypoints.shape, prediction.scores.shape) == (
        (tiny.BATCH, count, 2),
        (tiny.BATCH, count),
    )
    assert prediction.keypoints.dtype == prediction.scores.dtype == jnp.float32


CONTRIBUTING = (Path(__file__).parents[2] / "CONTRIBUTING.md").read_text("utf-8")
VIEW_OF = dict(re.findall(r"^\| `(\w+)` \| `(\w+)` \|", CONTRIBUTING, re.M))


@pytest.mark.parametrize(
    "name",
    [
        pytest.param(name, marks=() if name == QUICK else pytest.mark.slow)
        for name in sorted(tiny.OF_FAMILIES - {"supervised_learning.supervised"})
    ],
)
def test_the_term_of_contributing_runs_in_every_system(name):
    (written,) = re.findall(r"^def sparsity_term.*?(?=^```)", CONTRIBUTING, re.M | re.S)
    names = {"Term": Term, "jnp": jnp, "jax": jax}
    exec(written, names)
    plain = tiny.objective_maker(FACTORIES[name])
    terms = plain(tiny.SETUP.codec) if "codec" in inspect.signature(plain).parameters else plain()
    sparsity = names["sparsity_term"](VIEW_OF[name.rpartition(".")[2]])
    method = tiny.build(FACTORIES[name], objective={**terms, "sparsity": sparsity})
    key, streams = jax.random.key(0), tiny.streams_of(method)
    first = jax.eval_shape(method.init, key, streams, tiny.start())
    assert "loss/sparsity" in jax.eval_shape(method.update, first, streams, key)[1]


NETWORKS = {
    "mobilenet_v2": mobilenet_v2(tiny.KEYPOINTS, width_multiplier=0.1, decoder_width=8).clone(
        frozen_statistics=True
    ),
}


@functools.cache
def shapes_of(model, side):
    return jax.eval_shape(
        lambda key: model.init(key, jnp.zeros((1, side, side, 3)), train=False), jax.random.key(0)
    )


@pytest.mark.parametrize(
    ("network", "name"),
    [
        pytest.param(
            network,
            name,
            marks=() if (network, name) == ("mobilenet_v2", QUICK) else pytest.mark.slow,
        )
        for network in NETWORKS
        for name in sorted(tiny.OF_FAMILIES - {"pyramids.pyramids"})
    ],
)
def test_a_method_takes_a_published_backbone_with_no_further_line(network, name, shallow_mobilenet):
    """Shapes, statistics and optimizer states fit."""
    model, side = NETWORKS[network], 32
    method = tiny.build(
        FACTORIES[name], model=model, codec=codec(image_size=side, heatmap_size=8, sigma=1.0)
    )
    example = tiny.batch("labelled")._replace(image=np.zeros((tiny.BATCH, side, side, 3), np.uint8))
    streams = dict.fromkeys(method.streams, example)

    key, roles = jax.random.key(0), ("variables", "teacher", "core", "association")
    given = dict.fromkeys(roles, shapes_of(model, side))
    state = jax.eval_shape(method.init, key, streams, given)
    after, metrics = jax.eval_shape(method.update, state, streams, key)
    prediction = jax.eval_shape(method.predict, after, example)
    assert jax.tree.structure(after) == jax.tree.structure(state)
    assert "loss/total" in metrics
    assert prediction.keypoints.shape == (tiny.BATCH, tiny.KEYPOINTS, 2)


# For TPUs, on which pixels that are fetched one by one take most of the time of a step


# numbers that one pixel of an image or of heatmaps has at most; longer rows are pieces of lines
PIXEL = 32
GATHER = re.compile(
    r"stablehlo\.gather.*slice_sizes = array<i64: ([\d, ]+)>.* -> tensor<([\dx]+)x[a-z]"
)


def fetched_alone(function, pixels, *arguments):
    """A line for each gather of a program for TPUs that fetches `pixels` or more short rows, each
    alone.
    """
    with known_platform("tpu"):
        text = jax.jit(function).trace(*arguments).lower(lowering_platforms=("tpu",)).as_text()
    found = []
    for sizes, shape in GATHER.findall(text):
        row = math.prod(map(int, sizes.split(", ")))
        rows = math.prod(map(int, shape.split("x"))) // row
        if row <= PIXEL and rows >= pixels:
            found.append(f"gather of {rows:,} rows of {row} numbers")
    return found


@pytest.mark.slow
@pytest.mark.parametrize("name", sorted(FACTORIES))
def test_no_map_is_fetched_pixel_by_pixel(name):
    method, key = tiny.build(FACTORIES[name]), jax.random.key(0)
    streams = tiny.streams_of(method)
    state = jax.eval_shape(method.init, key, streams, tiny.start())
    pixels = min(
        example.image.shape[0] * (example.image.shape[1] // 4) ** 2 for example in streams.values()
    )
    assert not fetched_alone(method.update, pixels, state, streams, key)


def test_pixels_that_are_fetched_alone_are_found():
    def found(channels, pixels):
        shapes = [jax.ShapeDtypeStruct((64, 64, channels), np.float32)] + 2 * [
            jax.ShapeDtypeStruct((32, 32), np.int32)
        ]
        return fetched_alone(lambda image, y, x: image[y, x], pixels, *shapes)

    assert found(3, 1024) == ["gather of 1,024 rows of 3 numbers"]
    assert found(3, 1025) == found(64, 1024) == []


# By value


NUMBERS = itertools.count()


@functools.lru_cache(maxsize=16)
def update_of(name, mesh):
    """The step on a mesh, which fails where it is traced again, and the names of its metrics."""
    method = method_of(name)

    def update(*arguments):
        return method.update(*arguments)

    update.__name__ = f"{name}_{next(NUMBERS)}"  # by which chex tells functions of one line apart
    return compiled_update(chex.assert_max_traces(update, n=1), mesh)


@functools.cache
def run(name, seed=0, steps=STEPS, devices=1):
    """(first state, last state, all metrics); on several devices the state is replicated, batches
    are sharded.
    """
    method = method_of(name)
    mesh = tiny.one_device() if devices == 1 else data_mesh()
    update, names = update_of(name, mesh)
    state, key, history = replicate(started(name), mesh), replicate(jax.random.key(seed), mesh), []
    for _ in range(steps):
        state, values = update(state, shard(tiny.streams_of(method), mesh), key)
        history.append(dict(zip(names, np.array(values), strict=True)))
    return started(name), jax.tree.map(np.array, state), history


@functools.cache
def started(name):
    """A drawn first state in numpy, with the frozen trees of a real one: to compile what draws all
    of it takes long.
    """
    method = method_of(name)
    frozen = jax.jit(lambda *given: method.init(*given).frozen)(
        jax.random.key(0), tiny.streams_of(method), tiny.start()
    )
    return tiny.drawn_state(method, tiny.start())._replace(
        step=np.int32(0), frozen=jax.tree.map(np.array, frozen)
    )


@pytest.fixture(params=BY_VALUE, scope="module")
def name(request):
    """All tests of one method run after another, while its compiled step is remembered."""
    return request.param


def test_steps_count_stay_finite_and_move_all_but_what_is_frozen(name):
    """The same seed gives the same run, and another traces nothing (`update_of`)."""
    first, last, history = run(name)
    assert (first.step, last.step) == (0, STEPS)
    chex.assert_tree_all_finite(last)
    assert all(np.isfinite(list(metrics.values())).all() for metrics in history)
    still = {
        jax.tree_util.keystr(path, simple=True, separator="/")
        for (path, before), after in zip(
            jax.tree_util.tree_leaves_with_path(first.variables),
            jax.tree.leaves(last.variables),
            strict=True,
        )
        if np.array_equal(before, after)
    }
    if name in STATISTICS_ALONE:
        still = {leaf for leaf in still if not leaf.startswith("params/")}
    assert still <= TAKEN_AWAY
    chex.assert_trees_all_equal(first.frozen, last.frozen, strict=True)
    chex.assert_trees_all_equal(last, run.__wrapped__(name)[1], strict=True)
    run(name, seed=1, steps=1)


def test_eight_devices_equal_one(name):
    one, eight = (run(name, devices=devices)[1].variables for devices in (1, 8))
    for (path, a), b in zip(
        jax.tree_util.tree_leaves_with_path(one), jax.tree.leaves(eight), strict=True
    ):
        # squares of thresholds overflow float32
        a, b = np.asarray(a, np.float64), np.asarray(b, np.float64)
        limit = 1e-4 * np.linalg.norm(a) + 1e-6
        assert np.linalg.norm(np.subtract(a, b)) <= limit, jax.tree_util.keystr(path)


@pytest.mark.parametrize(
    "name",
    [
        pytest.param(name, marks=() if name == QUICK else pytest.mark.slow)
        for name in sorted(FACTORIES)
    ],
)
def test_inputs_of_init_stay_readable_after_an_update(name):
    method = method_of(name)
    mesh, key = tiny.one_device(), jax.random.key(0)
    given, streams = replicate(tiny.start(), mesh), shard(tiny.streams_of(method), mesh)
    state = compiled_init(method.init, mesh)(key, streams, given)
    update_of(name, mesh)[0](state, streams, replicate(key, mesh))
    jax.tree.map(np.asarray, (given, streams))


@pytest.mark.slow
@pytest.mark.parametrize("name", sorted(FACTORIES))
def test_a_run_that_is_resumed_ends_bit_identical(name, tmp_path):
    """By a method that was built anew, whose programs are compiled anew; other tests change the
    process, too.
    """

    def train(folder, steps):
        method = tiny.build(FACTORIES[name])
        fit(
            method,
            {stream: tiny.endless(stream) for stream in method.streams},
            steps=steps,
            key=jax.random.key(4),
            stage="contract",
            folder=folder,
            start={} if "frame" in method.streams else tiny.start(),
            config={},
            options=FitOptions(mesh=tiny.one_device(), save_every=WHOLE, quiet=True),
        )

    def digests(folder, step):
        return json.loads((folder / "checkpoints" / str(step) / "record" / "metadata").read_text())[
            "record"
        ]["digests"]

    resumed, whole = tmp_path / "resumed", tmp_path / "whole"
    for folder, steps in ((resumed, CUT), (resumed, WHOLE), (whole, WHOLE)):
        train(folder, steps)
    assert digests(resumed, WHOLE) == digests(whole, WHOLE)
    assert digests(resumed, CUT) != digests(whole, WHOLE)


def test_the_contract_found_the_methods():
    assert set(FACTORIES) > tiny.OF_FAMILIES
