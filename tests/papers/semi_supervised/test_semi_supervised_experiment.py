"""The semi-supervised experiment: its images, its variants, a few steps of some of them, its
tables.
"""

import json
import re
import shutil
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from PIL import Image
from tiny_systems import CONFIGS, SYSTEMS, job_of, results_of

from experiments import images
from experiments.semi_supervised import EXPERIMENT, PRESETS
from kpjax import Term
from kpjax.errors import InputError
from kpjax.heatmaps import codec
from kpjax.input.source import arrays
from kpjax.methods.semi_supervised_family.semantic_features import Semantic
from kpjax.papers.configs import replace_fields
from kpjax.papers.engine import Outcome, run as run_job
from kpjax.papers.semi_supervised import measures, stages, variants
from kpjax.papers.semi_supervised.left_to_learn import left_to_learn
from kpjax.papers.semi_supervised.measures import keypoint_features, read_semantic
from kpjax.papers.semi_supervised.rivals import ON_PEOPLE
from kpjax.papers.semi_supervised.variants import VARIANTS
from kpjax.structures import Method, Prediction, Skeleton, Trained
from kpjax.training.trees import load_trained

TINY, TINY_SYSTEM = CONFIGS["semi_supervised"], SYSTEMS["semi_supervised"]
SLOW = ("pl", "all_labels")  # pl brings supervised with it


def tiny_data(**changes):
    return EXPERIMENT.open(job_of("semi_supervised", "sskl", **changes))


# Runs


def digest_of(finished, variant):
    return json.loads((finished / variant / "seed-0" / "config.json").read_text())[
        "labelled_digest"
    ]


def test_the_variant_of_contributing_is_the_method_with_one_more_term(monkeypatch):
    objectives = []
    usual = stages.methods.semi_supervised

    def noting(setup, *, objective, **options):
        objectives.append(objective)
        return usual(setup, objective=objective, **options)

    monkeypatch.setattr(stages.methods, "semi_supervised", noting)
    page = (Path(__file__).parents[3] / "CONTRIBUTING.md").read_text(encoding="utf-8")
    names = {**vars(variants), "build_objective": stages.build_objective}
    names |= {"jax": jax, "jnp": jnp, "Term": Term}
    for start in ("def sparsity_term", "def build_sparse"):
        (written,) = re.findall(rf"^{start}.*?(?=^```)", page, re.MULTILINE | re.DOTALL)
        exec(written, names)
    skeleton, config = tiny_data().skeleton, job_of("semi_supervised", "sskl").config
    built = names["VARIANTS"]["sparse"].method(config, skeleton)
    assert built.streams == VARIANTS["sskl"].method(config, skeleton).streams
    (objective,) = [one for one in objectives if "sparsity" in one]
    assert {"semantic", "equivariance", "invariance"} < {*objective}


@pytest.mark.parametrize(
    "variants",
    [("sskl",), pytest.param((*SLOW, "supervised"), marks=pytest.mark.slow)],
    ids=["one", "others"],
)
def test_results_are_complete(ran, variants):
    finished = ran("semi_supervised", *variants)
    points = tiny_data().skeleton
    for variant in variants:
        results = results_of(finished, variant)
        found = results["metrics"]
        assert results["steps"] == 5  # every variant has seen the steps of the warm start
        assert {"test/pck", "test/nme"} <= set(found)
        # Rendered images are not resized and their reference length is the side: an error is the
        # same in both units.
        assert found["test/nme"] * 32 == pytest.approx(found["test/distance"], rel=1e-4)
        assert 0 < found["labelled/left_to_learn"] < 2
        # the last one
        assert found["best_validation/step"] <= (5 if variant == "all_labels" else 3)
        assert len([name for name in found if name.startswith("test/pck/")]) == len(points.names)
        assert found.get("test/sc_over_ln_k") == (
            pytest.approx(1, abs=0.3) if variant == "sskl" else None
        )
    assert {digest_of(finished, variant) for variant in variants} == {digest_of(finished, "sskl")}


def test_the_warm_start_is_shared_and_the_subset_is_part_of_what_a_run_is(finished):
    assert [path.name for path in (finished / "stages").iterdir()] == ["warm_start"]
    assert digest_of(finished, "sskl") == tiny_data().identity["labelled_digest"]
    job = job_of("semi_supervised", "sskl", finished.parents[1])
    kept = {
        path: path.read_bytes()
        for path in (job.folder / "results.json", job.folder / "config.json")
    }
    (job.folder / "results.json").unlink()
    other = TINY_SYSTEM._replace(
        open=lambda job: tiny_data()._replace(identity={"labelled_digest": "another"})
    )
    with pytest.raises(InputError, match=r"labelled_digest is [0-9a-f]+ there and another here"):
        run_job(job._replace(experiment=other))
    # Checkpoints say the same: without a warm start the run's own are asked.
    shutil.rmtree(finished / "stages")
    with pytest.raises(InputError, match="labelled_digest"):
        run_job(job._replace(experiment=other))
    for path, content in kept.items():
        path.write_bytes(content)


