"""One method through each compiler that is installed; `tests/chips/contract.py` takes them all."""
import subprocess
import sys

import contract
import jax
import jax.numpy as jnp
import pytest

from kpjax import InputError
from kpjax.training.chips import slice_of
from kpjax.training.planning import compiler_of

ONE = "supervised_learning.supervised"


@pytest.mark.slow
@pytest.mark.parametrize("chips", ["v5e-4", "h100-8"])
def test_the_plainest_method_keeps_the_contract(chips):
    platform = slice_of(chips).chip.platform
    try:
        compiler_of(platform)
    except InputError as error:
        pytest.skip(str(error))
    done = subprocess.run([sys.executable, contract.__file__, chips, "--methods", ONE], capture_output=True, text=True,
                          check=False, env=contract.child_environment(platform))
    assert done.returncode == 0, done.stdout + done.stderr
    assert f"{chips} {ONE}: kept" in done.stdout


def test_pixels_that_are_fetched_alone_are_found():
    def shape(dtype, *sizes):
        return jax.ShapeDtypeStruct(sizes, dtype)

    def lowered(channels):
        return jax.jit(lambda image, y, x: image[y, x]).lower(
            shape(jnp.float32, 64, 64, channels), *2 * [shape(jnp.int32, 32, 32)]).as_text()

    assert contract.fetched_alone(lowered(3), 1024) == ["gather of 1,024 rows of 3 numbers"]
    assert contract.fetched_alone(lowered(3), 1025) == contract.fetched_alone(lowered(64), 1024) == []
