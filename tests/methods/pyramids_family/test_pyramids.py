"""Keypoint Pyramids and its baselines: terms, predictions, and the end of a run by a collapse."""

import functools

import chex
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from tiny_parts import (
    BATCH,
    SIDE,
    Features,
    batch,
    centred,
    drawn,
    endless,
    forward,
    one_device,
    tiny_pyramid,
)

from kpjax.augment.augmentations import colour_jitter
from kpjax.errors import RunError
from kpjax.evaluation import degeneracy
from kpjax.losses.objective import Term
from kpjax.losses.pyramids import transporter_transported
from kpjax.methods.pyramids_family import objectives
from kpjax.methods.pyramids_family.discovery import (
    State,
    StillCamera,
    level_skeleton,
    moving_places,
    still_videos,
)
from kpjax.methods.pyramids_family.keynet import keynet, keynet_objective
from kpjax.methods.pyramids_family.pyramids import painting_pass, pyramids
from kpjax.methods.pyramids_family.transporter import transporter, transporter_objective
from kpjax.models.pyramid_baselines import as_keynet, as_transporter
from kpjax.structures import Method, Trained
from kpjax.training.fit import FitOptions, fit

close = functools.partial(np.testing.assert_allclose, rtol=1e-5, atol=1e-6)
OBJECTIVE = objectives.pyramids_objective()
KEY, STREAMS = jax.random.key(0), {"frame": batch("frame"), "reference": batch("reference")}


def built(objective=OBJECTIVE, factory=pyramids, network=None, **changes):
    settings = {
        "optimizer": optax.trace(0.9),
        "learning_rate": lambda step: 1e-2,
        "normalise": centred,
    }
    return factory(
        objective=objective,
        network=tiny_pyramid() if network is None else network,
        **settings | changes,
    )


def shapes(method, start=None):
    return jax.eval_shape(method.init, KEY, STREAMS, {} if start is None else start)


# What a term needs is what is run


REPAINTS = {"appearance", "decoder"}
TRANSPORTS = {
    f"{part}_{level}" for part in ("transports", "transport_decoders") for level in (0, 1)
}
PAINTERS = {
    "full": (lambda objective: objective, REPAINTS | TRANSPORTS),
    "no_reconstruction": (objectives.no_reconstruction, TRANSPORTS),
    "no_transport": (objectives.no_transport, REPAINTS),
    "no_spring": (objectives.no_spring, REPAINTS | TRANSPORTS),
    "all_reconstruction": (
        objectives.all_reconstruction,
        REPAINTS | {"level_decoders_0", "level_decoders_1"},
    ),
    "all_transport": (objectives.all_transport, TRANSPORTS | {"flat_transport", "flat_decoder"}),
}


@pytest.mark.parametrize("ablation", PAINTERS)
def test_parts_of_dropped_terms_have_no_parameters(ablation):
    change, painters = PAINTERS[ablation]
    variables = shapes(built(change(OBJECTIVE))).variables
    assert set(variables["params"]) == {"keypoints", *painters}
    assert variables["batch_stats"] == {}


def test_predict_reads_no_decoder():
    method = built()
    variables = shapes(method).variables
    params = {"params": {"keypoints": variables["params"]["keypoints"]}}
    jax.eval_shape(method.predict, Trained(variables | params, {}), STREAMS["frame"])


@pytest.fixture(scope="module")
def variables():
    """Random parameters of everything."""
    every = {name: Term(1.0, lambda outputs, streams: 0.0, (name,)) for name in EVERY_IMAGE}
    return drawn(shapes(built(every)).variables)


EVERY_IMAGE = (
    "reconstruction",
    "transport_level1",
    "transport_level2",
    "transport_flat",
    "reconstruction_level1",
    "reconstruction_level2",
)


