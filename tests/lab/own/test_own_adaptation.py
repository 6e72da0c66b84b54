"""Adaptation on people's own data: the network of any run as the core, a person's images, and labels as a probe."""

import jax
import pytest
from untrained import drawn, shapes

from kpjax.input.source import stacked
from kpjax.lab.own.adaptation import SYSTEM, open_data, own_core
from kpjax.models import MoveNet, SmallUNet, movenet_lightning, to_torch
from kpjax.models.weights.pretrained import write_safetensors
from kpjax.systems import published
from kpjax.systems.adaptation.variants import build, perceptual_start
from kpjax.systems.command_line import read_command

TINY = ("--batch-size", "8", "--steps", "1", "--landmarks", "3", "--generator-width", "4",
        "--stand-in-widths", "4", "--repeats", "1")


def command(given, *flags, core="OLD"):
    return ["own", "--core", str(given.get(core, core)), "--images", given["IMAGES"], *TINY, *flags]


def test_images_and_variants(given):
    read = read_command(SYSTEM, command(given))
    assert list(read.variants) == ["random_core", "adapted"]
    assert not read.config.evaluation.annotated
    assert (read.config.backbone.normalisation, read.config.data.image_size) == ("imagenet", 32)
    data = open_data(read.job("adapted", 0))
    assert (len(data.target), len(data.test)) == (48, 12)
    labelled = read_command(SYSTEM, command(given, "--project", "P", "--no-control", "--dtype", "bfloat16"))
    assert list(labelled.variants) == ["adapted"]
    assert labelled.config.evaluation.labelled_images == (10,)
    assert labelled.config.network == SmallUNet((4, 4, 4), 1, 4, "bfloat16")
    data = open_data(labelled.job("adapted", 0))
    assert (len(data.target), len(data.fit), len(data.test)) == (56, 16, 4)
    assert not data.target[0].visible.any()


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
