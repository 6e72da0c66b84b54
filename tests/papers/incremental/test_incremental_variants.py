"""Five steps of every variant and flag of incremental learning, and what they may read."""

import functools
import json

import jax
import numpy as np
import pytest
from tiny_systems import CONFIGS, SYSTEMS, job_of, lengths_of

from kpjax.input.source import map_examples as changed_source
from kpjax.models import RSN, residual_steps
from kpjax.papers.configs import replace_fields
from kpjax.papers.engine import train
from kpjax.papers.incremental.config import PROTOCOLS
from kpjax.papers.incremental.runs import Data
from kpjax.papers.incremental.stages import student_step
from kpjax.papers.incremental.variants import VARIANTS

EXPERIMENT = SYSTEMS["incremental"]
SLOW = pytest.mark.slow
IN_THE_SETTING = ("kamp", "kamp_rerendered", "ksd_only", "ka_only")
# The contract's runs, `ran`, have these.
PUBLISHED_EARLIER = {"finetune", "lwf", "ewc", "online_ewc", "mas", "cpr"}
SHORT = {  # as long as KA-Net's student
    "ksd_only_short",
    "self_training_short",
    "memory_replay_short",
    "kamp_true_points",
}
SHORTER = {"self_training_short", "memory_replay_short"}  # than variants that are run
# Different ones, so that each variant is seen to have its own.
WEIGHTS = {
    "kamp": 0.5,
    "kamp_rerendered": 0.75,
    "ksd_only": 1.5,
    "self_training": 0.25,
    "memory_replay": 2.0,
    "lwf": 3.0,
    "ewc": 0.003,
    "mas": 0.001,
    "cpr": 0.004,
    "cpr_entropy": 0.02,
}
OLD = 8  # keypoints before the last step of the tiny preset
WEIGHTS_OF_TERMS = {
    "kamp": {"distillation": 0.5, "association": 0.5},
    "ka_only": {"distillation": 0.5, "association": 0.5},  # it has no term of the first
    "random_triples": {"distillation": 0.5, "association": 0.5},
    "kamp_rerendered": {"distillation": 0.75, "association": 0.75 / OLD},
    "kamp_true_points": {"distillation": 0.75, "association": 0.75 / OLD},
    "self_training": {"distillation": 0.25, "association": 0.25 / OLD},
    "ksd_only": {"distillation": 1.5},
    "ksd_only_short": {"distillation": 1.5},
    "self_training_short": {"distillation": 0.25, "association": 0.25 / OLD},
    "memory_replay": {"replay": 2.0},
    "memory_replay_short": {"replay": 2.0},
    "finetune": {},
    "lwf": {"distillation": 3.0},
    "ewc": {"penalty": 0.003},
    "online_ewc": {"penalty": 0.003},
    "mas": {"penalty": 0.001},
    "cpr": {"penalty": 0.004, "entropy": 0.02},
}
RUN_ELSEWHERE = {"kamp", "afec", "rw", "joint"}


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """Trains a variant of the tiny preset, and returns its outcome and data; each is trained once,
    and variants of the same labels share the base.
    """

    places = {}

    @functools.cache
    def outcome_of(variant, *, labels="true", **changes):
        folder = tmp_path_factory.getbasetemp() / f"incremental_{len(places)}"
        folder = places.setdefault((labels, repr(sorted(changes.items()))), folder)
        steps = {"steps": 10, "ka_steps": 5}  # five for KA-Net, five for its student
        job = job_of("incremental", variant, folder, **WEIGHTS | steps | changes)
        data = opened(job)
        if labels != "true":
            data = without_old_labels(data, np.float32(labels))
        return train(job, data), data

    return outcome_of


@functools.cache
def opened(job):
    return EXPERIMENT.open(job)


def parameters(outcome):
    return jax.tree.map(np.asarray, outcome.trained.variables)


def assert_weighted(outcome, variant):
    found = outcome.trained.frozen["increment"].weights
    assert {name: float(weight) for name, weight in found.items()} == pytest.approx(
        WEIGHTS_OF_TERMS[variant]
    )


def assert_finite(outcome):
    assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(parameters(outcome)))


# Labels of old keypoints


def without_old_labels(data: Data, garbage: np.float32) -> Data:
    """Returns data in which garbage stands in the place of every label of an old keypoint: in the
    images of each later step, and of all keypoints in all validation images. Points and flags are
    garbage.
    """
    old = np.zeros((len(data.train), len(data.introduced)), bool)
    for number, step in enumerate(data.protocol.steps):
        old[list(step.images)] = data.introduced < number
    train_images = replaced(data.train, old, garbage)
    everything = np.ones((len(data.validation), len(data.introduced)), bool)
    return data._replace(
        train=train_images,
        validation=replaced(data.validation, everything, garbage),
        protocol=data.protocol._replace(source=train_images.digest),
    )


def replaced(source, chosen, garbage):
    """Returns a source with garbage in the place of chosen labels (N, K)."""

    def of_example(example, index):
        keypoints, visible = example.keypoints.copy(), example.visible.copy()
        keypoints[chosen[index]] = garbage
        visible[chosen[index]] = garbage
        return example._replace(keypoints=keypoints, visible=visible)

    return changed_source(source, of_example, str(garbage), name=source.name)


def labels(source):
    return (
        np.stack([source[number].keypoints for number in range(len(source))]),
        np.stack([source[number].visible for number in range(len(source))]),
    )


