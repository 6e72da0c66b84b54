"""Every flag of every system on people's own data, changed: what is read trains, by steps that are
traced, not run.
"""

import re
from collections import defaultdict
from tempfile import mkdtemp
from typing import Any

import jax
import jax.numpy as jnp
import pytest

from kpjax.errors import InputError
from kpjax.lab.own.systems import own_experiment
from kpjax.papers import engine
from kpjax.papers.command_line import read_command
from kpjax.papers.configs import flat
from kpjax.structures import Trained
from kpjax.training.fit import Evaluation, no_training

TINY = {
    "semi_supervised": (
        "sskl",
        "--project P --image-size 32 --widths 4 4 4 --feature-width 8 --batch-size 8 --steps 2",
    ),
    "regda": (
        "regda",
        "--source P --target IMAGES --image-size 32 --widths 4 4 4 --batch-size 8 --steps 2",
    ),
    "incremental": ("ksd_only", "--old OLD --project P --batch-size 8 --steps 2"),
    "pyramids": (
        "pyramids",
        "--videos CLIP --image-size 32 --level-sizes 2 4 --batch-size 8 --steps 2 --window 4",
    ),
    "adaptation": ("adapted", "--core OLD --images IMAGES --batch-size 8 --steps 2 --landmarks 3"),
}
# Other things decide about these: paths, the shape of the project, and what TINY types. Numbers
# with a point change no shape, and have their rules.
LEFT = {
    "image_size",
    "heatmap_size",
    "batch_size",
    "steps",
    "level_sizes",
    "window",
    "landmarks",
    "place",
    "every",
}


def flags_of(config: dict[str, Any], shown: str) -> list[tuple[int, tuple[str, ...]]]:
    """Returns each flag with other values, as they are typed, and their numbers.

    shown: the help with all flags.
    """
    found = []
    for name, value in config.items():
        flag = f"--{name.replace('_', '-')}"
        if choices := re.search(rf"{flag} \{{([\w,]+)\}}", shown):
            others = [choice for choice in choices[1].split(",") if choice != str(value)]
            found += enumerate((flag, choice) for choice in others)
        elif name in LEFT or not re.search(rf"{flag}[\s,]", shown):  # a flag of presets alone
            continue
        elif isinstance(value, bool):
            found.append((0, (f"--no-{flag[2:]}" if value else flag,)))
        elif isinstance(value, tuple) and value and isinstance(value[0], int):
            found.append((0, (flag, *(str(_less(one)) for one in value))))
        elif isinstance(value, int):
            found.append((0, (flag, str(_less(value)))))
    return found


def _less(value: int) -> int:
    return value // 2 if value > 1 else value + 1


def traced(method, streams, *, key, start=None, **options):
    """Stands in for `fit`: what a step would be is traced, and zeros are learnt."""
    batch = {name: one[0] for name, one in streams.items()}
    state = jax.eval_shape(method.init, key, batch, start or {})
    after, _ = jax.eval_shape(method.update, state, batch, key)
    assert jax.tree.map(lambda leaf: leaf.shape, after) == jax.tree.map(
        lambda leaf: leaf.shape, state
    )
    zeros = jax.tree.map(
        lambda leaf: jnp.zeros(leaf.shape, leaf.dtype), (state.variables, state.frozen)
    )
    chosen = Evaluation(2, defaultdict(float))
    return no_training(Trained(*zeros))._replace(evaluations=(chosen,))


@pytest.mark.slow
@pytest.mark.parametrize("name", TINY)
def test_every_flag_can_be_changed(name, given, tmp_path, monkeypatch, capsys):
    """All at once, each with its first other value, then with its second; what is refused is tried
    by halves.
    """
    monkeypatch.setattr(engine, "fit", traced)
    variant, typed = TINY[name]
    experiment = own_experiment(name)
    base = ["own", *(given.get(word, word) for word in typed.split()), "--variants", variant]
    config = flat(read_command(experiment, base).config)

    def refused(flags):
        words = [word for flag in flags for word in flag]
        print(*words)
        try:
            (job,) = read_command(
                experiment, [*base, *words, "--workdir", mkdtemp(dir=tmp_path)]
            ).jobs()
            changed = {name for name, value in flat(job.config).items() if value != config[name]}
            assert {flag[2:].removeprefix("no-").replace("-", "_") for flag, *_ in flags} <= changed
            engine.train(job, experiment.open(job))
        except InputError:  # in one line
            half = len(flags) // 2
            return [*refused(flags[:half]), *refused(flags[half:])] if half else flags
        return []

    with pytest.raises(SystemExit):
        read_command(experiment, [*base, "--help-all"])
    flags = flags_of(config, capsys.readouterr().out)
    alone = [
        flag
        for place in {place for place, _ in flags}
        for flag in refused([flag for at, flag in flags if at == place])
    ]
    assert len(alone) < 0.2 * len(flags), alone
