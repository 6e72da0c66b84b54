"""Variants and fields of the paper's text, five steps each: whole runs, and steps of what a flag
builds.
"""

import functools
import shutil

import jax
import numpy as np
import pytest
import tiny_parts
from flax.traverse_util import flatten_dict
from safetensors.numpy import save_file
from tiny_systems import CONFIGS, job_of, results_of

from experiments.adaptation.images import open_images
from kpjax.errors import InputError
from kpjax.input.source import stack_examples
from kpjax.methods.adaptation_family.adaptation import PRINTED_SIGMA
from kpjax.models import VGG
from kpjax.papers.adaptation import comparison
from kpjax.papers.adaptation.comparison import perceptual_shapes, perceptual_start
from kpjax.papers.adaptation.core import network
from kpjax.papers.adaptation.stages import plain_of
from kpjax.papers.adaptation.variants import VARIANTS
from kpjax.papers.configs import replace_fields
from kpjax.papers.engine import built_on, computed, run, train
from kpjax.papers.plan import planned_stages
from kpjax.structures import Trained
from kpjax.training.trees import load_trained

TINY, STEPS = CONFIGS["adaptation"], 5
FLAGS = {
    "as it is": {},
    "projected": {"projected": "every"},
    "point_sigma": {"point_sigma": PRINTED_SIGMA},
    "perceptual_distance": {"perceptual_distance": "absolute"},
    "generator_width": {"generator_width": 8},
}


def images():
    return open_images(TINY.data, 0, None)


@functools.cache
def target():
    data = images().target
    return {"target": stack_examples([data[number] for number in range(TINY.batch_size)])}


def steps_of(config, start):
    """The metrics of five steps, from drawn weights."""
    method = VARIANTS["adapted"].method(config, None)
    state, seen = tiny_parts.drawn_state(method, start, streams=target()), []
    update = jax.jit(method.update)
    for step in range(STEPS):
        state, metrics = update(state, target(), jax.random.key(step))
        seen.append(float(metrics["loss/total"]))
    assert np.isfinite(seen).all()
    assert int(state.step) == STEPS
    return seen


@functools.cache
def core():
    built = network(TINY, TINY.landmarks)
    images = np.zeros((1, 32, 32, 3), np.float32)
    return tiny_parts.drawn(
        jax.eval_shape(lambda: built.init(jax.random.key(0), images, train=False))
    )


@functools.cache
def steps_of_flag(name):
    config = replace_fields(TINY, **FLAGS[name])
    return steps_of(config, {"core": core()} | perceptual_start(config))


@pytest.mark.slow
@pytest.mark.parametrize("name", [name for name in FLAGS if FLAGS[name]])
def test_a_flag_of_the_text_trains_another_network(name):
    """Five steps, whose loss differs from that of the preset."""
    assert not np.allclose(steps_of_flag(name), steps_of_flag("as it is"), rtol=1e-4)


@pytest.mark.slow
@pytest.mark.parametrize("depth", [19, 16])
def test_images_are_compared_by_a_file_of_vgg(tmp_path, monkeypatch, capsys, depth):
    """Its first stage alone, whose layers the two depths share; below it a VGG of either depth."""
    monkeypatch.setattr(comparison, "RELU_TAPS", ("relu1_2",))
    random, file = np.random.default_rng(0), tmp_path / "vgg.safetensors"
    save_file(
        {
            "features.0.weight": random.normal(0, 0.3, (64, 3, 3, 3)).astype(np.float32),
            "features.0.bias": np.zeros(64, np.float32),
            "features.2.weight": random.normal(0, 0.06, (64, 64, 3, 3)).astype(np.float32),
            "features.2.bias": np.zeros(64, np.float32),
        },
        file,
    )
    config = replace_fields(TINY, perceptual=str(file), vgg_depth=depth)
    start = {"core": core()} | perceptual_start(config)
    assert f"images are compared by features of {file}" in capsys.readouterr().out
    assert comparison.comparing(config)["perceptual"] == VGG(depth, ("relu1_2",))
    steps_of(config, start)
    built_on.cache_clear()  # of these taps


def test_a_plan_reads_no_weights(monkeypatch):
    """Of VGG by its name only shapes are there, and the start of a variant is planned before it."""
    shapes = perceptual_shapes(replace_fields(TINY, perceptual="vgg19.tv_in1k"))
    assert len(jax.tree.leaves(shapes["perceptual"])) == 2 * 11  # convolutions up to relu4_3
    job = job_of("adaptation", "finetuned_from_adapted")
    stages = planned_stages(job)
    assert [stage.name for stage in stages] == ["core", "adaptation", "adaptation"]
    assert [stage.folder.parent.name for stage in stages[1:]] == [
        "adapted",
        "finetuned_from_adapted",
    ]
    assert {stage.folder: stage.steps for stage in stages} == job.lengths


