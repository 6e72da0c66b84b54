"""Seeds at the same time, each on a device of its own: the runs that they are alone, resumed as
well.
"""

import functools
import json
from dataclasses import replace

import chex
import jax
import numpy as np
import optax
import pytest
from tiny_systems import SYSTEMS

from kpjax.systems.command_line import run
from kpjax.training.fit import fit
from kpjax.training.mesh import DATA, mesh_of, own_mesh
from kpjax.training.trees import load_trained

SEEDS = 2


@pytest.mark.slow
@pytest.mark.parametrize(("name", "variant"), [("regda", "regda"), ("incremental", "kamp")])
def test_seeds_are_equal_to_those_alone(name, variant, tmp_path, monkeypatch):
    # Programs for one device and for several round differently. Adam divides a gradient by its
    # size, and so makes whole steps of those that are zero but for rounding, as that of a bias
    # below a softmax. Optimizers are kept by their settings: a rate that no other test has, so that
    # none meets this one.
    monkeypatch.setattr(optax, "scale_by_adam", functools.partial(optax.scale_by_adam, eps=0.1))
    devices = jax.devices()[:SEEDS]
    monkeypatch.setattr(jax, "local_devices", lambda: devices)
    system = SYSTEMS[name]
    preset = next(iter(system.presets))

    def command(workdir, *flags):
        return [
            preset,
            "--variants",
            variant,
            "--learning-rate",
            "0.0021",
            "--seeds",
            str(SEEDS),
            "--workdir",
            str(tmp_path / workdir),
            *flags,
        ]

    token = own_mesh.set(mesh_of(np.array(devices[:1]), DATA))
    run(system, command("alone"))
    own_mesh.reset(token)

    def cut_off(method, streams, **options):
        if options["steps"] > 2:
            fit(
                method,
                streams,
                **options
                | {
                    "steps": 2,
                    "evaluate": None,
                    "select": None,
                    "options": replace(options["options"], save_every=1),
                },
            )
            raise KeyboardInterrupt
        return fit(method, streams, **options)

    together = command("together", "--side-by-side")
    with monkeypatch.context() as patch:
        patch.setattr("kpjax.systems.system.fit", cut_off)
        with pytest.raises(KeyboardInterrupt):
            run(system, together)
    run(system, together)
    for seed in range(SEEDS):
        alone, beside = (
            tmp_path / workdir / name / preset / variant / f"seed-{seed}"
            for workdir in ("alone", "together")
        )
        models = load_trained(alone / "model"), load_trained(beside / "model")
        chex.assert_trees_all_close(*models, rtol=2e-6, atol=1e-6)
        results = [json.loads((folder / "results.json").read_text()) for folder in (alone, beside)]
        for field in ("devices", "steps", "images"):
            assert results[0][field] == results[1][field]
        assert results[0]["devices"]["count"] == 1
        names = [
            {
                path.relative_to(folder)
                for path in folder.rglob("*")
                if "tfevents" not in path.name and "checkpoints" not in path.parts
            }
            for folder in (alone, beside)
        ]
        assert names[0] == names[1]
