"""The incremental experiment: its protocol, its variants, a few steps of some of them, the choice
of weights.
"""

import functools
import json
from collections import defaultdict

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from predict_folder import rows_of
from safetensors.numpy import load_file
from tiny_systems import CONFIGS, job_of, lengths_of, results_of

from experiments.incremental import EXPERIMENT, PRESETS
from kpjax import InputError, Trained
from kpjax.input.source import stack_examples, subset
from kpjax.methods.incremental_family.importance import Sums
from kpjax.methods.incremental_family.incremental import State
from kpjax.papers.configs import replace_fields
from kpjax.papers.engine import NOTHING_TRAINED, built
from kpjax.papers.incremental import association, rivals
from kpjax.papers.incremental.association import (
    build_association,
    ka_net_of,
    over_triples,
    without_useless,
)
from kpjax.papers.incremental.controls import one_of_the_old
from kpjax.papers.incremental.measures import Matrices, summary
from kpjax.papers.incremental.runs import Run, all_images
from kpjax.papers.incremental.stages import (
    increment_at,
    no_factors,
    student_step,
)
from kpjax.papers.incremental.variants import (
    alpha,
    build_kamp,
    of_distillation,
    of_rerendered,
)
from kpjax.training.evaluation import labels_of
from kpjax.training.finished_runs import read_history
from kpjax.training.fit import FitOptions
from kpjax.training.mesh import DATA, mesh_of

TINY = CONFIGS["incremental"]
SLOW = ("afec", "rw", "joint")


def opened(*folder, **changes):
    job = job_of("incremental", "kamp", *folder, **changes)
    return Run(job, EXPERIMENT.open(job))


# Runs


def check_results(folder, variant, names):
    found = results_of(folder, variant)["metrics"]
    assert {"aaa", "a_mre", *(f"aaa/{name}" for name in names)} <= set(found)
    assert ("at" in found) == ("mt" in found) == (variant != "joint")
    assert (folder / variant / "seed-0" / "images" / "last_step.png").exists()
    # the losses of the last step, for a report's curves
    assert ("loss/total" in read_history(folder / variant / "seed-0")) == (variant != "joint")
    rows = rows_of(folder / variant / "seed-0" / "accuracy_matrix.csv")
    steps_seen = [int(row["step"]) for row in rows]
    assert [steps_seen.count(step) for step in range(3)] == (
        [0, 0, 10] if variant == "joint" else [6, 8, 10]
    )
    assert found["aaa"] == pytest.approx(
        np.mean([float(row["pck_at_0.05"]) for row in rows[-10:]]), abs=1e-6
    )
    assert found["aaa"] == pytest.approx(np.mean([found[f"aaa/{name}"] for name in names]))


def test_results_are_complete(finished):
    check_results(finished, "kamp", opened().data.skeleton.names)


@pytest.mark.slow
def test_results_of_baselines_are_complete_and_stages_are_shared(ran):
    finished = ran("incremental", *SLOW)
    for variant in SLOW:
        check_results(finished, variant, opened().data.skeleton.names)
    for variant in ("kamp", "joint"):  # of equal training
        result = results_of(finished, variant)
        assert (result["steps"], result["images"]) == (2 + 2 * 5, 8 * (2 + 2 * 5))
    names = {path.name for path in (finished / "stages").iterdir()}
    assert names == {
        "base",
        "base_rw",
        "joint",
        "fisher_step_0",
        "association_step_1",
        "kamp_association_2",
        "kamp_step_1",
        "kamp_step_2",
        "afec_step_1",
        "afec_step_2",
        "afec_importance_1",
        "rw_step_1",
        "rw_step_2",
    }
    joint = results_of(finished, "joint")["metrics"]
    assert joint["triples/pck"] == pytest.approx(
        np.mean([joint[f"aaa/{name}"] for name in ("right_elbow", "right_knee")])
    )
    check_nothing_holds_an_image(finished, files=17)


