"""Presets that move the original images: a run reads larger training images, and everything else
plain crops.
"""

import json

import jax
import numpy as np
import pytest

import data.prepared
from data.bodies import BODY
from data.hands import HAND
from data.prepared import png, record
from experiments import experiment_of, images
from experiments.adaptation import images as adaptation_images
from kpjax import geometry
from kpjax.input.source import TfdsSource, stack_examples
from kpjax.models import SmallUNet
from kpjax.papers import regda, source_free
from kpjax.papers.adaptation.core import build_core
from kpjax.papers.command_line import run
from kpjax.papers.configs import replace_fields
from kpjax.papers.engine import Job, result_of
from kpjax.papers.incremental import association, rivals, runs
from kpjax.papers.semi_supervised.pseudo_labels import averaging
from kpjax.papers.semi_supervised.variants import VARIANTS
from kpjax.training.evaluation import predict_source

pytestmark = pytest.mark.slow
SMALL = {
    "image_size": 32,
    "heatmap_size": 8,
    "sigma": 1.0,
    "batch_size": 8,
    "steps": 2,
    "evaluations": 1,
    "network": SmallUNet((4, 4, 4), head_layers=1),
}
LEEDS = replace_fields(
    experiment_of("semi_supervised").presets["lspet"],
    **SMALL | {"batch_size": 16},
    labelled=6,
    crop_smallest=10.0,
    feature_width=8,
)
HANDS = replace_fields(experiment_of("regda").presets["rhd_h3d"], **SMALL, pretraining_steps=2)
STEPS = replace_fields(
    experiment_of("incremental").presets["lspet"],
    **{name: value for name, value in SMALL.items() if name != "evaluations"} | {"steps": 5},
    base_steps=2,
    ka_steps=2,
    afec_images=4,
    crop_smallest=10.0,
)


def made(number, skeleton, split):
    """The record of an image that is bright all over, with a person or a hand in its middle."""
    random = np.random.default_rng([number, len(split), len(skeleton.names)])
    pixels = png(random.integers(120, 256, (90, 90, 3), np.uint8))
    visible = ["pelvis" != name != "thorax" for name in skeleton.names]
    return record(
        pixels,
        random.uniform(30, 60, (len(visible), 2)),
        visible,
        20.0,
        f"{split}-{number}".encode(),
        (33, 33, 24, 24),
    )


@pytest.fixture(autouse=True)
def sets(monkeypatch):
    """Prepared sets of a few made-up images each."""

    def open_source(name, split, *, data_dir, transform):
        skeleton, count = (
            (BODY if name == "lspet" else HAND),
            (8 if split in ("test", "tune") else 24),
        )
        return TfdsSource(
            [made(number, skeleton, split) for number in range(count)],
            skeleton,
            transform,
            f"{name}/{split}",
        )

    monkeypatch.setattr(data.prepared, "open_source", open_source)
    monkeypatch.setattr(adaptation_images, "open_source", open_source)
    caches = images._open, images.open_domain
    for cached in caches:
        cached.cache_clear()
    yield
    for cached in caches:
        cached.cache_clear()


def sides(*sources):
    return [source[0].image.shape[0] for source in sources]


def test_semi_supervised_training_images_are_larger(tmp_path):
    job = Job(experiment_of("semi_supervised"), LEEDS, "tiny", "pl", 0, tmp_path, tmp_path)
    opened = job.experiment.open(job)
    larger = opened.labelled[0].image.shape[0]
    assert 2.3 * 32 < larger < 2.5 * 32  # 1.77 of the crop, 1.33 px for each of its
    assert sides(opened.unlabelled, opened.everything) == [larger] * 2
    assert sides(opened.validation, opened.test, opened.plain_unlabelled) == [32] * 3
    run(
        job.experiment._replace(presets={"tiny": LEEDS}),
        ["tiny", "--variants", "pl", "--workdir", str(tmp_path)],
    )

    # Pseudo-labels are found on plain crops, and lie in the larger images at the same places of the
    # original.
    teacher = result_of(job._replace(variant="supervised")).trained
    supervised = VARIANTS["supervised"].method(LEEDS, opened.skeleton)
    plain = predict_source(
        averaging(supervised, LEEDS, opened.skeleton),
        teacher,
        opened.plain_unlabelled,
        batch_size=16,
    )
    (kept,) = job.folder.glob("pseudo_labels-*.npz")
    with np.load(kept) as labels:
        crops = np.stack([opened.unlabelled[n].crop for n in range(len(opened.unlabelled))])
        seen = labels["visible"] > 0
        there, expected = (
            np.asarray(geometry.move_points(*pair))
            for pair in ((crops, labels["keypoints"]), (plain.crop, plain.keypoints))
        )
    assert seen.any()
    np.testing.assert_allclose(there[seen], expected[seen], atol=1e-2)


def three_steps(folder):
    """Writes a protocol whose triples are chosen by the old model's predictions."""
    content = json.loads(STEPS.data.protocol_path().read_text())
    found = [{"keypoints": step["keypoints"]} for step in content["steps"][:3]]
    path = folder / "three_steps.json"
    path.write_text(json.dumps(content | {"steps": found, "triple": "automatic"}))
    return str(path)


