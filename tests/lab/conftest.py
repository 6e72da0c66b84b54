"""Fixtures of tests of the laboratory."""

import pytest

from kpjax.lab.own import project


@pytest.fixture(autouse=True, scope="module")
def fresh_projects():
    """Forgets the projects of other test modules, whose made-up paths are alike."""
    project.open_labelled.cache_clear()
