"""What tests that export share."""
import jaxtyping
import pytest


@pytest.fixture(scope="module", autouse=True)
def symbolic_shapes_pass():
    """Shapes in signatures are checked against numbers only, and an exported function takes batches of any size."""
    jaxtyping.config.update("jaxtyping_disable", True)
    yield
    jaxtyping.config.update("jaxtyping_disable", False)
