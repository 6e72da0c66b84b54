"""Evaluation and sums over a source: padding never counts, on any number of devices."""
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from tiny import Images, tiny

from kpjax.training.evaluation import predict_source, reduce

METHOD = tiny()


@pytest.fixture(scope="module")
def state():
    return jax.jit(METHOD.init)(jax.random.key(0), {}, {})


def one_device():
    return jax.make_mesh((1,), ("data",), axis_types=(jax.sharding.AxisType.Auto,), devices=jax.devices()[:1])


@pytest.mark.parametrize("count", [1, 8, 11, 16])
def test_every_example_once_in_order(state, count):
    source = Images(count)
    found = predict_source(METHOD, state, source, batch_size=5)
    np.testing.assert_array_equal(found.index, np.arange(count))
    np.testing.assert_array_equal(found.true_keypoints, source.keypoints)
    assert found.keypoints.shape == (count, 2, 2)
    assert found.visible.shape == (count, 2)
    assert found.crop.shape == (count, 3, 3)
    alone = predict_source(METHOD, state, source, batch_size=3, mesh=one_device())
    np.testing.assert_allclose(found.keypoints, alone.keypoints, atol=1e-6)


def test_labels_are_hidden_unless_asked_for(state):
    """The tiny method adds the keypoints that it sees to its answer."""
    hidden = predict_source(METHOD, state, Images(8), batch_size=8)
    seen = predict_source(METHOD, state, Images(8), batch_size=8, labelled=True)
    np.testing.assert_allclose(seen.keypoints - hidden.keypoints, hidden.true_keypoints, atol=1e-5)


def sums(state, batch, weights):
    pixels = batch.image.astype(jnp.float32).mean((1, 2, 3))
    total = (weights * pixels).sum()
    return {"count": weights.sum(), "pixels": total, "scaled": total * state["by"]}


def test_reduce_equals_a_mean_over_all(state):
    source, factor = Images(11), {"by": jnp.float32(2)}
    total = reduce(sums, factor, source, batch_size=5)
    assert total["count"] == 11
    np.testing.assert_allclose(total["pixels"] / 11, source.image.mean(), rtol=1e-6)
    np.testing.assert_allclose(total["scaled"], 2 * total["pixels"], rtol=1e-6)
    np.testing.assert_allclose(reduce(sums, factor, source, batch_size=4, mesh=one_device())["pixels"],
                               total["pixels"], rtol=1e-6)
