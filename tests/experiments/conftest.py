"""Fixtures of tests that run whole experiments."""
import pytest
from tiny_regda import TINY

from experiments.engine.own import project


@pytest.fixture(scope="module")
def tiny_regda():
    """RegDA with two presets, `people` and `sprites`, that train for seconds."""
    return TINY


@pytest.fixture(autouse=True, scope="module")
def fresh_projects():
    """Forgets the projects of other test modules, whose made-up paths are alike."""
    project.open_labelled.cache_clear()