def painted(variables, frame, reference, *, conditioned=True, paintings=EVERY_IMAGE, **options):
    widths = {"reconstruction_width": 0.5, "transport_widths": (0.5, 0.5)}
    params = variables["params"]
    if not conditioned:
        keypoints = params["keypoints"]
        output = {
            "output": keypoints["encoders_1"]["output"]
            | {"kernel": keypoints["encoders_1"]["output"]["kernel"][:, :, 2:]}
        }
        params = params | {
            "keypoints": keypoints | {"encoders_1": keypoints["encoders_1"] | output}
        }
    return tiny_pyramid(conditioned=conditioned).apply(
        {"params": params},
        frame,
        reference,
        train=True,
        method=painting_pass(paintings, 2, **widths | options),
    )


def images():
    random = np.random.default_rng(3)
    return [jnp.asarray(random.normal(size=(2, 8, 8, 3)), jnp.float32) for _ in range(2)]


# The roles of frame and reference


def gaussians(points, side, width):
    """The Gaussians exp(-d² / width²) of points on a map whose edges are -1 and 1."""
    centres = (2 * jnp.arange(side, dtype=jnp.float32) + 1) / side - 1
    across = centres[None, None, :, None] - points[:, None, None, :, 0]
    down = centres[None, :, None, None] - points[:, None, None, :, 1]
    return jnp.exp(-(jnp.square(across) + jnp.square(down)) / width**2)


def called(module, params, *read):
    return module.apply({"params": params}, *read, train=True)


def rendered_by_parts(params, frame, reference):
    """Computes the images of equations 1 and 2 by a call of each part, with Gaussians of 0.5."""
    network = tiny_pyramid()
    of_frame = called(network.keypoints, params["keypoints"], frame)
    of_reference = called(network.keypoints, params["keypoints"], reference)
    appearance = called(network.appearance, params["appearance"], reference)
    psi = gaussians(jnp.concatenate(of_frame.points, axis=1), appearance.shape[1], 0.5)
    read = jnp.concatenate([psi, appearance], axis=-1)
    images = {"reconstruction": called(network.decoder, params["decoder"], read)}
    for level in range(2):
        phi, phi_reference = (
            called(network.transports[level], params[f"transports_{level}"], one.features[level])
            for one in (of_frame, of_reference)
        )
        masks = [
            1 - gaussians(one.points[level], phi.shape[1], 0.5) for one in (of_reference, of_frame)
        ]
        kept = jnp.concatenate(masks, axis=-1).prod(-1, keepdims=True)
        images[f"transport_level{level + 1}"] = called(
            network.transport_decoders[level],
            params[f"transport_decoders_{level}"],
            kept * phi_reference + (1 - kept) * phi,
        )
    return images


@pytest.mark.parametrize("order", ["joint", "separate"])
def test_keypoints_are_of_the_frame_and_what_they_leave_out_is_of_the_reference(variables, order):
    """Equations 1 and 2, of two frames that differ."""
    expected = jax.jit(rendered_by_parts)(variables["params"], *images())
    found = jax.jit(
        lambda *given: painted(variables, *given, paintings=tuple(expected), reference_pass=order)
    )(*images())
    for painting, image in expected.items():
        close(found[painting], image, rtol=1e-4, atol=1e-5)


def centred_streams():
    return [centred(STREAMS[name].image / np.float32(255)) for name in ("frame", "reference")]


def error_of(image):
    return np.square(image - STREAMS["frame"].image / np.float32(255)).mean()


def test_what_is_rendered_is_the_frame():
    """Equations 1 and 3, from the streams of a step to the errors of its images."""
    method = built(reconstruction_width=0.5, transport_widths=(0.5, 0.5))
    state = drawn(shapes(method))
    expected = jax.jit(rendered_by_parts)(state.variables["params"], *centred_streams())
    metrics, _, _ = forward(method)(state, STREAMS, KEY)
    for painting, image in expected.items():
        close(metrics[f"error/{painting}"], error_of(image), rtol=1e-4)


def keynet_by_parts(network, params, frame, reference):
    (points,) = called(network.keypoints, params["keypoints"], frame).points
    return called(network.generator, params["generator"], reference, points)


