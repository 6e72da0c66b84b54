"""The paper presets of KAMP, as they are resolved and built, against the paper (arXiv 2503.20248).

Each check has an element, what is expected, and where the paper says it. "Not stated" has no line
here; these choices stand in kpjax/papers/incremental/differences.csv.
"""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from etils import epath

from experiments import experiment_of
from experiments.blank import without_data
from experiments.incremental import PRESETS
from kpjax import Skeleton
from kpjax.files import read_json
from kpjax.losses.distillation import spatial_distillation
from kpjax.losses.objective import total, without
from kpjax.methods.incremental_family.step_spec import increment
from kpjax.models import RSN, residual_steps
from kpjax.models.association import AssociationInputs, association_network
from kpjax.papers.configs import flat, replace_fields, with_network
from kpjax.papers.engine import Job
from kpjax.papers.incremental.config import ASSOCIATION_SHARE, Config
from kpjax.papers.incremental.measures import columns
from kpjax.papers.incremental.runs import setting_of
from kpjax.papers.incremental.stages import objective_of, student_step
from kpjax.papers.incremental.variants import VARIANTS, alpha
from kpjax.papers.paper_numbers import paper_numbers
from kpjax.papers.plan import planned_stages

HEADS = "cephalometric_2023"
PAPER = ("mpii", "atrw", HEADS, "chest")  # the sets of the paper's main table
OF_THE_PAPER = (*PAPER, "cephalometric", "low_shot", "upper_lower", "single")


def test_crops_are_turned_and_zoomed_before_they_are_cut_as_hrnets_are():
    """Those of X-rays and of small presets, which have rows, are as they were."""
    larger = {
        name
        for name, config in PRESETS.items()
        if config.data.loaded(config.augment.reach) is not None
    }
    assert larger == {"mpii", "low_shot", "upper_lower", "single", "atrw", "lspet"}


OF_NECK = "association/step_1/neck/{}"
STEPS = {"mpii": 5, "atrw": 4, HEADS: 5, "chest": 2, "upper_lower": 4, "single": 3, "low_shot": 5}


@pytest.mark.parametrize("preset", STEPS)
def test_the_number_of_steps_is_the_papers(preset):
    """AAA4 on MPII, AAA3 on ATRW, A-MRE4 on heads, A-MRE1 on chests."""
    assert len(steps_of(preset)) == STEPS[preset]


@pytest.mark.parametrize("preset", OF_THE_PAPER)
def test_ka_net_has_a_fifth_of_a_steps_epochs(preset):
    """Sections of both stages: 20 epochs of KA-Net, 80 of its student."""
    config = PRESETS[preset]
    assert ASSOCIATION_SHARE == 20 / 100
    assert config.association_steps == round(0.2 * config.steps)
    student = student_step(config)
    assert student == config.steps - config.association_steps
    assert student / config.steps == pytest.approx(0.8, abs=1e-3)


@pytest.mark.parametrize(
    ("preset", "share"), [("mpii", 1 / 5), ("upper_lower", 1 / 4), ("single", 1 / 5)]
)
def test_a_step_of_people_is_a_hundred_epochs(preset, share):
    """Of the 22,246 people of MPII, in batches of 32."""
    config = PRESETS[preset]
    epochs = config.steps * config.batch_size / (22_246 * share)
    assert epochs == pytest.approx(100, rel=0.005)


def test_the_variants_of_the_papers_tables_are_there():
    """Its rivals, and the ablations of Tables 2 and 8."""
    tables = ("joint", "finetune", "ewc", "online_ewc", "mas", "rw", "afec", "lwf", "cpr")
    ablations = ("ksd_only", "ka_only", "random_triples", "kamp")
    assert set(VARIANTS) >= {*tables, *ablations}
    named = ("kamp", "finetune", "lwf", "cpr", "ksd_only", "ka_only", "random_triples", "joint")
    assert {name for name, variant in VARIANTS.items() if variant.label} == set(named)


