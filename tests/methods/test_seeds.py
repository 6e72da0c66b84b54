"""Seeds that train in one program: each is the run that it would be alone."""

import chex
import jax
import numpy as np
import pytest
from flax import linen as nn
from tiny_parts import BATCH, KEYPOINTS, build, endless, one_device

from kpjax.methods import members_of_ensemble, over_seeds, supervised, trained_of, with_seed
from kpjax.models.layers import Convolution
from kpjax.training.evaluation import predict_source
from kpjax.training.fit import FitOptions, fit
from kpjax.training.loggers import read_rows


class OneLayer(nn.Module):
    """All that is needed here of a network."""

    @nn.compact
    def __call__(self, images, train):
        return Convolution(KEYPOINTS, stride=4, name="output")(images)


METHOD = build(supervised, model=OneLayer())
BOTH = over_seeds(METHOD, 2)
OPTIONS = FitOptions(mesh=one_device(), save_every=2, log_every=1, quiet=True)


def train(method, folder, steps=4):
    return fit(
        method,
        {"labelled": endless("labelled")},
        steps=steps,
        key=jax.random.key(3),
        stage="seeds",
        folder=folder,
        config={},
        options=OPTIONS,
    )


@pytest.fixture(scope="module")
def both(tmp_path_factory):
    """Two seeds that nothing disturbs: their folder and result."""
    folder = tmp_path_factory.mktemp("both")
    return folder, train(BOTH, folder)


def losses(folder, name="loss/total"):
    return [row[name] for row in read_rows(folder / "metrics.jsonl", [name])]


def test_a_seed_is_the_run_that_it_is_alone(both, tmp_path):
    (folder, fitted), number = both, 1
    alone = train(with_seed(METHOD, number), tmp_path)
    beside = trained_of(fitted.last, number)
    chex.assert_trees_all_close(beside, alone.last, rtol=1e-6, atol=1e-6)
    np.testing.assert_allclose(
        losses(folder, f"loss/total/seed_{number}"), losses(tmp_path), rtol=1e-5
    )


def test_seeds_differ_and_metrics_are_their_means(both):
    folder, fitted = both
    seeds = [losses(folder, f"loss/total/seed_{number}") for number in range(2)]
    assert seeds[0] != seeds[1]
    np.testing.assert_allclose(losses(folder), np.mean(seeds, axis=0), rtol=1e-6)
    first, second = (jax.tree.leaves(trained_of(fitted.last, number)) for number in range(2))
    with pytest.raises(IndexError):
        trained_of(fitted.last, 2)
    assert [*members_of_ensemble([fitted.last] * 2).variables] == ["member_0", "member_1"]
    assert not all(np.array_equal(*pair) for pair in zip(first, second, strict=True))


def test_all_seeds_predict_every_image(both):
    source, trained = endless("labelled").source, both[1].trained
    found = predict_source(BOTH, trained, source, batch_size=BATCH, mesh=one_device())
    assert found.keypoints.shape == (len(source), 2, KEYPOINTS, 2)
    for number in range(2):
        alone = predict_source(
            METHOD, trained_of(trained, number), source, batch_size=BATCH, mesh=one_device()
        )
        np.testing.assert_allclose(found.keypoints[:, number], alone.keypoints, atol=1e-4)
        np.testing.assert_allclose(found.scores[:, number], alone.scores, atol=1e-6)
