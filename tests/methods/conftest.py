"""What all tests of methods share."""
import jax
import pytest


@pytest.fixture(scope="module", autouse=True)
def quickly_compiled():
    """Nearly all time goes into compiling, most of it into optimising programs that then run a few times."""
    jax.config.update("jax_disable_most_optimizations", True)
    yield
    jax.config.update("jax_disable_most_optimizations", False)