def test_ka_net_is_compared_with_its_teacher(finished):
    found = results_of(finished, "kamp")["metrics"]
    for step, old in ((1, "right_elbow"), (2, "right_knee")):
        said = {
            name: found[f"association/step_{step}/{old}/{name}"]
            for name in ("ka_net", "teacher", "reach")
        }
        assert all(0 <= value <= 1 for value in said.values())
    rows = rows_of(finished / "kamp" / "seed-0" / "accuracy_matrix.csv")
    base = {row["keypoint"]: float(row["pck_at_0.05"]) for row in rows if row["step"] == "0"}
    assert found["association/step_1/right_elbow/teacher"] == pytest.approx(
        base["right_elbow"], abs=1e-6
    )


def test_nothing_that_is_kept_holds_an_image(finished):
    check_nothing_holds_an_image(finished, files=6)
    record = json.loads((finished / "stages" / "kamp_step_2" / "seed-0" / "stage.json").read_text())
    assert set(record["parents"]) == {"before", "association"}


def check_nothing_holds_an_image(finished, files):
    """What goes from step to step, and what a run leaves behind, are arrays of parameters."""
    images, parameters = (
        opened().data.train,
        ("variables/params", "variables/batch_stats", "variables/importance"),
    )
    found = [
        *finished.glob("stages/*/seed-0/result/*.safetensors"),
        *finished.glob("*/seed-0/model/*.safetensors"),
    ]
    assert len(found) >= files
    for file in found:
        for name, array in load_file(file).items():
            assert array.dtype != np.uint8, (file, name)
            assert array.shape[-3:] != images[0].image.shape, (file, name)
            if not name.startswith(parameters) and "tracked" not in name:
                assert name.startswith("frozen/increment/"), (file, name)
                assert array.size <= max(3, len(images.skeleton.names)), (file, name)
            # Nor has it a number for each keypoint of each image, of all or of one step.
            assert not (
                array.ndim > 1
                and array.shape[0] in (8, 12, 11, 7, 32)
                and array.shape[1] == len(images.skeleton.names)
            ), (file, name)


def test_one_program_serves_all_steps():
    """Neither steps nor seeds nor weights trace an update again."""
    first, other = opened(), opened(kamp=77.0)
    setting, key = first.setting, jax.random.key(0)
    steps, network = student_step(first.config), ka_net_of(setting, "paper", 2)
    method = built(build_kamp, setting, steps, association=network)
    ka_net = built(build_association, setting, first.config.association_steps, network=network)
    same_network = ka_net_of(other.setting, "paper", 2)
    assert method is built(build_kamp, other.setting, steps, association=same_network)
    chex.clear_trace_counter()
    update = jax.jit(chex.assert_max_traces(method.update, n=1))
    for run, step in ((first, 1), (first, 2), (other, 2)):
        batch = stack_examples([run.training_images(step)[row] for row in range(2)])
        streams, triple = {"labelled": batch}, (0, *np.flatnonzero(run.data.introduced == step))
        start = {
            "teacher": jax.eval_shape(
                lambda key, images: setting.setup.model.init(key, images, train=False),
                key,
                batch.image.astype(np.float32),
            ),
            "increment": increment_at(run, step, alpha, [triple]).do(),
        }
        start["association"] = jax.eval_shape(ka_net.init, key, streams, start).variables
        state = jax.eval_shape(method.init, key, streams, start)
        update.eval_shape(state, streams, jax.random.key(step))


# Parts


def test_steps_and_the_oracle_see_the_right_labels():
    data = opened().data
    training = opened().training_images(1)
    names = [
        name for name, seen in zip(data.skeleton.names, training[0].visible, strict=True) if seen
    ]
    assert set(names) <= {"right_hand", "left_hand"}
    everything = all_images(data)
    assert len(everything) == 32
    assert everything[0].visible.sum() > 2
    assert len(subset(training, [0])) == 1


