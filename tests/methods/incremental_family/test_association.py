"""Stage I of KAMP: KA-Nets learn from labelled new keypoints only, and how well they could and
did."""

import functools

import chex
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from tiny_parts import (
    BATCH,
    CODEC,
    KEYPOINTS,
    MODEL,
    PAIRED_CODEC,
    SIDE,
    batch,
    build,
    centred,
    start,
)

from kpjax.augment.augmentations import no_augmentation
from kpjax.geometry import move_points
from kpjax.heatmaps import codec, decode_argmax, decode_dark, gaussian_bumps
from kpjax.methods.forward import unit_range
from kpjax.methods.incremental_family.association import (
    association,
    association_predict,
    copies_of_teacher,
    ka_reach,
)
from kpjax.methods.incremental_family.association_forward import (
    association_inputs,
    association_pass,
    frozen_forward,
    labelled_triples,
    rerender,
)
from kpjax.methods.incremental_family.step_spec import increment
from kpjax.models.association import AssociationNetwork
from kpjax.structures import Trained

KEY = jax.random.key(0)
EXAMPLE = jax.tree.map(jnp.asarray, batch("labelled"))
# The second slot is not in use.
STEP = increment(KEYPOINTS, old=[0, 1], new=[2], triples=[(1, 2)], slots=2)
SIGMAS = None, 0.5  # of KA-Net's input; None is that of the targets
# Row 0 lacks the new keypoint, row 1 an old one, which nobody reads.
SPARSE = EXAMPLE._replace(visible=EXAMPLE.visible.at[0, 2].set(0).at[1, :2].set(0))


@pytest.fixture(scope="module")
def method():
    return build(association, optimizer=optax.scale_by_adam(), augment=no_augmentation())


@pytest.fixture(scope="module")
def trained(method):
    """The first state, the one after 30 updates, and the loss of each update."""
    first = jax.jit(method.init)(
        KEY, {"labelled": SPARSE}, {"increment": STEP, "teacher": start()["teacher"]}
    )
    update, state, losses = jax.jit(method.update), first, []
    for _ in range(30):
        state, metrics = update(state, {"labelled": SPARSE}, KEY)
        losses.append(float(metrics["loss/total"]))
    nothing = update(first, {"labelled": SPARSE._replace(visible=0 * SPARSE.visible)}, KEY)[1]
    return first, state, losses, nothing


@pytest.fixture(scope="module")
def answers(trained):
    """The old model's heatmaps and the KA-Nets' maps of SPARSE."""
    state, view = trained[1], unit_range(SPARSE)

    @jax.jit
    def answer(variables, teacher, triples):
        features, heatmaps = frozen_forward(MODEL, teacher, centred(view.image))
        return heatmaps, association_pass(
            AssociationNetwork(), variables, CODEC, features, view, triples
        )[0]

    return answer(state.variables, state.frozen["teacher"], state.frozen["increment"].triples)


def test_only_the_ka_net_of_the_triple_learns(trained):
    first, last, losses, _ = trained
    assert losses[-1] < 0.5 * losses[0]
    params = [state.variables["params"] for state in (first, last)]
    assert not np.array_equal(*(each["triple_0"]["conv1"]["kernel"] for each in params))
    chex.assert_trees_all_equal(*(each["triple_1"] for each in params), strict=True)


def test_images_without_the_new_keypoint_teach_nothing(trained):
    nothing = trained[3]
    assert nothing["loss/total"] == 0
    assert nothing["gradient_norm/association"] == 0


def test_a_new_keypoint_that_is_absent_has_no_place_to_learn_from():
    """Its map is taught as empty, with a weight; its coordinates are whatever they are."""
    there = SPARSE._replace(visible=SPARSE.visible.at[1, 2].set(1))
    gone = SPARSE._replace(
        visible=SPARSE.visible.at[1, 2].set(-1), keypoints=SPARSE.keypoints.at[1, 2].set(jnp.nan)
    )
    assert CODEC.encode(gone)[1][1, 2] == 1
    known = [labelled_triples(CODEC, one, STEP.triples)[:, 0] for one in (there, gone)]
    assert [float(one[1]) for one in known] == [1, 0]
    np.testing.assert_array_equal(known[0][2:], known[1][2:])
    inputs = association_inputs(CODEC, jnp.zeros((1,)), gone, STEP.triples[0])
    assert not np.asarray(inputs.maps[1]).any()
    assert np.isfinite(np.asarray(inputs.points)).all()


