"""Programs of these tests run on this machine's devices: they are traced in one form."""
import jax
import pytest

from kpjax.platforms import known_platform


@pytest.fixture(autouse=True, scope="module")
def one_form():
    with known_platform(jax.default_backend()):
        yield
