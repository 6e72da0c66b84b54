"""Fixtures of tests that run whole experiments."""

import functools
from pathlib import Path

import jax
import pytest
from tiny_systems import SYSTEMS, VARIANTS

from kpjax import models
from kpjax.models.vgg import random_features
from kpjax.papers.command_line import run
from kpjax.papers.reports import report


@pytest.fixture(autouse=True, scope="session")
def features_of_one_program():
    """Draws random features at once: their operations one by one take longer to compile than a step
    of training.
    """
    drawn = jax.jit(lambda key, widths: random_features(key, widths)[1], static_argnums=1)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(models, "random_features", lambda key, widths: (None, drawn(key, widths)))
        yield


@pytest.fixture(scope="session")
def ran(tmp_path_factory):
    """Runs the variants of a system's contract, and others that are named, once; returns the folder
    of the preset.
    """
    workdir = tmp_path_factory.mktemp("work folder")

    @functools.cache
    def folder_of(name, *more):
        preset = next(iter(SYSTEMS[name].presets))
        variants = dict.fromkeys((*VARIANTS[name], *more))
        # to draw a curve of each loss takes longer than to learn
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(report, "line_plot", lambda curves, **options: "")
            return Path(
                run(SYSTEMS[name], [preset, "--variants", *variants, "--workdir", str(workdir)])
            ).parent

    return folder_of


@pytest.fixture
def finished(ran, request):
    """The folder of the preset of a file's system after the runs of its contract."""
    return ran(request.path.parent.name)


@pytest.fixture(autouse=True)
def runs_first(request):
    """Makes the runs that a session shares before a test begins: they are no test's own time."""
    if "ran" in request.fixturenames:
        given = request.node.callspec.params if hasattr(request.node, "callspec") else {}
        name = given.get("name", request.path.parent.name)
        if name in SYSTEMS:
            request.getfixturevalue("ran")(name)