@pytest.mark.slow
def test_pseudo_labels_are_as_many_as_labels(ran):
    """Figures are labelled completely, so every prediction is kept; they are made once and stay."""
    finished = ran("semi_supervised", *SLOW)
    (kept,) = (finished / "pl" / "seed-0").glob("pseudo_labels-*.npz")
    with np.load(kept) as labels:
        assert labels["visible"].shape == (18, 10)
        assert labels["visible"].all()
    trained = load_trained(finished / "pl" / "seed-0" / "model")
    assert "semantic" not in trained.variables
    assert "semantic" in load_trained(finished / "sskl" / "seed-0" / "model").variables


AS_PRINTED = {"balanced": False, "unit": False, "reduction": "sum", "one_scale": False}


@pytest.mark.parametrize(
    ("variant", "changes"),
    [
        ("sskl", AS_PRINTED | {"selection": "validation", "patience": 3, "evaluations": 3}),
        ("te_inverse", {}),
        ("affine", {}),
        ("supervised_warped", {"warp": "affine"}),
        ("sskl", {"head_map": False, "widths": (4, 4, 4, 4)}),
        ("pl_agreed", {}),
    ],
    ids=[
        "sskl as printed",
        "te_inverse",
        "affine",
        "control under affine maps",
        "F without the head's map",
        "pseudo-labels of two views",
    ],
)
def test_five_steps_of_what_the_paper_tried(tmp_path, variant, changes):
    """Two steps of the warm start, and three."""
    job = job_of("semi_supervised", variant, tmp_path, **changes)
    run_job(job)
    results = results_of(job.preset_folder, variant)
    assert results["steps"] == 5
    rows = [json.loads(line) for line in (job.folder / "metrics.jsonl").read_text().splitlines()]
    row = next(row for row in rows if "loss/supervised" in row)
    losses = {name: value for name, value in row.items() if name.startswith("loss/")}
    assert all(np.isfinite(value) for value in losses.values())
    terms = {"supervised", "semantic", "equivariance", "invariance"}
    if variant == "supervised_warped":
        terms = {"supervised"}
    if variant == "pl_agreed":
        terms = {"supervised", "pseudo_labels"}
        (kept,) = job.folder.glob("pseudo_labels-*.npz")
        with np.load(kept) as labels:
            assert labels["visible"].shape == (18, 10)
            assert not labels["visible"].all()  # a network of five steps knows too little
    assert {f"loss/{name}" for name in terms} <= set(losses)


def test_training_ends_when_validation_improves_no_more(tmp_path, monkeypatch):
    """Both stages are reported by the steps that were taken; the warm start takes all of its own."""
    measured = stages.errors
    falling = iter([0.5, 0.4, 0.3, 0.2, 0.1])

    def scripted(found, skeleton, config, name, **options):
        values = measured(found, skeleton, config, name, **options)
        return values | ({"validation/pck": next(falling)} if name == "validation" else {})

    monkeypatch.setattr(stages, "errors", scripted)
    job = job_of(
        "semi_supervised",
        "supervised",
        tmp_path,
        selection="validation",
        patience=1,
        evaluations=3,
        steps=3,
    )
    run_job(job)
    results = results_of(job.preset_folder, "supervised")
    # Two evaluations of the warm start, then 0.3 and 0.2: the second is no better.
    assert list(falling) == [0.1]
    assert results["steps"] == 2 + 2
    assert results["metrics"]["best_validation/step"] == 1
    assert results["images"] == (2 + 2) * TINY.batch_size


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"patience": 3}, "patience: 3; the last step is the result"),
        ({"patience": -1}, "patience: -1; must be at least 0"),
    ],
)
def test_a_patience_that_stops_nothing(changes, words):
    with pytest.raises(InputError, match=words):
        replace_fields(TINY, **changes)


# Pictures