def test_nothing_is_trained_until_it_is_chosen_what_compares_images():
    """Neither the core, whose training comes first."""
    job = job_of("adaptation", "adapted", perceptual="")
    data = images()
    trained = []
    with pytest.raises(InputError, match="perceptual"):
        train(job, data._replace(core_images=lambda *of: trained.append(of)))
    assert not trained


@pytest.mark.slow
@pytest.mark.parametrize(
    "variant", ["adapted_every", "finetuned_last", "finetuned_from_adapted", "scratch"]
)
def test_variants_run_five_steps(variant, tmp_path_factory):
    """To their results, from the core of the seed or from the adapted network."""
    workdir = tmp_path_factory.getbasetemp() / "five steps"
    job = job_of("adaptation", variant, workdir, steps=STEPS)
    run(job)
    found, trained = results_of(job.preset_folder, variant), load_trained(job.folder / "model")
    before = "adapted" if variant == "finetuned_from_adapted" else ""
    assert found["steps"] == (2 * STEPS if before else STEPS)
    assert found["images"] == found["steps"] * TINY.batch_size
    assert np.isfinite(found["metrics"]["forward/all"])
    plain = flatten_dict(plain_of(trained)["params"])
    if variant == "scratch":
        return
    learnt = load_trained(
        job.preset_folder / "stages" / "core_people_clutter" / "seed-0" / "result"
    )
    weights = flatten_dict(learnt.variables["params"])
    of_core = {
        path
        for path, leaf in plain.items()
        if path[0] != "head" and np.array_equal(leaf, weights[path])
    }
    body = {path for path in plain if path[0] == "backbone"}
    if variant == "finetuned_last":
        assert of_core == body
        assert set(trained.frozen) == {"core"}
    else:
        assert not of_core & body
    if before:
        adapted = load_trained(job.preset_folder / before / "seed-0" / "model")
        assert results_of(job.preset_folder, before)["steps"] == STEPS
        folded = plain_of(adapted)
        first = jax.eval_shape(
            VARIANTS[variant].method(job.config, None).init,
            jax.random.key(0),
            target(),
            {"core": folded} | perceptual_start(job.config),
        )
        assert first.frozen.keys() == {"perceptual"}
        begun = flatten_dict(folded["params"])
        assert set(plain) == set(begun)
        # Five steps of Adam at 1e-3 lead no further; fresh heads lie a hundred times as far apart.
        path = ("head", "output", "kernel")
        assert np.abs(plain[path] - begun[path]).max() < 0.02


@pytest.mark.slow
def test_clusters_of_the_trunk_train_nothing(ran, tmp_path):
    """A control of no step, the same whenever it runs, whose result reads new images."""
    job = job_of("adaptation", "trunk_clusters", tmp_path)
    stages = ran("adaptation") / "stages"
    shutil.copytree(stages, job.preset_folder / "stages")
    run(job)
    found, trained = results_of(job.preset_folder, job.variant), load_trained(job.folder / "model")
    assert found["steps"] == 0
    assert found["images"] == len(images().target)
    assert np.isfinite(found["metrics"]["forward/all"])
    assert trained.variables["clusters"]["centres"].shape[0] == TINY.landmarks
    learnt = load_trained(stages / "core_people_clutter" / "seed-0" / "result")
    for name in ("params", "batch_stats"):
        jax.tree.map(
            np.testing.assert_array_equal,
            trained.variables[name]["backbone"],
            learnt.variables[name]["backbone"],
        )
    assert job.lengths[job.folder] == 0
    with pytest.raises(InputError, match="no network of its own"):
        plain_of(trained)


def test_the_result_of_another_variant_is_folded_into_a_plain_network():
    """What `plain_of` makes of it; the head is the learnt one, bit by bit."""
    trained = _adapted_result()
    found = computed(plain_of, trained).do()
    wanted = jax.jit(lambda trained: plain_of(trained))(trained)
    jax.tree.map(functools.partial(np.testing.assert_allclose, rtol=1e-6, atol=1e-7), found, wanted)
    head = trained.variables["params"]["head"]
    jax.tree.map(np.testing.assert_array_equal, found["params"]["head"], head)


def _adapted_result():
    method = VARIANTS["adapted"].method(TINY, None)
    start = {"core": core()} | perceptual_start(TINY)
    state = tiny_parts.drawn_state(method, start, streams=target())
    frozen = {"core": state.frozen["core"]}
    return Trained(state.variables, frozen)
