"""The protocol of choosing images to label: its variants by known values, its table, and two variants of two steps."""
import json
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from data.figures import TEN_POINTS
from experiments.commands import labelling_protocol
from experiments.commands.labelling_protocol import (
    BAD,
    PRESETS,
    SYSTEM,
    VARIANTS,
    Seen,
    chosen_by,
    differences,
    image_errors,
    interval,
    measures,
)
from experiments.engine import command_line
from experiments.engine.configs import changed
from kpjax.structures import Example, Method, Prediction
from kpjax.suggest.labelled_statistics import diagonals
from kpjax.training.evaluation import Gathered


def test_an_interval_is_students():
    """Of 1, 2, 3: deviation 1, t(0.975, 2) = 4.302653, half width 4.302653 / sqrt(3)."""
    assert interval([1.0, 2.0, 3.0]) == "+2.00 [-0.48, +4.48]"
    assert interval([-1.5]) == "-1.50"


def test_differences_are_taken_seed_by_seed():
    values = {("random", 0): 10.0, ("random", 1): 20.0, ("score", 0): 9.0, ("score", 1): 19.0, ("diversity", 1): 21.0}
    assert differences(values, "error").splitlines()[2:] == [
        "| random |  | -1.00 |", "| score | -1.00 [-1.00, -1.00] | -2.00 |", "| diversity | +1.00 |  |"]


@pytest.fixture(scope="module")
def seen():
    """Eight grey images, each brighter than the one before, with errors of 0, 1, ... px and falling scores."""
    shape = np.array([[10, 10], [16, 18]], np.float32)
    images = np.stack([np.full((32, 32, 3), 30 * number, np.uint8) for number in range(8)])
    true = np.tile(shape, (8, 1, 1))
    found = true + np.arange(8, dtype=np.float32)[:, None, None] * np.float32([0.6, 0.8])
    visible = np.ones((8, 2), np.float32)
    visible[7] = 0
    scores = np.repeat(np.linspace(0.9, 0.2, 8, dtype=np.float32)[:, None], 2, 1)
    plain = np.zeros(8, np.float32)
    gathered = Gathered(found, scores, np.arange(8), true, visible, plain, np.zeros((8, 3, 3), np.float32))
    labelled = Example(images[:1] + 5, true[:3], visible[:3], plain[:1], plain[:1], plain[:1])
    return Seen(labelled, images, gathered, lambda images: (found[:len(images)], scores), true,
                float(np.nanmedian(diagonals(true[:3], visible[:3]))))


def test_errors_and_the_usual_diagonal(seen):
    assert seen.diagonal == 10.0
    np.testing.assert_allclose(image_errors(seen.found), [0, 1, 2, 3, 4, 5, 6, np.nan], rtol=1e-6)


def test_variants_choose_by_their_criterion(seen):
    assert chosen_by("score", seen, 3, 0)[0].tolist() == [7, 6, 5]
    assert chosen_by("oracle", seen, 3, 0)[0].tolist() == [6, 5, 4]
    assert chosen_by("disagreement", seen, 2, 0)[0].tolist() == [7, 6]
    assert chosen_by("oracle_diverse", seen, 2, 0)[0].tolist() == [6, 3]  # greys 180 and 90; the label has 5
    assert chosen_by("diversity", seen, 2, 0)[0].tolist() == [7, 4]
    drawn = [chosen_by("random", seen, 3, seed)[0].tolist() for seed in (0, 0, 1)]
    assert drawn[0] == drawn[1] != drawn[2]
    assert len(set(drawn[0])) == 3


def test_what_was_chosen_is_measured(seen):
    chosen, values = chosen_by("score", seen, 3, 0)
    found = measures(seen, chosen, values)
    assert found["hidden/spearman"] == pytest.approx(1.0)
    assert found["hidden/error"] == pytest.approx(0.3)
    assert found["chosen/error_ratio"] == pytest.approx(5.5 / 3)
    assert found["chosen/bad_share"] == 1.0
    assert found["hidden/bad_share"] == pytest.approx(5 / 7)
    assert BAD == 0.1
    assert "hidden/spearman" not in measures(seen, chosen, None)


class State(NamedTuple):
    step: jax.Array
    variables: dict
    frozen: dict


def brightness_regression(points):
    """A method that compiles in no time: a point's position is a constant and a slope in the image's brightness."""
    def place(params, images):
        grey = images.astype(jnp.float32).mean((1, 2, 3)) / 255
        return params["constant"][None] + grey[:, None, None] * params["slope"][None]

    def init(key, streams, start):
        zeros = jnp.zeros((len(points.names), 2))
        return State(jnp.int32(0), {"params": {"constant": zeros + 16, "slope": zeros}}, {})

    def update(state, streams, key):
        batch = streams["labelled"]
        value, gradient = jax.value_and_grad(
            lambda params: ((place(params, batch.image) - batch.keypoints) ** 2).mean())(state.variables["params"])
        params = jax.tree.map(lambda leaf, slope: leaf - slope, state.variables["params"], gradient)
        return State(state.step + 1, {"params": params}, {}), {"loss/total": value}

    def predict(state, batch):
        found = place(state.variables["params"], batch.image)
        return Prediction(found, found[..., 0] / 32, ())

    return Method(init, update, predict, ("labelled",), points)


def test_variants_of_one_seed_differ_in_what_they_chose(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(command_line, "use_compile_cache", lambda: None)  # the tests have a cache of their own
    method = brightness_regression(TEN_POINTS)
    monkeypatch.setattr(labelling_protocol, "build", lambda config, points: method)
    tiny = changed(PRESETS["demo"], image_size=32, batch_size=8, training_examples=24, test_examples=8, first_labels=6,
                   more_labels=5)
    system = SYSTEM._replace(presets={"demo": tiny})
    arguments = ["demo", "--steps", "2", "--workdir", str(tmp_path), "--variants", "random", "equivariance_diverse"]
    table = labelling_protocol.main(arguments, system)
    assert "| equivariance_diverse | " in table.read_text()
    folder = tmp_path / "labelling_protocol" / "demo"
    configs = [json.loads((folder / name / "seed-0" / "config.json").read_text())
               for name in ("random", "equivariance_diverse")]
    assert configs[0]["numbers"][:6] == configs[1]["numbers"][:6]
    assert {len(set(config["numbers"])) for config in configs} == {11}
    assert (folder / "stages" / "first" / "seed-0" / "stage.json").exists()
    assert not (folder / "stages" / "second").exists()
    found = json.loads((folder / "equivariance_diverse" / "seed-0" / "results.json").read_text())["metrics"]
    assert {"test/error", "test/pck", "hidden/spearman", "chosen/bad_share"} <= set(found)
    capsys.readouterr()
    labelling_protocol.main(arguments, system)
    assert capsys.readouterr().out.count("finished before") == 2


def test_every_criterion_has_two_variants():
    criteria = [name for name, variant in VARIANTS.items() if variant.kind == "ablation"]
    assert [f"{name}_diverse" in VARIANTS for name in criteria] == [True] * 4
