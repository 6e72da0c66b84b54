"""The semi-supervised experiment: its images, its variants, a few steps of some of them, its
tables.
"""

import json
import shutil

import jax.numpy as jnp
import numpy as np
import pytest
from tiny_systems import CONFIGS, SYSTEMS, job_of, results_of

from experiments import images
from experiments.semi_supervised import EXPERIMENT, PRESETS
from kpjax.errors import InputError
from kpjax.heatmaps import codec
from kpjax.input.source import arrays
from kpjax.papers.configs import changed
from kpjax.papers.engine import run as run_job
from kpjax.papers.semi_supervised import ON_PEOPLE, left_to_learn
from kpjax.papers.semi_supervised.variants import VARIANTS, setup_of
from kpjax.structures import Method, Prediction, Skeleton, Trained
from kpjax.training.trees import load_trained

TINY, TINY_SYSTEM = CONFIGS["semi_supervised"], SYSTEMS["semi_supervised"]
SLOW = ("pl", "all_labels")  # pl brings supervised with it


def tiny_data(**changes):
    return EXPERIMENT.open(job_of("semi_supervised", "ours", **changes))


# Runs


def digest_of(finished, variant):
    return json.loads((finished / variant / "seed-0" / "config.json").read_text())[
        "labelled_digest"
    ]


@pytest.mark.parametrize(
    "variants",
    [("ours",), pytest.param((*SLOW, "supervised"), marks=pytest.mark.slow)],
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
            pytest.approx(1, abs=0.3) if variant == "ours" else None
        )
    assert {digest_of(finished, variant) for variant in variants} == {digest_of(finished, "ours")}


def test_the_warm_start_is_shared_and_the_subset_is_part_of_what_a_run_is(finished):
    assert [path.name for path in (finished / "stages").iterdir()] == ["warm_start"]
    assert digest_of(finished, "ours") == tiny_data().identity["labelled_digest"]
    job = job_of("semi_supervised", "ours", finished.parents[1])
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
    with np.load(finished / "pl" / "seed-0" / "pseudo_labels.npz") as labels:
        assert labels["visible"].shape == (18, 10)
        assert labels["visible"].all()
    trained = load_trained(finished / "pl" / "seed-0" / "model")
    assert "semantic" not in trained.variables
    assert "semantic" in load_trained(finished / "ours" / "seed-0" / "model").variables


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
    config, points = changed(TINY, labelled=1.0), tiny_data().skeleton
    possible = TINY_SYSTEM.paper.applicable("tiny", config)
    assert set(VARIANTS) - set(possible) == {
        "pl",
        "pl_warped",
        "pl_warped_averaged",
        "pl_easy_hard",
        *ON_PEOPLE,
    }
    setup = setup_of(config, points)
    reads_both = {
        name for name in possible if len(VARIANTS[name].recipe.build(config, setup).streams) == 2
    }
    assert reads_both == {"gen", "easy_hard", "easy_hard_twice"}


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
    assert found == pytest.approx(left, abs=1e-6)


# Tables


def test_the_papers_gaps_at_five_percent():
    """Printed in the paper's text: +7.9, +26.8, +5.3 and +23.4 points over the labels alone."""

    def printed(preset, labelled, variant):
        return EXPERIMENT.paper.numbers(
            preset, changed(PRESETS[preset], labelled=labelled), variant
        ).get("test/pck")

    gaps = {
        preset: printed(preset, 0.05, "ours") - printed(preset, 0.05, "supervised")
        for preset in ("mpii", "lsp", "cub", "atrw")
    }
    assert gaps == pytest.approx({"mpii": 7.9, "lsp": 26.8, "cub": 5.3, "atrw": 23.4}, abs=0.06)
    assert printed("lsp", 0.05, "all_labels") == 72.12
    assert printed("lsp", 0.1, "no_sc") == 55.18
    assert printed("lsp", 10.0, "ours") is printed("demo", 0.05, "ours") is None