@pytest.mark.parametrize(
    ("where", "metric", "printed"),
    [
        ({"preset": "mpii", "variant": "kamp", "network": "hrnet"}, "aaa", 79.93),
        ({"preset": "mpii", "variant": "kamp", "network": "hrnet"}, "at", 1.80),
        ({"preset": "mpii", "variant": "kamp", "network": "hrnet"}, "mt", 4.23),
        (
            {"preset": "mpii", "variant": "kamp", "network": "hrnet"},
            OF_NECK.format("ka_net"),
            67.36,
        ),
        (
            {"preset": "mpii", "variant": "kamp", "network": "hrnet"},
            OF_NECK.format("teacher"),
            64.39,
        ),
        ({"preset": "mpii", "variant": "kamp", "network": "rsn"}, "aaa", 81.45),
        ({"preset": "mpii", "variant": "ka_only", "network": "hrnet"}, "aaa", 54.46),
        ({"preset": "mpii", "variant": "random_triples", "network": "hrnet"}, "aaa", 77.13),
        ({"preset": "mpii", "variant": "ksd_only", "network": "hrnet"}, "aaa", 76.93),
        ({"preset": HEADS, "variant": "kamp", "network": "hrnet"}, "a_mre", 2.32),
        ({"preset": "chest", "variant": "kamp", "network": "hrnet"}, "a_mre", 5.67),
        ({"preset": "atrw", "variant": "kamp", "network": "hrnet"}, "aaa", 93.16),
    ],
)
def test_numbers_of_the_paper_stand_beside_ours(where, metric, printed):
    assert paper_numbers("incremental", low_shot=0, triples=1, **where)[metric] == printed


def test_ka_net_at_step_1_has_a_column_beside_the_papers():
    """Table 5; a run measures it under the names of its columns, whose old keypoint is that of the
    protocol's first triple.
    """
    shown = [column.metric for column in columns(PRESETS["mpii"])]
    names = [OF_NECK.format(name) for name in ("ka_net", "teacher")]
    assert [name for name in shown if name.startswith("association/step_1/")] == names
    assert steps_of("mpii")[1]["triples"][0]["old"] == "neck"
    for preset in set(PRESETS) - {"mpii", "low_shot"}:
        assert not [c for c in columns(PRESETS[preset]) if "step_1" in c.metric]


def test_numbers_that_the_paper_lacks_are_not_made_up():
    """No number of a single new keypoint is in what we have of the paper."""
    where = {"preset": "single", "variant": "kamp", "network": "hrnet", "low_shot": 0, "triples": 1}
    assert paper_numbers("incremental", **where) == {}


# What is built


def steps_of(preset):
    """Reads the steps of a preset's protocol."""
    return read_json(PRESETS[preset].data.protocol_path())["steps"]


def built(preset: str) -> tuple[Config, dict]:
    """Returns a preset's config and the terms of its `kamp` beside the labels'."""
    config = PRESETS[preset]
    objective = objective_of(setting_of(config, Skeleton(tuple("abcd"))))
    assert set(objective) == {"new_keypoints", "distillation", "association"}
    return config, without(objective, "new_keypoints")


def maps(*shape, seed=0):
    return jnp.asarray(np.random.default_rng(seed).normal(size=shape), jnp.float32)


@pytest.mark.parametrize("preset", PAPER)
def test_equation_4_is_built(preset):
    """alpha (KSD of all old keypoints + KA of the one of the triple), beside the labels."""
    config, terms = built(preset)
    assert set(terms) == {"distillation", "association"}
    weights = alpha(config.weights, old=3)
    assert weights == {"distillation": config.weights.kamp, "association": config.weights.kamp}
    step = jax.tree.map(
        jnp.asarray, increment(4, old=(0, 1), new=(2, 3), triples=[(1, 2, 3)], weights=weights)
    )
    teacher, student, of_ka_net = maps(2, 5, 7, 4), maps(2, 5, 7, 4, seed=1), maps(2, 5, 7, 1)
    outputs = {
        "heatmaps": student,
        "teacher": teacher,
        "believed": jnp.ones((2, 4)),
        "association": of_ka_net,
        "increment": step,
        "labelled_triples": jnp.ones((2, 1)),
    }
    value, _ = total(terms, outputs, {}, step.weights)
    one = spatial_distillation(teacher[..., :2], student[..., :2])
    other = spatial_distillation(of_ka_net, student[..., 1:2])
    np.testing.assert_allclose(value, config.weights.kamp * (one + other), rtol=1e-5)