def test_predict_is_the_old_model_until_labels_are_given(method, trained, answers):
    state, (heatmaps, maps) = trained[1], answers
    result = Trained(state.variables, state.frozen)
    blind = jax.jit(method.predict)(result, SPARSE)
    seeing = jax.jit(association_predict(MODEL, CODEC, centred))(result, SPARSE)
    np.testing.assert_allclose(blind.heatmaps[0][..., :2], heatmaps[..., :2], atol=1e-6)
    assert not np.asarray(blind.heatmaps[0][..., 2]).any()
    np.testing.assert_array_equal(seeing.heatmaps[0][..., 0], blind.heatmaps[0][..., 0])
    np.testing.assert_array_equal(seeing.heatmaps[0][0], blind.heatmaps[0][0])
    np.testing.assert_allclose(seeing.heatmaps[0][1:, ..., 1], maps[1:, ..., 0], atol=1e-6)


def test_sums_over_images_are_those_by_hand(trained, answers):
    """Reach with two limits and two inputs, and copies; row 0 lacks the new keypoint, and the last
    may not count.

    Rows 0 and 1 lack a label that errors need, and so does the last, whose next image is row 0.
    """
    (own, _), (found, _) = decode_argmax(answers[0][..., 1:2]), decode_argmax(answers[1][..., :1])
    own, found = (np.asarray(cells)[:, 0].astype(int) for cells in (own, found))
    new = np.asarray(move_points(CODEC.to_heatmap, SPARSE.keypoints))[:, 2]
    apart = np.abs(own - new).max(-1)
    limits, ones = (0.0, float(np.median(apart))), jnp.ones(BATCH)

    @jax.jit
    def measure(variables, frozen):
        def of_reach(weights, *options):
            return ka_reach(MODEL, CODEC, centred, *options)(Trained({}, frozen), SPARSE, weights)

        bumps = gaussian_bumps(jnp.asarray(new)[:, None], answers[0].shape[1:3], SIGMAS[1])
        return (
            [of_reach(ones.at[BATCH - 1].set(0), limit) for limit in limits],
            [of_reach(ones, 1.0, sigma) for sigma in SIGMAS],
            [CODEC.encode(SPARSE)[0][..., 2:], bumps],
            copies_of_teacher(MODEL, CODEC, centred)(Trained(variables, frozen), SPARSE, ones),
        )

    by_limit, by_input, maps, copies = jax.tree.map(
        np.asarray, measure(trained[1].variables, trained[1].frozen)
    )
    for limit, sums in zip(limits, by_limit, strict=True):
        assert (sums["within"][0], sums["count"][0]) == ((apart[1:-1] <= limit).sum(), BATCH - 2)
    for sums, inputs in zip(by_input, maps, strict=True):
        expected = np.asarray(inputs)[np.arange(BATCH), own[:, 1], own[:, 0], 0][1:].sum()
        np.testing.assert_allclose(sums["input"][0], expected, rtol=1e-5, atol=1e-7)
    assert (copies["copied"][0], copies["count"][0]) == (
        (own == found).all(-1)[1:].sum(),
        BATCH - 1,
    )

    told, answered = (
        np.asarray(CODEC.decode(maps)[0])[:, 0]
        for maps in (answers[0][..., 1:2], answers[1][..., :1])
    )
    wrong = np.linalg.norm(told - np.asarray(SPARSE.keypoints)[:, 1], axis=-1) > 0.1 * SIDE
    wrong[[0, 1, -1]] = False
    copied = wrong & (np.linalg.norm(told - answered, axis=-1) <= 0.02 * SIDE)
    assert 0 < wrong.sum() == copies["wrong"][0]
    assert copies["wrong_copied"][0] == copied.sum()
    assert 0 <= copies["wrong_copied_by_chance"][0] <= wrong.sum()
    # The one map of a triple's old keypoint has no partner beside it.
    state = Trained(trained[1].variables, trained[1].frozen)
    again = jax.jit(copies_of_teacher(MODEL, PAIRED_CODEC, centred))(state, SPARSE, ones)
    chex.assert_trees_all_equal(again, copies)


def test_peaks_between_cells_are_kept_when_they_are_drawn_again():
    """In heatmap pixels, away from the border.

    Arg-max is off by up to half a cell along each axis.
    """
    fine = codec(
        image_size=64,
        heatmap_size=16,
        sigma=1.25,
        grid="half_pixel",
        rounded=False,
        window=None,
        decoder=functools.partial(decode_dark, sigma=1.25),
    )
    points = np.float32([[[5.3, 4.8]], [[9.0, 6.9]], [[5.45, 8.55]]])

    @jax.jit
    def drawn_twice(points):
        bumps = gaussian_bumps(points, (16, 16), 1.25)
        again = rerender(fine, 0.3 * bumps)
        once, twice = (fine.decode(maps)[0] for maps in (0.3 * bumps, again))
        return bumps, again, once, twice, move_points(fine.to_heatmap, twice)

    bumps, again, once, twice, found = drawn_twice(points)
    np.testing.assert_allclose(again, bumps, atol=0.02)
    np.testing.assert_allclose(twice, once, atol=0.1)
    np.testing.assert_allclose(found, points, atol=0.1 / 4)
