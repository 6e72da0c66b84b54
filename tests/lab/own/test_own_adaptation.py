"""Adaptation on people's own data: the network of any run as the core, a person's images, and labels as a probe."""

import jax
import pytest
from untrained import drawn, shapes

from kpjax.input.source import stacked
from kpjax.lab.own.adaptation import SYSTEM, open_data, own_core
from kpjax.models import MoveNet, movenet_lightning, to_torch
from kpjax.models.weights.pretrained import write_safetensors
from kpjax.systems import published
from kpjax.systems.adaptation.variants import build, perceptual_start
from kpjax.systems.command_line import read_command

TINY = ("--batch-size", "8", "--steps", "1", "--landmarks", "3", "--generator-width", "4",
        "--stand-in-widths", "4", "--repeats", "1")


def command(given, *flags, core="OLD"):
    return ["own", "--core", str(given.get(core, core)), "--images", given["IMAGES"], *TINY, *flags]


@pytest.mark.slow
def test_a_published_network_of_poses_is_a_core(given, tmp_path, monkeypatch, capsys):
    """Its trunk and pyramid are frozen under a new head; a whole step is traced, not run."""
    monkeypatch.setattr(published, "SIDE", 32)
    layers = drawn(shapes(movenet_lightning()))
    write_safetensors(tmp_path / "made.safetensors",
                      {name: array for name, array in to_torch(layers).items() if array.ndim})
    read = read_command(SYSTEM, command(given, core=tmp_path / "made.safetensors"))
    job = read.job("adapted", 0)
    assert (job.config.network, job.config.backbone.normalisation) == (MoveNet(), "symmetric")
    assert "as the core has it" in capsys.readouterr().out
    core = own_core(job.config.core.core).core
    assert set(core.variables["params"]) == {"backbone", "upsampling"}
    method = build(job.config, job.variant)
    batch = stacked([open_data(job).target[n] for n in range(8)])
    streams = dict.fromkeys(method.streams, batch)
    start = {"core": core.variables, **perceptual_start(job.config)}
    state = jax.eval_shape(method.init, jax.random.key(0), streams, start)
    after, metrics = jax.eval_shape(method.update, state, streams, jax.random.key(0))
    assert jax.tree.structure(after) == jax.tree.structure(state)
    assert "loss/total" in metrics
