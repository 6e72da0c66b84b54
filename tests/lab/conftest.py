"""Fixtures of tests of the laboratory."""
import jax
import pytest

from kpjax.lab.own import project
from kpjax.models import inverted_residuals
from kpjax.platforms import known_platform


@pytest.fixture
def one_form():
    """Programs of the test are traced in one form, as those of a mesh are."""
    with known_platform(jax.default_backend()):
        yield


@pytest.fixture(scope="module")
def shallow_mobilenet():
    """MobileNetV2 with 8 blocks in place of 17: one of every kind, and one that is added to its input."""
    stages = tuple((*kind, 1 + (number == 1), stride)
                   for number, (*kind, _, stride) in enumerate(inverted_residuals.STAGES))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(inverted_residuals, "STAGES", stages)
        yield
    jax.clear_caches()  # configs of both are equal


@pytest.fixture(autouse=True, scope="module")
def fresh_projects():
    """Forgets the projects of other test modules, whose made-up paths are alike."""
    project.open_labelled.cache_clear()