def test_representations_of_test_images_are_drawn(finished):
    """The paper's figure 4: a dot for each labelled keypoint that a test image shows."""
    pytest.importorskip("sklearn")
    folder = finished / "sskl" / "seed-0"
    with Image.open(folder / "images" / "test_representations.png") as picture:
        assert picture.width > 32
    data = tiny_data()
    trained = load_trained(folder / "model")
    read = read_semantic(TINY, data.skeleton)
    features, keypoints = keypoint_features(read, trained.variables, data.test)
    examples = [data.test[number] for number in range(len(data.test))]
    shown = np.array(
        [
            (one.visible > 0) & ((one.keypoints >= -0.5) & (one.keypoints < 31.5)).all(-1)
            for one in examples
        ]
    )
    assert features.shape == (shown.sum(), 8)
    np.testing.assert_array_equal(keypoints, np.nonzero(shown)[1])
    again, _ = keypoint_features(read, trained.variables, data.test)
    np.testing.assert_array_equal(again, features)
    assert features.std(0).max() > 0


def test_no_more_representations_are_read_than_a_picture_shows(monkeypatch):
    monkeypatch.setattr(measures, "FEATURES_SHOWN", 25)
    data = tiny_data()
    seen = []

    def read(variables, batch):
        seen.append(batch.image.shape[0])
        return Semantic(jnp.zeros((*batch.visible.shape, 4)), jnp.zeros((1,)))

    features, keypoints = keypoint_features(read, {}, data.test)
    assert seen == [2]
    assert len(features) == len(keypoints) <= 20


def test_a_run_without_scikit_learn_says_what_it_leaves_out(monkeypatch, capsys, tmp_path):
    monkeypatch.setattr(measures, "can_embed", lambda: False)
    monkeypatch.setattr(measures.engine, "draw_predictions", lambda *given: None)
    job = job_of("semi_supervised", "sskl", tmp_path)
    outcome = Outcome(None, Trained({"semantic": {}}, {}), 0)
    measures.draw(job, tiny_data(), outcome, {"test": None})
    assert "no picture of the representations" in capsys.readouterr().out
    assert not list(tmp_path.rglob("*.png"))


# Images


def test_smaller_subsets_lie_in_larger_ones_and_no_label_is_left_behind():
    few, more = tiny_data(labelled=3), tiny_data(labelled=0.25)
    assert (len(few.labelled), len(few.unlabelled), len(more.labelled), len(more.unlabelled)) == (
        3,
        21,
        6,
        18,
    )
    seen = [
        {source[n].image.tobytes() for n in range(len(source))}
        for source in (few.labelled, more.labelled, more.unlabelled)
    ]
    assert seen[0] < seen[1]
    assert not seen[1] & seen[2]
    assert not any(more.unlabelled[n].visible.any() for n in range(18))
    assert few.identity != more.identity
    assert len(tiny_data(unlabelled_share=0.5).unlabelled) == 9
    everything = tiny_data(labelled=1.0)
    assert len(everything.labelled) == len(everything.unlabelled) == 24


def test_an_image_may_not_be_trained_on_and_tested(monkeypatch):
    splits = images.open_images(TINY.data, 0, None)
    monkeypatch.setattr(
        images, "open_domain", lambda *arguments, **options: splits._replace(test=splits.train)
    )
    with pytest.raises(InputError, match="24 of 24 images are in the test split"):
        tiny_data(difficulty=0.31)


def test_further_images_without_labels_join_the_others_unless_they_test(monkeypatch):
    rng, points = np.random.default_rng(0), Skeleton(("a", "b"))
    sets = {
        split: arrays(
            rng.integers(0, 256, (count, 64, 64, 3), np.uint8),
            np.ones((count, 2, 2)),
            np.ones((count, 2)),
            points,
            split,
        )
        for split, count in (("train", 10), ("tune", 4), ("test", 6), ("videos", 7))
    }
    monkeypatch.setattr(
        "data.prepared.open_source", lambda name, split, *, data_dir, transform: sets[split]
    )
    asked_for = {
        "image_size": 64,
        "heatmap_size": 16,
        "train": "tongue/train",
        "validation": "tongue/tune",
        "test": "tongue/test",
        "labelled": 3,
    }
    found = tiny_data(**asked_for, further="tongue/videos")
    assert (len(found.labelled), len(found.unlabelled)) == (3, 14)
    assert not any(found.unlabelled[number].visible.any() for number in range(14))
    with pytest.raises(InputError, match="4 of 4 images are in the test split"):
        tiny_data(**asked_for, further="tongue/tune")
    with pytest.raises(
        InputError, match="further: 'tongue/videos'; images without labels have no box"
    ):
        tiny_data(**asked_for, further="tongue/videos", transform="person_crop")


# Variants


