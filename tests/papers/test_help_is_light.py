"""A help text waits for no library that it does not need."""

import subprocess
import sys

import pytest

HEAVY = {
    "grain",
    "orbax.checkpoint",
    "scipy.ndimage",
    "scipy.optimize",
    "flax.training",
    "jinja2",
    "matplotlib",
}


@pytest.mark.slow
@pytest.mark.parametrize(
    ("module", "flags", "without"),
    [
        ("kpjax", ["train", "--help"], HEAVY | {"jax"}),
        ("kpjax", ["train", "regda", "--help"], HEAVY),
        ("experiments.regda", ["--help"], HEAVY),
        ("experiments.regda", ["demo", "--help"], HEAVY),
    ],
    ids=lambda one: " ".join(one) if isinstance(one, list) else "",
)
def test_a_help_text_imports_few_libraries(module, flags, without):
    told = subprocess.run(
        [sys.executable, "-X", "importtime", "-m", module, *flags],
        capture_output=True,
        text=True,
        check=True,
    )
    assert "usage: " in told.stdout
    imported = {line.rpartition("|")[2].strip() for line in told.stderr.splitlines()}
    assert not imported & without