def transporter_by_parts(network, params, frame, reference):
    """Features of the reference, and at the frame's keypoints those of the frame."""
    maps, features = [], []
    for image in (reference, frame):
        features.append(called(network.features, params["features"], image))
        (points,) = called(network.keypoints, params["keypoints"], image).points
        maps.append(gaussians(points, features[-1].shape[1], 0.1))
    mixed = transporter_transported(*features, *maps)
    return called(network.decoder, params["decoder"], mixed)


RIVALS = {
    "reconstruction": (keynet, keynet_objective, as_keynet, keynet_by_parts),
    "transport": (transporter, transporter_objective, as_transporter, transporter_by_parts),
}


@pytest.mark.parametrize("painting", RIVALS)
def test_rivals_render_the_frame_by_its_keypoints_and_the_reference(painting):
    factory, objective, network_of, by_parts = RIVALS[painting]
    network = network_of(tiny_pyramid((6,)))
    method = built(objective(), factory, network)
    state = drawn(shapes(method))
    expected = jax.jit(functools.partial(by_parts, network))(
        state.variables["params"], *centred_streams()
    )
    metrics, _, _ = forward(method)(state, STREAMS, KEY)
    close(metrics[f"error/{painting}"], error_of(expected), rtol=1e-4)


# Gradients


def test_a_reference_is_a_constant_and_conditioning_carries_the_gradient_of_level_2(
    variables,
):
    paintings = ("reconstruction", "transport_level2")

    @functools.partial(jax.jit, static_argnames=("conditioned", "paintings"))
    @functools.partial(jax.jacrev, argnums=(0, 1, 2))
    def gradients(params, frame, reference, conditioned, paintings):
        outputs = painted(
            {"params": params}, frame, reference, conditioned=conditioned, paintings=paintings
        )
        return jnp.stack([jnp.square(outputs[painting]).sum() for painting in paintings])

    def norms(tree, painting):
        return [float(np.abs(leaf[painting]).max()) for leaf in jax.tree.leaves(tree)]

    params, by_frame, by_reference = gradients(variables["params"], *images(), True, paintings)
    assert min(norms(by_frame, 0) + norms(by_frame, 1)) > 0
    assert (norms(by_reference, 0)[0] > 0, norms(by_reference, 1)[0] > 0) == (True, False)
    alone, *_ = gradients(variables["params"], *images(), False, paintings[1:])
    for tree, painting, carried in ((params, 1, True), (alone, 0, False)):
        encoders = tree["keypoints"]
        assert max(norms(encoders["encoders_1"], painting)) > 0
        assert (max(norms(encoders["encoders_0"], painting)) > 0) == carried


@pytest.mark.parametrize("order", ["joint", "separate"])
def test_the_reference_has_a_gradient_where_it_is_asked_for(variables, order):
    """Of both transports and of the flat one; by its keypoints, and by its features at each
    pixel. Rendered images are the same.
    """
    paintings = ("transport_level1", "transport_level2", "transport_flat")
    frame, reference = images()

    @functools.partial(jax.jit, static_argnames="reference_gradient")
    def outputs_and_jacobian(reference, reference_gradient):
        def outputs(reference):
            found = painted(
                variables,
                frame,
                reference,
                paintings=paintings,
                reference_gradient=reference_gradient,
                reference_pass=order,
            )
            return jnp.stack([jnp.square(found[painting]).sum() for painting in paintings])

        return outputs(reference), jax.jacrev(outputs)(reference)

    stopped, without = outputs_and_jacobian(reference, False)
    free, with_gradient = outputs_and_jacobian(reference, True)
    close(stopped, free)
    np.testing.assert_array_equal(without, 0)
    assert np.abs(with_gradient).max((1, 2, 3, 4)).min() > 0