def test_with_all_images_labelled_the_terms_read_labelled_ones_only():
    """The column of 100 %: gen and easy_hard still read images without their labels, and PL has
    nothing to do.
    """
    config, points = replace_fields(TINY, labelled=1.0), tiny_data().skeleton
    possible = TINY_SYSTEM.paper.applicable("tiny", config)
    assert set(VARIANTS) - set(possible) == {
        "pl",
        "pl_warped",
        "pl_agreed",
        "pl_warped_averaged",
        "pl_easy_hard",
        *ON_PEOPLE,
    }
    reads_both = {
        name for name in possible if len(VARIANTS[name].method(config, points).streams) == 2
    }
    assert reads_both >= {"gen", "easy_hard", "easy_hard_twice"}
    assert not {VARIANTS[name].kind for name in reads_both} & {"method", "ablation"}


def test_training_goes_on_in_rounds_until_labels_are_learnt_and_alike_after_a_break(
    tmp_path, monkeypatch, capsys
):
    job = job_of("semi_supervised", "supervised", tmp_path, rounds=3)
    asked = []

    def left(method, codec, state, labelled, *, batch_size):
        """By what was learnt alone: two rounds are enough."""
        found = left_to_learn(method, codec, state, labelled, batch_size=batch_size)
        asked.append(found)
        return found._replace(by_keypoint=np.array([0.9 if len(asked) % 2 else 0.1]))

    monkeypatch.setattr("kpjax.papers.semi_supervised.left_to_learn.left_to_learn", left)
    run_job(job)
    assert json.loads((job.folder / "results.json").read_text())["steps"] == 2 + 2 * 3
    assert (job.folder / "round-2").is_dir()
    assert not (job.folder / "round-3").exists()
    assert "90% for the worst keypoint; goes on" in capsys.readouterr().out
    assert asked[0].whole != asked[1].whole
    learnt = load_trained(job.folder / "model")
    for lost in (("round-2",), ("results.json", "model")):  # as if it had ended before
        for name in ("results.json", *lost):
            path = job.folder / name
            shutil.rmtree(path) if path.is_dir() else path.unlink(missing_ok=True)
        run_job(job)
        again = load_trained(job.folder / "model")
        for mine, theirs in zip(jax.tree.leaves(learnt), jax.tree.leaves(again), strict=True):
            np.testing.assert_array_equal(mine, theirs)


# Measures


@pytest.mark.parametrize(("share", "left"), [(0.0, 1.0), (0.5, 0.25), (1.0, 0.0)])
def test_what_is_left_to_learn_of_the_labelled_images(share, left):
    """Maps of half the height keep a quarter of the error of empty maps, hidden keypoints and
    padding not counting.
    """
    points = Skeleton(("a", "b"))
    coded = codec(image_size=32, heatmap_size=8, sigma=1.0)
    true = np.random.default_rng(0).uniform(4, 28, (11, 2, 2)).astype(np.float32)
    visible = np.ones((11, 2))
    visible[3, 1] = 0
    source = arrays(np.zeros((11, 32, 32, 3), np.uint8), true, visible, points, "made up")

    def predict(state, example):
        maps = share * coded.encode(example._replace(visible=jnp.ones_like(example.visible)))[0]
        maps = maps.at[..., 1].set(
            jnp.where(example.visible[:, None, None, 1] > 0, maps[..., 1], 9.0)
        )
        return Prediction(example.keypoints, example.visible, (maps[..., :1], maps[..., 1:]))

    found = left_to_learn(
        Method(None, None, predict, (), points), coded, Trained({}, {}), source, batch_size=4
    )
    assert found.whole == pytest.approx(left, abs=1e-6)
    np.testing.assert_allclose(found.by_keypoint, left, atol=1e-6)
    assert found.learnt == (left <= 0.25)


# Tables


def test_the_papers_gaps_at_five_percent():
    """Printed in the paper's text: +7.9, +26.8, +5.3 and +23.4 points over the labels alone."""

    def printed(preset, labelled, variant):
        return EXPERIMENT.paper.numbers(
            preset, replace_fields(PRESETS[preset], labelled=labelled), variant
        ).get("test/pck")

    gaps = {
        preset: printed(preset, 0.05, "sskl") - printed(preset, 0.05, "supervised")
        for preset in ("mpii", "lsp", "cub", "atrw")
    }
    assert gaps == pytest.approx({"mpii": 7.9, "lsp": 26.8, "cub": 5.3, "atrw": 23.4}, abs=0.06)
    assert printed("lsp", 0.05, "all_labels") == 72.12
    assert printed("lsp", 0.1, "no_sc") == 55.18
    assert printed("lsp", 10.0, "sskl") is printed("demo", 0.05, "sskl") is None
