"""The method of every system on published backbones, traced: shapes, statistics and optimizer states fit."""
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from tiny_parts import BATCH, KEYPOINTS, build, factories

from kpjax.heatmaps import codec
from kpjax.models import mobilenet_v2, vit
from kpjax.structures import Example

SIDE = 32
NETWORKS = {
    "mobilenet_v2": mobilenet_v2(KEYPOINTS, width_multiplier=0.1, decoder_width=8).clone(frozen_statistics=True),
    "vit": vit(KEYPOINTS, width=12, depth=2, heads=2, upsampling_width=8),
}
METHODS = {name: factory for name, factory in factories().items() if name.rpartition(".")[2] in (
    "supervised", "regda", "semi_supervised", "incremental", "adaptation")}


@pytest.mark.parametrize("network", NETWORKS)
@pytest.mark.parametrize("name", METHODS)
def test_a_method_takes_a_backbone_with_no_further_line(name, network):
    model = NETWORKS[network]
    method = build(METHODS[name], model=model, codec=codec(image_size=SIDE, heatmap_size=8, sigma=1.0))
    batch = Example(np.zeros((BATCH, SIDE, SIDE, 3), np.uint8), np.ones((BATCH, KEYPOINTS, 2), np.float32),
                    np.ones((BATCH, KEYPOINTS), np.float32), np.ones(BATCH, np.float32),
                    np.zeros((BATCH, 3, 3), np.float32), np.arange(BATCH, dtype=np.int32))
    streams = dict.fromkeys(method.streams, batch)

    def one_step(key, batch, streams):
        variables = model.init(key, jnp.zeros((1, SIDE, SIDE, 3)), train=False)
        start = {name: dict(variables) for name in ("variables", "teacher", "core", "association")}
        state = method.init(key, streams, start)
        after, metrics = method.update(state, streams, key)
        return state, after, metrics, method.predict(after, batch)

    state, after, metrics, prediction = jax.eval_shape(one_step, jax.random.key(0), batch, streams)
    assert jax.tree.structure(after) == jax.tree.structure(state)
    assert "loss/total" in metrics
    assert prediction.keypoints.shape == (BATCH, KEYPOINTS, 2)