@pytest.mark.parametrize("variant", IN_THE_SETTING)
def test_no_label_of_an_old_keypoint_reaches_a_loss(trained, variant):
    """Training is the same bit by bit where these labels are NaN."""
    (true, _), (unknown, data) = trained(variant), trained(variant, labels="nan")
    assert np.isnan(labels(data.train)[0]).any()
    assert np.isnan(labels(data.validation)[1]).all()
    assert_finite(unknown)
    assert_weighted(unknown, variant)
    jax.tree.map(np.testing.assert_array_equal, parameters(true), parameters(unknown))


def test_the_flag_reads_labels_of_old_keypoints_and_no_preset_sets_it(trained):
    """The test above can fail: behind the gate NaN labels take all triples away."""
    gated, _ = trained("kamp", labels="nan", old_label_gate=True)
    assert gated.metrics["association/left_out"] == 1
    open_, _ = trained("kamp", labels="nan")
    assert open_.metrics["association/left_out"] == 0
    changed_leaves = jax.tree.map(
        lambda one, other: not np.array_equal(one, other), parameters(gated), parameters(open_)
    )
    assert any(jax.tree.leaves(changed_leaves))


def test_the_upper_bound_reads_labels_of_old_keypoints(trained):
    """It says so in its line; without them nothing is left in the place of KA-Net's maps."""
    assert "reads labels of old keypoints" in VARIANTS["kamp_true_points"].line
    (true, _), (moved, _) = (
        trained("kamp_true_points"),
        trained("kamp_true_points", labels="1e9"),
    )
    assert_finite(true)
    assert any(
        jax.tree.leaves(
            jax.tree.map(
                lambda one, other: not np.array_equal(one, other),
                parameters(true),
                parameters(moved),
            )
        )
    )


# Every variant and flag


@pytest.mark.parametrize(
    "variant",
    [
        pytest.param(name, marks=SLOW if name in PUBLISHED_EARLIER | SHORTER else ())
        for name in VARIANTS
        if name not in {*RUN_ELSEWHERE, *IN_THE_SETTING}
    ],
)
def test_a_variant_trains(trained, variant):
    outcome, _ = trained(variant)
    assert_finite(outcome)
    assert_weighted(outcome, variant)
    later = 5 if variant in SHORT else 10
    assert outcome.steps == 2 + 2 * later
    assert outcome.images == 8 * outcome.steps


@pytest.mark.slow
def test_online_ewc_is_ewc_with_other_importances_from_the_second_step_on(trained):
    leaves = [jax.tree.leaves(parameters(trained(name)[0])) for name in ("ewc", "online_ewc")]
    assert not all(map(np.array_equal, *leaves))


@pytest.mark.parametrize(
    "variant",
    [
        "kamp",
        pytest.param("kamp_rerendered", marks=SLOW),
        pytest.param("self_training", marks=SLOW),
    ],
)
def test_a_step_has_several_tasks(trained, variant):
    """`--triples 2`: each has an old keypoint and a KA-Net of its own."""
    outcome, data = trained(variant, triples=2)
    assert_finite(outcome)
    if variant != "self_training":
        found = [name.split("/") for name in outcome.metrics]
        told = {name[2] for name in found if len(name) == 4 and name[3] == "ka_net"}
        assert told == {triple.old for step in data.protocol.steps for triple in step.triples}
        assert len(told) == 4


def single_protocol(folder) -> str:
    """Writes the protocol of single new keypoints with a few images of each step."""
    content = json.loads((PROTOCOLS / "figures_single.json").read_text())
    content["images"]["parts"] = [8, 6, 6, 6, 6]
    path = folder / "single.json"
    path.write_text(json.dumps(content))
    return str(path)


@pytest.mark.parametrize("variant", ["kamp", pytest.param("kamp_rerendered", marks=SLOW)])
def test_a_step_brings_a_single_new_keypoint(trained, tmp_path_factory, variant):
    """E.1 of the paper: KA-Net sees features through the one new keypoint."""
    folder = tmp_path_factory.getbasetemp()
    outcome, data = trained(variant, protocol=single_protocol(folder))
    assert_finite(outcome)
    assert [len(step.keypoints) for step in data.protocol.steps] == [6, 1, 1, 1, 1]
    assert outcome.metrics["association/step_4/left_knee/used"] == 1


@pytest.mark.slow
def test_the_papers_second_network_trains(trained, monkeypatch):
    """RSN, of `mpii --network rsn`, here of one block at each level; all levels learn the new
    keypoints.
    """
    monkeypatch.setitem(residual_steps.BLOCKS, 18, (1, 1, 1, 1))
    tiny = RSN(depth=18, stem_width=3, unit_width=4)
    outcome, _ = trained("kamp", network=tiny)
    assert_finite(outcome)
    assert "head/stage0_up4" in {
        "/".join(key.key for key in path[:2])
        for path, _ in jax.tree.leaves_with_path(outcome.trained.variables["params"])
    }
    assert outcome.metrics["association/step_1/right_elbow/used"] == 1


@pytest.mark.slow
@pytest.mark.parametrize("ka_variant", ["wide", "with_features"])
@pytest.mark.filterwarnings("ignore:association network. with_features")
def test_another_ka_net_trains(trained, ka_variant):
    outcome, _ = trained("kamp", ka_variant=ka_variant)
    assert_finite(outcome)


def test_a_short_variant_is_as_long_as_the_student_of_ka_net():
    config = replace_fields(CONFIGS["incremental"], steps=100, ka_steps=0)
    assert student_step(config) == 80
    assert config.data.later_steps == 2
    for name in SHORT | {"kamp"}:
        later = 160 if name in SHORT else 200
        assert sum(lengths_of(EXPERIMENT, config, name).values()) == 2 + later