@pytest.mark.parametrize("reference_gradient", [False, True])
def test_the_field_reaches_the_loss(reference_gradient):
    """With transport as the only term, one step has the same loss either way and another gradient
    of the keypoints.
    """
    objective = objectives.no_spring(objectives.no_reconstruction(OBJECTIVE))
    method = built(objective, reference_gradient=reference_gradient)
    other = built(objective, reference_gradient=not reference_gradient)
    state = drawn(shapes(method))._replace(step=jnp.int32(0))
    norms = [jax.jit(one.update)(state, STREAMS, KEY)[1] for one in (method, other)]
    close(norms[0]["loss/total"], norms[1]["loss/total"])
    assert norms[0]["gradient_norm/keypoints"] != norms[1]["gradient_norm/keypoints"]


def test_a_step_moves_all_parts_and_a_start_is_taken_over():
    method = built(learning_rate=lambda step: 0.0)
    fresh = shapes(method)
    state = drawn(fresh)._replace(step=jnp.int32(0))
    _, metrics = jax.jit(method.update)(state, STREAMS, jax.random.key(0))
    norms = {
        name: float(value) for name, value in metrics.items() if name.startswith("gradient_norm/")
    }
    assert {
        "baseline/constant_colour",
        "baseline/mean_image",
        "baseline/copied_reference",
        "spread/coordinates",
        "live_points",
    } <= set(metrics)
    assert len(norms) == 7
    assert min(norms.values()) > 0

    def encoder(variables):
        return variables["params"]["keypoints"]["encoders_0"]

    given = {"network": {"params": {"keypoints": {"encoders_0": encoder(state.variables)}}}}
    taken = jax.jit(
        lambda start: encoder(method.init(jax.random.key(1), STREAMS, start).variables)
    )(given)
    chex.assert_trees_all_equal(taken, encoder(given["network"]), strict=True)


def test_both_frames_are_augmented_alike():
    """A frame that is its own reference still is, once it has been augmented."""
    method = built(
        keynet_objective(), keynet, as_keynet(tiny_pyramid((6,))), augment=colour_jitter(0.4)
    )
    state = drawn(shapes(method))
    same = {"frame": STREAMS["frame"], "reference": STREAMS["frame"]}
    update = forward(method)
    assert update(state, same, KEY)[0]["baseline/copied_reference"] == 0
    frame, reference = (STREAMS[name].image / np.float32(255) for name in ("frame", "reference"))
    found = update(state, STREAMS, KEY)[0]["baseline/constant_colour"]
    assert (
        abs(found - jax.jit(degeneracy.baseline_errors)(frame, reference)["constant_colour"]) > 1e-4
    )


# Predictions


