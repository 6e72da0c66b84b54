"""An adapter with its core again, and adapters that do not fit."""
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from kpjax.errors import InputError
from kpjax.methods.adaptation_family.adaptation import network_params
from kpjax.methods.adaptation_family.parametrisation import (
    Parametrisation,
    adapted,
    adapted_w_and_head_only,
    finetuned,
    lora,
)
from kpjax.models.hourglass_network import hourglass
from kpjax.structures import Trained
from kpjax.training.trees import load_adapter, save_adapter


def core(seed=0):
    """A core in the form of a network's variables, with some kernels to be frozen."""
    random = np.random.default_rng(seed)

    def drawn(*shape):
        return jnp.asarray(random.normal(size=shape), jnp.float32)

    return {"params": {"backbone": {"conv1": {"kernel": drawn(3, 3, 3, 4)}, "bn1": {"scale": drawn(4)}},
                       "upsampling": {"conv": {"kernel": drawn(1, 1, 4, 4)}},
                       "head": {"output": {"kernel": drawn(1, 1, 4, 2)}}},
            "batch_stats": {"backbone": {"bn1": {"mean": drawn(4)}}}}


def trained(parametrisation: Parametrisation, variables) -> Trained:
    params = dict(variables["params"])
    head = params.pop("head")
    frozen, live = parametrisation.init(jax.random.key(0), params, frozenset())
    live = jax.tree.map(lambda leaf: leaf + 0.5, live)
    statistics = variables["batch_stats"]
    return Trained({"params": live | {"head": head}, "batch_stats": statistics}, {"core": frozen} if frozen else {})


@pytest.fixture
def path(tmp_path):
    return tmp_path / "adapters" / "faces.safetensors"


@pytest.mark.parametrize("parametrisation", [adapted(), adapted_w_and_head_only(), lora()],
                         ids=["adapted", "w_and_head", "lora"])
def test_an_adapter_and_its_core_are_the_network_again(parametrisation, path):
    state = trained(parametrisation, core())
    save_adapter(path, state)
    found = load_adapter(path, core())
    jax.tree.map(np.testing.assert_array_equal, (found.variables, found.frozen), (state.variables, state.frozen))
    networks = [network_params(parametrisation, one.variables["params"], one.frozen["core"]) for one in (found, state)]
    jax.tree.map(np.testing.assert_array_equal, *networks)
    assert [file.name for file in path.parent.iterdir()] == [path.name]


def test_another_core_is_refused(path):
    save_adapter(path, trained(adapted(), core()))
    with pytest.raises(InputError, match=r"faces\.safetensors: belongs to a core with fingerprint [0-9a-f]{12}, and"):
        load_adapter(path, core(1))
    with pytest.raises(InputError, match="belongs to a core with backbone/conv1/kernel, which the given core lacks"):
        load_adapter(path, {"params": {"backbone": {}}})


def test_what_is_no_adapter_is_refused(path):
    with pytest.raises(InputError, match="cannot be read"):
        load_adapter(path, core())
    with pytest.raises(InputError, match="nothing of this network is frozen"):
        save_adapter(path, trained(finetuned(), core()))
    save_adapter(path, trained(adapted(), core()))
    whole = path.read_bytes()
    path.write_bytes(whole[:-3] + b"abc")
    with pytest.raises(InputError, match="damaged: its content is not what was written"):
        load_adapter(path, core())
    path.write_bytes(whole[:100])
    with pytest.raises(InputError, match="is not a whole safetensors file"):
        load_adapter(path, core())
    path.write_bytes(whole)
    save_file(load_file(path), path)
    with pytest.raises(InputError, match="is not an adapter of format 1"):
        load_adapter(path, core())


def test_the_published_adapter_is_a_tenth_of_its_core(path):
    network, images = hourglass(16), jnp.zeros((1, 128, 128, 3))
    shapes = jax.eval_shape(lambda key: network.init(key, images, False), jax.random.key(0))
    variables = jax.tree.map(lambda leaf: np.zeros(leaf.shape, np.float32), shapes)
    state = trained(adapted(), variables)
    head = {"output": {"kernel": np.zeros((1, 1, 256, 10), np.float32), "bias": np.zeros(10, np.float32)}}
    save_adapter(path, Trained(state.variables | {"params": state.variables["params"] | {"head": head}}, state.frozen))
    assert path.stat().st_size < 0.09 * sum(leaf.nbytes for leaf in jax.tree.leaves(variables))
