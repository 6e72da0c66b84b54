"""One network for projects that name different keypoints: what each image teaches, and what it does not."""
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from tiny_parts import CODEC, KEYPOINTS, MODEL, SETUP, SKELETON, batch, trained_model

from kpjax.augment import compose_augmentations, no_augmentation, random_flip
from kpjax.losses import without
from kpjax.methods import union, union_objective
from kpjax.methods.incremental_family.union import peak_height

CONFIDENCE = "kpjax.methods.incremental_family.union.peak_height"
NAMED = ((True, True, False), (False, True, True))  # left and middle, middle and right
STILL = SETUP._replace(augment=no_augmentation())
OBJECTIVE = union_objective(CODEC, distillation=2.0)


def streams(named=NAMED):
    found = {}
    for number, row in enumerate(named):
        example = batch(f"project_{number}")
        visible = example.visible * np.array(row, np.float32)
        found[f"project_{number}"] = example._replace(visible=visible, keypoints=example.keypoints * visible[..., None])
    return found


def teachers(change=1.0, count=2):
    return {f"project_{n}": jax.tree.map(lambda leaf: jnp.asarray(leaf) * change, trained_model())
            for n in range(count)}


def losses(setup=STILL, objective=OBJECTIVE, named=NAMED, given=None, key=0, **options):
    method = union(setup, objective=objective, named=named, **options)
    start = {"variables": trained_model(), "teachers": teachers() if given is None else given}
    state = method.init(jax.random.key(0), streams(named), start)
    return jax.jit(method.update)(state, streams(named), jax.random.key(key))


def answer(variables, example):
    images = SETUP.normalise(jnp.asarray(example.image, jnp.float32) / 255)
    return np.asarray(MODEL.apply(variables, images, train=False))


def test_a_project_is_taught_what_it_does_not_name_by_the_network_of_the_other():
    """Against sums written out: on images of the first project its channel 2, on those of the second its channel 0."""
    given = {"project_0": teachers(0.5)["project_0"], "project_1": teachers(2.0)["project_1"]}
    state, metrics = losses(given=given)
    given_streams, total, trust = streams(), 0.0, []
    joined = {name: jnp.concatenate([jnp.asarray(one.image) for one in given_streams.values()]) for name in ("image",)}
    images = SETUP.normalise(joined["image"].astype(jnp.float32) / 255)
    # The student's pass in training mode sees both batches at once; its order does not matter to BatchNorm.
    student, _ = MODEL.apply(trained_model(), images, train=True, mutable=["batch_stats"])
    size = len(next(iter(given_streams.values())).image)
    for number, (own, missing, other) in enumerate(((0, 2, "project_1"), (1, 0, "project_0"))):
        maps = answer(given[other], given_streams[f"project_{own}"])[..., missing]
        weights = np.clip(maps.max((1, 2)), 0, 1)
        mine = np.asarray(student)[number * size:(number + 1) * size, ..., missing]
        total += (weights * np.square(mine - maps).mean((1, 2))).sum()
        trust.append(weights.sum())
    np.testing.assert_allclose(metrics["loss/distillation"], 0.5 * total / (2 * size * KEYPOINTS), rtol=2e-4)
    np.testing.assert_allclose(metrics["believed"], sum(trust) / (2 * size * KEYPOINTS), rtol=1e-4)
    np.testing.assert_allclose(metrics["loss/total"], metrics["loss/labels"] + 2 * metrics["loss/distillation"],
                               rtol=1e-5)
    for name, tree in given.items():  # no gradient reaches the teachers
        jax.tree.map(np.testing.assert_array_equal, state.frozen["teachers"][name], tree)


def test_what_is_named_and_not_labelled_on_an_image_is_learnt_from_nobody():
    given_streams = streams()
    for example in given_streams.values():
        example.visible[0] = 0
    method = union(STILL, objective=OBJECTIVE, named=NAMED)
    state = method.init(jax.random.key(0), given_streams, {"variables": trained_model(), "teachers": teachers()})
    _, metrics = jax.jit(method.update)(state, given_streams, jax.random.key(0))
    _, before = losses()
    np.testing.assert_allclose(metrics["believed"], before["believed"])  # as if it were labelled
    assert metrics["loss/labels"] < before["loss/labels"]


def test_projects_that_name_the_same_have_nothing_to_teach_each_other():
    _, metrics = losses(named=((True,) * 3,) * 2)
    assert metrics["loss/distillation"] == metrics["believed"] == 0


@pytest.mark.parametrize("seed", range(3))
def test_names_are_mirrored_as_labels_are(seed, monkeypatch):
    """Left and right change places: of a mirrored image of the first project it is the left point that is missing."""
    mirrored = SETUP._replace(augment=compose_augmentations(random_flip(SKELETON, 1.0)))
    ones = teachers()
    monkeypatch.setattr(CONFIDENCE, lambda maps: jnp.ones(maps.shape[::3]))

    def share(setup, row):
        """Believed maps by which keypoint only the other project knows; teachers are sure of nothing but it."""
        _, metrics = losses(setup, named=(row, tuple(not one for one in row)), given=ones, key=seed)
        return float(metrics["believed"])

    # Each image lacks what the other project names: a third of the maps, or two thirds, mirrored or not.
    for row in ((True, True, False), (True, False, False)):
        assert share(mirrored, row) == pytest.approx(share(STILL, row)) == pytest.approx(0.5)


def test_a_third_project_is_asked_where_it_knows_and_weighs_by_its_confidence(monkeypatch):
    named = ((True, False, False), (False, True, False), (False, True, True))
    given = teachers(count=3)
    sure = iter([0.2, 0.6] * 3)
    monkeypatch.setattr(CONFIDENCE, lambda maps: jnp.full(maps.shape[::3], next(sure), jnp.float32))
    _, metrics = losses(named=named, given=given, mirrored=False)
    # first: middle (0.2 and 0.6) and right (0.6); second: left (0.2) and right (0.6); third: left (0.2)
    assert float(metrics["believed"]) == pytest.approx((0.6 + 0.6 + 0.2 + 0.6 + 0.2) / 9, rel=1e-5)


def test_the_mask_needs_no_network_of_a_project():
    masked = union(STILL, objective=without(OBJECTIVE, "distillation"), named=NAMED)
    state = masked.init(jax.random.key(0), streams(), {"variables": trained_model()})
    assert state.frozen == {}
    _, metrics = jax.jit(masked.update)(state, streams(), jax.random.key(0))
    assert metrics["loss/total"] == metrics["loss/labels"]


def test_a_peak_is_a_confidence_between_0_and_1():
    maps = jnp.zeros((1, 4, 4, 3)).at[0, 1, 2].set(jnp.array([0.5, 2.0, -1.0]))
    np.testing.assert_allclose(peak_height(maps), [[0.5, 1.0, 0.0]])
