"""Every method's `predict` can be exported: batches of any size, plain containers only."""

import jax
import numpy as np
import pytest
from jax import export
from tiny_parts import SIDE, build, factories, start, streams_of

from kpjax.lab.onnx.model import plain_predict, plain_weights
from kpjax.structures import Trained

pytestmark = pytest.mark.usefixtures("symbolic_shapes_pass")
FACTORIES = factories()
QUICK = {"supervised_learning.supervised"}


@pytest.fixture(scope="module", autouse=True)
def folders_in_one_form():
    """Has no effect: the platforms of an exported program are known when it is loaded."""


@pytest.fixture(scope="module")
def given():
    return start()


@pytest.mark.parametrize(
    "name",
    [
        pytest.param(name, marks=() if name in QUICK else pytest.mark.slow)
        for name in sorted(FACTORIES)
    ],
)
def test_predict_is_written_once_for_all_batches_and_platforms(name, given):
    method = build(FACTORIES[name])
    state = jax.eval_shape(method.init, jax.random.key(0), streams_of(method), given)
    trained = jax.tree.map(
        lambda leaf: np.zeros(leaf.shape, leaf.dtype), Trained(state.variables, state.frozen)
    )
    (batch,) = export.symbolic_shape("batch")
    shapes = jax.tree.map(
        lambda leaf: jax.ShapeDtypeStruct(leaf.shape, leaf.dtype), plain_weights(trained)
    )
    exported = export.export(
        jax.jit(plain_predict(method, trained)), platforms=("cpu", "cuda", "tpu")
    )(shapes, jax.ShapeDtypeStruct((batch, SIDE, SIDE, 3), np.uint8))
    exported.serialize()
    keypoints, scores = exported.out_avals  # in the order of their names
    assert keypoints.dtype == scores.dtype == np.float32
    assert [str(size) for size in keypoints.shape] == [
        "batch",
        str(len(method.skeleton.names)),
        "2",
    ]
    assert str(scores.shape[0]) == "batch"