def test_steps_of_a_protocol_train_on_larger_images_and_measure_on_plain_ones(
    tmp_path, monkeypatch
):
    """Stages of all kinds of variants train; the triples, the choice of KA-Net, importances and
    evaluations are passes over plain crops.
    """
    config = replace_fields(STEPS, protocol=three_steps(tmp_path))
    experiment = experiment_of("incremental")
    opened = experiment.open(Job(experiment, config, "tiny", "kamp", 0, tmp_path, tmp_path))
    larger = opened.train[0].image.shape[0]
    assert 2.3 * 32 < larger < 2.5 * 32
    assert sides(opened.plain_train, opened.validation, opened.evaluation) == [32] * 3
    trained, measured = [], []

    def watched(module, name, source_of, seen):
        function = getattr(module, name)

        def watching(*arguments, **options):
            seen.append((name, *sides(*source_of(*arguments))))
            return function(*arguments, **options)

        monkeypatch.setattr(module, name, watching)

    for module in (runs, rivals):
        watched(module, "batches", lambda job, method, sources: sources.values(), trained)
    watched(runs, "predict_source", lambda method, state, source: [source], measured)
    for module in (association, rivals):
        watched(module, "reduce", lambda measure, state, source: [source], measured)
    run(
        experiment._replace(presets={"tiny": config}),
        ["tiny", "--variants", "kamp", "afec", "joint", "--workdir", str(tmp_path)],
    )
    assert set(trained) == {("batches", larger)}
    # step 0, of all variants but the last; KA-Net and its student, AFEC's student and its second
    # network, in two steps
    assert len(trained) == 1 + 2 * 2 + 2 * 2 + 1
    assert set(measured) == {("predict_source", 32), ("reduce", 32)}


@pytest.mark.parametrize("step", [0, 1])
def test_plain_images_of_a_step_are_those_that_train(tmp_path, step):
    """Labels lie at the same places of the original images."""
    experiment = experiment_of("incremental")
    job = Job(experiment, STEPS, "tiny", "kamp", 0, tmp_path, tmp_path)
    of_run = runs.Run(job, experiment.open(job))
    training, plain = of_run.training_images(step), of_run.plain_images(step)
    assert sides(training) > sides(plain) == [32]
    assert len(training) == len(plain) > 1
    for number in range(len(plain)):
        one, other = training[number], plain[number]
        np.testing.assert_array_equal(one.visible, other.visible)
        assert other.visible.any()
        places = [
            np.asarray(geometry.move_points(each.crop[None], each.keypoints[None]))[0]
            for each in (one, other)
        ]
        seen = other.visible > 0
        np.testing.assert_allclose(places[0][seen], places[1][seen], atol=1e-2)


def test_hands_are_turned_and_cropped_at_full_size(tmp_path):
    experiment = experiment_of("regda")
    opened = experiment.open(Job(experiment, HANDS, "tiny", "regda", 0, tmp_path, tmp_path))
    assert sides(opened.source.train, opened.target.train) == [42, 42]  # 32 px over the root of 0.6
    assert sides(opened.source.validation, opened.source.test, opened.target.test) == [32] * 3
    streams = {
        name: stack_examples([source[number] for number in range(8)])
        for name, source in (("source", opened.source.train), ("target", opened.target.train))
    }
    method = regda.VARIANTS["regda"].method(HANDS, opened.source.train.skeleton)
    state = jax.eval_shape(method.init, jax.random.key(0), streams, {})
    after, _ = jax.eval_shape(method.update, state, streams, jax.random.key(1))
    assert jax.tree.structure(after) == jax.tree.structure(state)


def test_adaptation_without_the_source_is_checked_on_plain_images(tmp_path, monkeypatch):
    seen = []
    check_of = source_free.check_of

    def watched(method, start, held, **options):
        seen.extend(sides(held))
        return check_of(method, start, held, **options)

    monkeypatch.setattr(source_free, "check_of", watched)
    run(
        experiment_of("regda")._replace(presets={"tiny": HANDS}),
        ["tiny", "--variants", "source_free", "--workdir", str(tmp_path)],
    )
    assert seen == [32]


def test_the_core_of_an_adaptation_reads_larger_training_images():
    config = replace_fields(
        experiment_of("adaptation").presets["lspet_faces"],
        image_size=32,
        target_side=32,
        width=16,
        depth=1,
        core_crop_smallest=10.0,
    )
    train, test = adaptation_images.open_core_images(config, 0, None)
    assert sides(train)[0] > 32 == sides(test)[0]
    method = build_core(config, train.skeleton)
    batch = {"labelled": stack_examples([train[number] for number in range(4)])}
    assert batch["labelled"].image.min() > 100  # the image, where a plain crop has its border
    state = jax.eval_shape(method.init, jax.random.key(0), batch, {})
    jax.eval_shape(method.update, state, batch, jax.random.key(0))