def test_several_tasks_share_the_weight():
    """The paper does not say how several add up; here l_KA is their mean."""
    _, terms = built("mpii")
    student, of_ka_nets = maps(2, 5, 7, 4, seed=1), maps(2, 5, 7, 3)
    step = increment(4, old=(0, 1), new=(2, 3), triples=[(1, 2, 3), (0, 2, 3)], slots=3)
    outputs = {
        "heatmaps": student,
        "association": of_ka_nets,
        "increment": jax.tree.map(jnp.asarray, step),
        "labelled_triples": jnp.ones((2, 3)),
    }
    each = [
        spatial_distillation(of_ka_nets[..., t : t + 1], student[..., o : o + 1])
        for t, o in ((0, 1), (1, 0))
    ]
    found = terms["association"].function(outputs, {})
    np.testing.assert_allclose(found, sum(each) / 2, rtol=1e-5)


def test_ka_net_sees_old_features_through_the_labels_of_two_new_keypoints():
    """Section 3.2.1: F times each Gaussian, convolutions, one map."""
    network = association_network("paper", inputs=2)
    features, gaussians = maps(1, 9, 9, 3), jnp.zeros((1, 9, 9, 2)).at[0, 4, 4].set(1.0)
    inputs = AssociationInputs(features, gaussians, jnp.full((1, 2, 2), 4.0))
    variables = network.init(jax.random.key(0), inputs, train=False)
    assert {leaf.shape for leaf in jax.tree.leaves(variables["params"]) if leaf.ndim == 4} == {
        (3, 3, 6, 3),
        (3, 3, 3, 3),
        (3, 3, 3, 1),
    }
    moved = inputs._replace(features=features.at[0, 0, 0].add(5.0))  # outside both Gaussians
    seen = functools.partial(network.apply, variables, train=False)
    np.testing.assert_array_equal(seen(inputs), seen(moved))
    inside = inputs._replace(features=features.at[0, 4, 4].add(5.0))
    assert (seen(inputs) != seen(inside)).any()


def test_a_single_new_keypoint_has_a_ka_net_of_one_map():
    """E.1; how its KA-Net reads one new keypoint is not in what we have of the paper."""
    later = steps_of("single")[1:]
    assert [len(step["keypoints"]) for step in later] == [1, 1]
    assert [len(triple["new"]) for step in later for triple in step["triples"]] == [1, 1]


def test_the_papers_example_of_a_triple_is_used():
    """Section 3.2.1: upper neck, from both shoulders."""
    first = steps_of("mpii")[1]["triples"][0]
    assert first == {"old": "neck", "new": ["right_shoulder", "left_shoulder"]}


def test_the_second_network_runs_on_the_same_preset(monkeypatch):
    """RSN in place of HRNet, `mpii --network rsn`, here at a small size."""
    config = with_network(PRESETS["mpii"], "rsn")
    assert isinstance(config.network, RSN)
    assert flat(config) | {"network": ""} != flat(PRESETS["mpii"]) | {"network": ""}
    monkeypatch.setitem(residual_steps.BLOCKS, 18, (1, 1, 1, 1))
    config = replace_fields(
        config,
        network=RSN(depth=18, stem_width=3, unit_width=4),
        image_size=64,
        heatmap_size=16,
        augmentation="none",
    )
    system, nowhere = without_data(experiment_of("incremental")), epath.Path("nowhere")
    found = planned_stages(Job(system, config, "mpii", "kamp", 0, nowhere, nowhere))
    assert [stage.name for stage in found][:3] == ["step 0", "association 1", "step 1"]
    assert len(found) == 1 + 2 * 4
