"""What `kpjax.allocator` runs in a child process: convolutions with flags that a jaxlib may not know.

Prints "taken", or "slower" where YNNPACK's convolutions take less of the only core's time. Imports
nothing of kpjax.
"""

import sys
import time
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

ROUNDS = 20
SLOWER = 1.05  # times the other ones' time, from which that counts
YNN = {"xla_cpu_experimental_ynn_fusion_type": "LIBRARY_FUSION_TYPE_INDIVIDUAL_CONVOLUTION"}


def total(kernel: jax.Array) -> jax.Array:
    """Sums two convolutions in a row of the result of a barrier."""
    x = jax.lax.optimization_barrier(jnp.ones((8, 32, 32, 32)) + 1)
    for _ in range(2):
        x = jax.lax.conv_general_dilated(
            x, kernel, (1, 1), "SAME", dimension_numbers=("NHWC", "HWIO", "NHWC")
        )
    return x.mean()


def seconds(program: Callable[[jax.Array], jax.Array], kernel: jax.Array) -> float:
    """Returns the processor time of one call."""
    began = time.process_time()
    program(kernel).block_until_ready()
    return time.process_time() - began


def answer(cores: int) -> str:
    """Computes the gradient of `total`, and where there is one core in both ways in turn."""
    kernel = jnp.ones((3, 3, 32, 32))

    def compiled(options: dict[str, Any] | None) -> Callable[[jax.Array], jax.Array]:
        return jax.jit(jax.grad(total), compiler_options=options).lower(kernel).compile()

    xla = compiled(None)
    seconds(xla, kernel)
    if cores > 1:
        return "taken"
    ynn = compiled(YNN)
    rounds = [(seconds(xla, kernel), seconds(ynn, kernel)) for _ in range(ROUNDS)]
    of_xla, of_ynn = map(min, zip(*rounds, strict=True))
    if of_xla > SLOWER * of_ynn:
        return "slower"
    return "taken"


if __name__ == "__main__":
    print(answer(int(sys.argv[1])))