def test_predictions_have_levels_in_pixels_of_the_image():
    method = built()
    example = STREAMS["frame"]._replace(
        image=batch("wide").image.reshape(BATCH, SIDE // 2, SIDE * 2, 3)
    )
    state = drawn(shapes(method))
    keypoints = {"params": state.variables["params"]["keypoints"]}
    prediction, levels = jax.jit(
        lambda images: (
            method.predict(state, example),
            tiny_pyramid().keypoints.apply(keypoints, images, train=False),
        )
    )(example.image.astype(np.float32) / 255 - 0.5)
    points = np.concatenate(levels.points, axis=1)
    close(
        prediction.keypoints, (points + 1) / 2 * [2 * SIDE, SIDE // 2] - 0.5, rtol=1e-4, atol=1e-4
    )
    assert [heatmaps.shape for heatmaps in prediction.heatmaps] == [
        (BATCH, 4, 16, 2),
        (BATCH, 8, 32, 4),
    ]
    for heatmaps, (name, members) in zip(
        prediction.heatmaps, method.skeleton.groups.items(), strict=True
    ):
        close(heatmaps.sum((1, 2)), 1, rtol=1e-4)
        close(prediction.scores[:, list(members)], heatmaps.max((1, 2)))
        assert {method.skeleton.names[k].split("_")[0] for k in members} == {name}


def test_points_of_levels_are_joined_to_their_parents():
    points = level_skeleton((2, 4, 8))
    assert list(points.groups.items())[1] == ("level2", (2, 3, 4, 5))
    assert points.names[6:8] == ("level3_0", "level3_1")
    assert points.edges[:4] == ((0, 2), (0, 3), (1, 4), (1, 5))
    assert points.edges[-1] == (5, 13)
    flat = level_skeleton((3,))
    assert (flat.names, flat.edges, flat.groups) == (("point_0", "point_1", "point_2"), (), {})


# The perceptual loss


def test_keynet_compares_features_balanced_by_their_averages():
    method = built(
        keynet_objective(perceptual=True),
        keynet,
        as_keynet(tiny_pyramid((6,))),
        perceptual=Features(),
    )
    weights = drawn(jax.eval_shape(Features().init, jax.random.key(0), jnp.zeros((1, 8, 8, 3))))
    given = {"perceptual": weights}
    state = drawn(shapes(method, given))._replace(averages=jnp.zeros(3), frozen=given)
    update = forward(method)
    metrics, averages, frozen = update(state, STREAMS, KEY)
    # each distance is its own average at first
    close(metrics["loss/reconstruction"], 3000, rtol=1e-5)
    close(averages[0], metrics["error/reconstruction"])
    chex.assert_trees_all_equal(frozen, state.frozen, strict=True)
    again, _, _ = update(state._replace(step=jnp.int32(1), averages=2 * averages), STREAMS, KEY)
    close(again["loss/reconstruction"], 3000 / (0.99 * 2 + 0.01), rtol=1e-4)


# Still cameras


def still_start():
    """Two videos; the examples of a batch are of one and the other in turn."""
    random = np.random.default_rng(5)
    video = np.arange(max(int(STREAMS["frame"].index.max()) + 1, BATCH)) % 2
    return still_videos(
        (random.integers(0, 256, (3, SIDE, SIDE, 3), np.uint8) for _ in range(2)), video, share=0.5
    )


@pytest.mark.parametrize("residual", [True, False])
def test_before_a_still_camera_backgrounds_are_given_and_motion_is_weighted(residual):
    """A decoder that renders 1 everywhere: background and deviation of each example's own video, or
    white.
    """
    still = still_start()
    method = built(
        keynet_objective(), keynet, as_keynet(tiny_pyramid((6,))), still=StillCamera(residual, True)
    )
    state = drawn(shapes(method, {"still": still}))
    state = state._replace(frozen={"still": still})
    output = state.variables["params"]["generator"]["renderer"]["output"]
    output["kernel"], output["bias"] = (
        jnp.zeros_like(output["kernel"]),
        jnp.ones_like(output["bias"]),
    )
    metrics, _, _ = forward(method)(state, STREAMS, KEY)
    video = still["video"][STREAMS["frame"].index]
    rendered = still["background"][video] + still["deviation"][video] if residual else 1
    squares = np.square(STREAMS["frame"].image / np.float32(255) - rendered)
    close(metrics["error/reconstruction"], squares.mean(), rtol=1e-4)
    close(metrics["loss/reconstruction"], (squares * still["weight"][video]).mean(), rtol=1e-4)
    assert np.abs(still["weight"].mean((1, 2)) - 1).max() < 1e-5


def test_what_moves_is_seen_in_the_image_or_known_from_others():
    background = jnp.full((1, 2, 2, 3), 0.5)
    deviation = jnp.zeros((1, 2, 2, 1)).at[0, 0, 0].set(0.2).at[0, 0, 1].set(0.1)
    image = background.at[0, 0, 0].add(0.4).at[0, 1, 1].add(-0.2)
    close(
        moving_places(image, background, deviation)[0, ..., 0],
        [[0.4 - 0.06, 0.05 * 0.1], [0, 0.2 - 0.06]],
    )


# Diagnostics and collapse


def test_points_that_move_inside_are_alive():
    points = np.zeros((4, 4, 2), np.float32)
    points[:, 0, 0] = [-0.5, 0.5, 0, 0]  # moves
    points[:, 1] = [0.3, -0.3]  # stands still
    points[:, 2, 1] = [1, -1, 1, -1]  # jumps from border to border
    points[:, 3, 0] = 0.9 + 0.04 * np.array([1, -1, 1, -1])  # moves close to the border
    assert degeneracy.live_keypoints(jnp.asarray(points)).tolist() == [True, False, False, True]
    spread = degeneracy.spread_of(jnp.array([[[0.0, 0], [1, 0]], [[0, 0], [0, 3]]]))
    close([spread["coordinates"], spread["points"]], [(0 + 0 + 0.5 + 1.5) / 4, 2])


def test_baselines_are_what_painting_without_keypoints_costs():
    images = jnp.stack([jnp.zeros((2, 2, 3)), jnp.full((2, 2, 3), 0.4).at[0].set(0.8)])
    errors = degeneracy.baseline_errors(images, images + 0.1)
    mean = (4 * 0 + 2 * 0.4 + 2 * 0.8) / 8
    constant = (4 * mean**2 + 2 * (0.4 - mean) ** 2 + 2 * (0.8 - mean) ** 2) / 8
    close(
        [errors["constant_colour"], errors["mean_image"], errors["copied_reference"]],
        [constant, (0.2**2 + 0.4**2) / 2, 0.01],
    )


def test_signs_count_steps_in_a_row():
    baselines = {
        "constant_colour": jnp.float32(0.5),
        "mean_image": jnp.float32(0.3),
        "copied_reference": jnp.float32(0.1),
    }
    counts = degeneracy.first_counts(("painted",))
    for error, alive in [(0.6, 0), (0.4, 3), (0.4, 0)]:
        counts = degeneracy.add_to_counts(
            counts, {"painted": jnp.float32(error)}, baselines, jnp.float32(alive)
        )
    assert jax.tree.map(int, counts) == {
        "live_points": 1,
        "painted/constant_colour": 0,
        "painted/mean_image": 3,
        "painted/copied_reference": 3,
    }


def stuck(**counts):
    signs = {name.replace("__", "/"): jnp.int32(count) for name, count in counts.items()}
    return State(jnp.int32(0), {}, (), (), signs, {})


def test_only_what_lasts_stops_a_run():
    check = degeneracy.stop_if_collapsed(100)
    fine = stuck(live_points=99, painted__mean_image=99)
    assert check(fine, 5000) is fine
    with pytest.raises(RunError, match=r"in the last 100 steps up to 300 no keypoint was alive"):
        check(stuck(live_points=100), 300)
    copied = stuck(painted__copied_reference=500)
    with pytest.raises(
        RunError,
        match=r"last 500 steps up to 800 'painted' was painted no better than by the copied",
    ):
        check(copied, 800)
    assert (
        degeneracy.stop_if_collapsed(100, baselines=("constant_colour", "mean_image"))(copied, 800)
        is copied
    )


def test_a_run_that_discovers_nothing_is_stopped_and_stays_stopped(tmp_path):
    """The counts are in the checkpoint: a second call goes no further."""

    def init(key, streams, start):
        counts = degeneracy.first_counts(("painted",))
        return State(jnp.int32(0), {"params": {"scale": jnp.ones(2)}}, (), (), counts, {})

    def update(state, streams, key):
        baselines = dict.fromkeys(
            ("constant_colour", "mean_image", "copied_reference"), jnp.float32(0.1)
        )
        stuck = degeneracy.add_to_counts(
            state.stuck, {"painted": jnp.float32(0.2)}, baselines, jnp.float32(1)
        )
        return state._replace(step=state.step + 1, stuck=stuck), {"loss/total": jnp.float32(0)}

    method = Method(init, update, None, ("frame",), level_skeleton((2,)))
    for _ in range(2):
        with pytest.raises(
            RunError, match=r"in the last 6 steps up to 6 'painted' was painted no better"
        ) as caught:
            fit(
                method,
                {"frame": endless("frame")},
                steps=20,
                key=KEY,
                stage="discovery",
                folder=tmp_path,
                config={},
                between=(3, degeneracy.stop_if_collapsed(5)),
                options=FitOptions(mesh=one_device(), save_every=4, quiet=True),
            )
        assert "\n" not in str(caught.value)