def test_the_second_network_of_afec_trains_on_the_mesh_and_in_the_groups_of_its_run(monkeypatch):
    """Its BatchNorm normalises by groups as that of the main network does, on the same devices."""
    monkeypatch.setattr(rivals.memories, "FISHER_EVERY", 10**6)
    plain, key = opened(), jax.random.key(0)
    base, first, *later = plain.data.protocol.steps
    steps = (base, first._replace(images=first.images[:8]), *later)  # every batch is all of them
    plain = plain._replace(
        data=plain.data._replace(protocol=plain.data.protocol._replace(steps=steps))
    )
    model = plain.setting.setup.model
    images = np.zeros((1, *plain.training_images(1)[0].image.shape), np.float32)
    start = {
        "teacher": jax.jit(functools.partial(model.init, train=False))(key, images),
        "increment": increment_at(plain, 1, no_factors).do(),
    }
    mesh = mesh_of(np.array(jax.devices()[:2]), DATA)

    def trained(groups):
        job = plain.job._replace(options=FitOptions(mesh=mesh, batch_norm_groups=groups))
        found = rivals.with_second(plain._replace(job=job), 1, start)
        state = State(jnp.int32(0), {}, {}, found.start["expanded"].do(), {})
        return found.between[1](state, 1).tracked["copy"].variables["batch_stats"]

    whole, halves = trained(1), trained(2)
    for leaf in jax.tree.leaves((whole, halves)):
        assert leaf.devices() == set(mesh.devices.flat)
    # of the first layer, whose inputs are equal: variances within halves of a batch
    first, second = (found["backbone"]["block1"]["bn1"]["var"] for found in (whole, halves))
    assert (second < first).all()


def test_sums_over_images_are_computed_on_the_mesh_of_the_run(monkeypatch, tmp_path):
    """Importances, and the reach and the copies of KA-Net, were on all devices."""
    plain, mesh = opened(tmp_path), mesh_of(np.array(jax.devices()[:2]), DATA)
    run = plain._replace(job=plain.job._replace(options=FitOptions(mesh=mesh)))
    images, evaluation = run.training_images(1), run.data.evaluation
    meshes = []

    def summed(measure, state, source, *, batch_size, mesh=None):
        meshes.append(mesh)
        if source is evaluation or isinstance(state, Trained):
            return defaultdict(lambda: np.ones(1))
        return Sums({"kernel": np.ones(2, np.float32)}, np.float32(2))

    for module in (association, rivals):
        monkeypatch.setattr(module, "reduce", summed)
    monkeypatch.setattr(association, "answers", lambda *of: labels_of(evaluation))
    rivals.importance_after(run, NOTHING_TRAINED._replace(trained=None), {}, 1)
    name, seen = association.choose_network(run, Trained({}, {}), images, 1)
    network, before = ka_net_of(run.setting, name, 2), labels_of(evaluation)
    association.diagnoses(run, name, network, None, 1, [(0, 1, 2)], seen, before, np.ones(1))
    assert meshes == 3 * [mesh]


def test_importances_of_steps_are_fused_as_each_rival_does(monkeypatch, tmp_path):
    """A running mean, and for online EWC a sum that decays: after step 2, of 2 before it and 1/2
    of its own.
    """
    run = opened(tmp_path, normalise_importance=False)
    sums = Sums({"kernel": np.ones(2, np.float32)}, np.float32(2))
    monkeypatch.setattr(rivals, "reduce", lambda *of, **options: sums)
    before = {"importance": {"kernel": np.full(2, 2, np.float32)}}
    for fuse, expected in (("running_mean", 1.5), ("sum", 2.5), ("decayed_sum", 2.3)):
        found = rivals.importance_after(run, NOTHING_TRAINED, before, 2, fuse=fuse)
        np.testing.assert_allclose(found["importance"]["kernel"], expected, rtol=1e-6)


def test_the_protocols_of_all_presets_exist():
    assert all(config.data.protocol_path().exists() for config in PRESETS.values())


def test_the_weights_of_a_step():
    """Equation 4 has one alpha; beside a point in the place of KA-Net's map, one of the old ones."""
    weights = replace_fields(TINY, kamp=6.0, kamp_rerendered=8.0, ksd_only=3.0).weights
    assert no_factors(weights, 4) == {}
    assert alpha(weights, 4) == {"distillation": 6.0, "association": 6.0}
    assert of_rerendered(weights, 4) == {"distillation": 8.0, "association": 2.0}
    assert one_of_the_old(10.0, 4) == {"distillation": 10.0, "association": 2.5}
    assert one_of_the_old(10.0, 0) == {"distillation": 10.0, "association": 10.0}
    assert of_distillation(weights, 4) == {"distillation": 3.0}


def test_variants_without_ka_net_train_as_long():
    config = replace_fields(TINY, steps=400, ka_steps=0)  # 0: a fifth of the steps
    assert config.association_steps == 80
    with pytest.raises(InputError, match=r"^ka_steps: 400 of the 400"):
        replace_fields(config, ka_steps=400).association_steps  # noqa: B018
    assert student_step(config) == 320
    for name in ("kamp", "self_training", "lwf"):
        assert sum(lengths_of(EXPERIMENT, config, name).values()) == 2 + 2 * 400
    for name, base in {"rw": "base_rw", "cpr": "base_cpr"}.items():
        lengths = lengths_of(EXPERIMENT, config, name)
        assert lengths == {base: 2, f"{name}_step_1": 400, f"{name}_step_2": 400}
    assert lengths_of(EXPERIMENT, config, "joint") == {"joint": 802}


@pytest.mark.parametrize("schedule", ["steps", "cosine"])
def test_the_learning_rate_rises_and_falls(schedule):
    rate = replace_fields(TINY, schedule=schedule, warmup_steps=10).optimizer.rate_of_stage(
        1.0, 100
    )
    values = [float(rate(np.float32(step))) for step in (0, 10, 60, 80, 95)]
    assert values[0] == pytest.approx(0.1)
    assert values[1] == pytest.approx(1.0)
    if schedule == "cosine":
        assert 1 > values[2] > values[3] > values[4] > 0
    else:
        assert values[2:] == pytest.approx([1, 0.1, 0.01])


def test_the_summary_of_a_matrix():
    """Three keypoints: one of the base, one of step 1, and one that never comes."""
    accuracy = np.array([[0.5, np.nan, np.nan], [0.75, 0.25, np.nan]])
    found = summary(Matrices(accuracy, 10 * accuracy), np.array([0, 1, 2]), ("a", "b", "c"))
    assert found["aaa"] == 0.5
    assert found["at"] == found["mt"] == 0.25
    assert found["a_mre"] == 5.0
    assert "aaa/c" not in found


def test_means_over_triples():
    """Of the input the largest: one triple that sees its teacher's evidence is enough. Of the
    teacher's errors KA-Net makes 0.2 of 0.25, and closes a fifth of them."""
    names = ("copy_rate", "copy_rate_by_chance", "wrong", "ka_net", "teacher", "used", "input")
    of_step = {
        1: dict(zip(names, (0.5, 0.1, 30.0, 0.8, 0.6, 1.0, 0.02), strict=True)),
        2: dict(zip(names, (0.1, 0.1, 10.0, 0.8, 0.9, 0.0, 0.3), strict=True)),
    }
    found = over_triples(
        {
            f"association/step_{step}/neck/{name}": value
            for step, values in of_step.items()
            for name, value in values.items()
        }
    )
    wanted = {
        "copy_rate": 0.4,
        "copy_rate_by_chance": 0.1,
        "ka_net": 0.8,
        "teacher": 0.75,
        "closed": 0.2,
        "input": 0.3,
        "left_out": 0.5,
    }
    assert found == {f"association/{name}": pytest.approx(value) for name, value in wanted.items()}
    assert over_triples({"association/step_1/neck/wrong": 0.0}) == {}


def test_the_gate_leaves_out_a_triple_whose_ka_net_is_worse_than_its_teacher(monkeypatch, capsys):
    run = opened()
    old = run.data.skeleton.index("right_elbow")
    triples = [(old, run.data.skeleton.index("right_hand"))]
    planned = increment_at(run, 1, alpha, triples).do()
    truth = labels_of(run.data.validation)
    wrong = truth._replace(keypoints=truth.keypoints + 20)

    def left(ka_net, teacher, data=run.data):
        monkeypatch.setattr(
            "kpjax.papers.incremental.association.answers", lambda *arguments: ka_net
        )
        monkeypatch.setattr(type(run), "predicted", lambda *arguments: teacher)
        given = run._replace(data=data)
        return without_useless(given, None, triples, planned, None, None).triple_weights.tolist()

    assert left(truth, truth) == left(truth, wrong) == [1.0]
    assert left(wrong, truth) == [0.0]
    assert "right_elbow is left out" in capsys.readouterr().out
    with pytest.raises(InputError, match=r"^old_label_gate: there are no validation images"):
        left(wrong, truth, run.data._replace(validation=None))
