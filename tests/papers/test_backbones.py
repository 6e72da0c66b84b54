"""A backbone with weights from the command line to the report, and what configs say of it."""

import functools
import json

import chex
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from untrained import write_safetensors

from experiments import experiment_of
from experiments.adaptation import PRESETS as ADAPTATION
from experiments.incremental import PRESETS as INCREMENTAL
from experiments.regda import PRESETS as REGDA
from experiments.semi_supervised import PRESETS as SEMI_SUPERVISED
from kpjax import methods, models
from kpjax.files import sha256_of
from kpjax.methods import imagenet_normalise, symmetric_normalise
from kpjax.methods.perceptual import perceptual_options, perceptual_start
from kpjax.models import FeatureMaps, MobileNetV2, MobileNetV2Trunk, PoseResNet
from kpjax.models.inverted_residuals import frozen_layers
from kpjax.models.vgg import VGG
from kpjax.models.weights import pretrained
from kpjax.models.weights.pretrained import KnownWeights
from kpjax.papers.adaptation.variants import build
from kpjax.papers.command_line import read_command, run, show_table
from kpjax.papers.configs import (
    Backbone,
    network_of,
    optimizer_of,
    replace_fields,
    with_network,
    with_weights,
)
from kpjax.training.trees import load_trained

TINY = [
    "demo",
    "--network",
    "mobilenet_v2",
    "--width-multiplier",
    "0.1",
    "--decoder-width",
    "8",
    "--image-size",
    "32",
    "--heatmap-size",
    "8",
    "--training-examples",
    "16",
    "--test-examples",
    "8",
    "--batch-size",
    "8",
    "--evaluations",
    "1",
    "--steps",
    "2",
    "--warm-start-steps",
    "0",
    "--labelled",
    "4",
    "--variants",
    "supervised",
]


@pytest.fixture(scope="module")
def weights(shallow_mobilenet, tmp_path_factory):
    """A file of a narrow, shallow MobileNetV2, with statistics and kernels like nothing that a run
    would draw.
    """
    path = tmp_path_factory.mktemp("weights") / "narrow.safetensors"
    trunk = MobileNetV2Trunk(0.1)
    shapes = jax.eval_shape(
        lambda key: trunk.init(key, jnp.zeros((1, 32, 32, 3)), False), jax.random.key(0)
    )
    random = np.random.default_rng(0)
    write_safetensors(
        path,
        models.to_torch(
            jax.tree.map(lambda leaf: random.uniform(0.5, 1, leaf.shape).astype(np.float32), shapes)
        ),
    )
    return path


@pytest.fixture
def known(weights, monkeypatch):
    """The file as if it stood in the table."""
    made = KnownWeights(
        "narrow.made",
        "mobilenet_v2",
        "CC0-1.0",
        0.1,
        sha256_of(weights),
        normalisation="symmetric",
        options={"padding": "tensorflow", "width_multiplier": 0.1},
    )
    monkeypatch.setattr(pretrained, "KNOWN_WEIGHTS", pretrained.KNOWN_WEIGHTS | {made.name: made})
    return made


@pytest.mark.slow
def test_a_run_starts_from_its_weights_and_says_so(weights, known, tmp_path, capsys):
    report = run(
        experiment_of("semi_supervised"),
        [
            *TINY,
            "--weights",
            str(weights),
            "--backbone-statistics",
            "frozen",
            "--backbone-rate",
            "1e-9",
            "--workdir",
            str(tmp_path),
        ],
    )
    line = (
        f"backbone: mobilenet_v2 from {weights} (narrow.made, CC0-1.0); padding tensorflow, width_multiplier "
        "0.1, normalisation symmetric, statistics frozen"
    )
    printed = capsys.readouterr()
    assert line in printed.out
    # the schedule that was built, and the backbone's share of it
    assert (
        "learning rate 0.001 to 0.0005 of all parameters; 1e-12 to 5e-13 of backbone"
        in " ".join(printed.err.split())
    )
    assert line in report.read_text()
    folder = tmp_path / "semi_supervised" / "demo" / "supervised" / "seed-0"
    config = json.loads((folder / "config.json").read_text())["config"]
    assert (config["network"]["padding"], config["backbone"]["normalisation"]) == (
        "tensorflow",
        "symmetric",
    )
    trained = load_trained(folder / "model").variables
    backbone = models.to_torch(
        {collection: tree["backbone"] for collection, tree in trained.items()}
    )
    for name, tensor in pretrained.read_safetensors(weights).items():
        np.testing.assert_allclose(backbone[name], tensor, atol=1e-6, err_msg=name)


def test_a_file_of_known_weights_names_its_row_as_they_do(weights, known):
    """Else a run from the file of a preset's own weights would be of another setting."""
    tiny = experiment_of("semi_supervised")
    file, name = (
        read_command(tiny, [*TINY, "--weights", given]).job("supervised", 0).settings
        for given in (str(weights), known.name)
    )
    assert file == name
    assert "weights=narrow.made" in file
    preset = {"demo": replace_fields(tiny.presets["demo"], weights=known.name)}
    own = read_command(tiny._replace(presets=preset), [*TINY, "--weights", str(weights)])
    assert "weights" not in own.settings


def test_weights_are_trained_at_a_fine_rate_unless_another_is_typed(weights):
    """Also where nothing is known of them.

    A preset's own network keeps its rates, and so does SGD.
    """
    assert (
        read_command(experiment_of("semi_supervised"), [*TINY]).config.optimizer.learning_rate
        == 1.6e-2
    )
    command = [*TINY, "--weights", str(weights)]
    assert (
        read_command(experiment_of("semi_supervised"), command).config.optimizer.learning_rate
        == 1e-3
    )
    typed = read_command(
        experiment_of("semi_supervised"), [*command, "--learning-rate", "2e-3"]
    ).config
    assert typed.optimizer.learning_rate == 2e-3
    for preset in (INCREMENTAL["mpii"], REGDA["rhd_h3d"], REGDA["demo"]):
        given = replace_fields(preset, weights=str(weights))
        assert with_weights(given).optimizer == given.optimizer
    assert (
        with_weights(
            replace_fields(REGDA["rhd_h3d"], weights=str(weights)), {"network"}
        ).optimizer.learning_rate
        == 0.1
    )


def test_another_network_keeps_the_head_and_the_dtype_alone():
    """The hourglass has a depth, too, of another meaning."""
    given = read_command(
        experiment_of("adaptation"), ["demo", "--network", "pose_resnet"]
    ).config.network
    assert given == PoseResNet(depth=50)
    assert with_network(
        replace_fields(REGDA["demo"], head_layers=2, dtype="bfloat16"), "pose_resnet"
    ).network == PoseResNet(depth=50, head_layers=2, dtype="bfloat16")


@pytest.mark.parametrize(
    "flags", [(), ("--weights", "hrnet_w32.ms_in1k")], ids=["random", "published"]
)
def test_a_papers_numbers_stand_apart_from_those_of_random_weights(flags, tmp_path, capsys):
    """In the paper HRNet with 5 % of MPII's labels has a PCK of 66.2 %, and starts from ImageNet's
    weights.
    """
    show_table(
        read_command(experiment_of("semi_supervised"), ["mpii", "--workdir", str(tmp_path), *flags])
    )
    table, *apart = capsys.readouterr().out.split(
        "backbone: hrnet from random weights, where the paper starts"
    )
    assert ("66.2" in table) == bool(flags)
    assert [", supervised 66.22, " in text for text in apart] == [True] * (not flags)


def test_normalisation_and_statistics_follow_the_config():
    assert network_of(
        replace_fields(SEMI_SUPERVISED["demo"], backbone_statistics="frozen"), 3
    ).frozen_statistics
    assert Backbone().normalise is imagenet_normalise
    np.testing.assert_array_equal(
        Backbone(normalisation="symmetric").normalise(jnp.array([0.0, 0.5, 1.0])), [-1, 0, 1]
    )


def test_relative_steps_are_shares_of_an_arrays_size():
    """Steps of 1, as Adam's are in the first step, are 500 times a small kernel without it."""
    config = replace_fields(SEMI_SUPERVISED["lspet"], relative_steps=True)
    params = {"backbone": {"folded": jnp.full(4, 2e-3)}, "head": {"kernel": jnp.full(4, -0.5)}}
    gradient = jax.tree.map(jnp.ones_like, params)
    for chosen, shares in (
        (config, (1.0, 1.0)),
        (replace_fields(config, relative_steps=False), (500.0, 2.0)),
    ):
        chain = optimizer_of(chosen, optax.identity())
        steps, _ = chain.update(gradient, chain.init(params), params)
        found = [
            float(abs(step / leaf).mean())
            for step, leaf in zip(jax.tree.leaves(steps), jax.tree.leaves(params), strict=True)
        ]
        np.testing.assert_allclose(found, shares, rtol=1e-4)


@pytest.mark.slow
def test_frozen_layers_keep_their_weights_and_cost_no_gradient(shallow_mobilenet):
    """Weight decay moves all others; the result before the first step is that of the whole
    network."""
    config = replace_fields(
        SEMI_SUPERVISED["demo"],
        network=MobileNetV2(0.1, decoder_width=4),
        image_size=64,
        heatmap_size=32,
    )
    held = replace_fields(config, frozen_stride=4)
    images, optimizer = (
        jax.random.normal(jax.random.key(0), (2, 64, 64, 3)),
        optax.add_decayed_weights(1.0),
    )

    @functools.partial(jax.jit, static_argnums=1)
    def step(variables, config):
        network = network_of(config, 3)

        def loss(params):
            return jnp.square(
                network.apply(
                    variables | {"params": params}, images, True, mutable=["batch_stats"]
                )[0]
                - 1
            ).mean()

        value, gradient = jax.value_and_grad(loss)(variables["params"])
        chain = optimizer_of(config, optimizer)
        updates, _ = chain.update(gradient, chain.init(variables["params"]), variables["params"])
        return value, gradient, updates

    variables = jax.jit(lambda key: network_of(config, 3).init(key, images, False))(
        jax.random.key(1)
    )
    (whole, all_gradients, _), (value, gradients, updates) = (
        step(variables, config),
        step(variables, held),
    )
    assert value == whole
    moved = {
        name
        for name, tree in updates["backbone"].items()
        if any(map(np.any, jax.tree.leaves(tree)))
    }
    learning = {
        name
        for name, tree in gradients["backbone"].items()
        if any(map(np.any, jax.tree.leaves(tree)))
    }
    # Stride 4 is reached after the third block, of eight.
    assert moved == learning == {f"features_{number}" for number in range(4, 9)}
    chex.assert_trees_all_close(
        gradients["backbone"]["features_8"],
        all_gradients["backbone"]["features_8"],
        rtol=1e-5,
        atol=1e-7,
    )
    assert all(np.any(leaf) for leaf in jax.tree.leaves(updates["upsampling"]["lateral1"]))


def test_frozen_statistics_normalise_training_images_and_stay():
    network = models.small_unet(2, widths=(4, 4, 8, 8))
    images = jax.random.normal(jax.random.key(0), (4, 16, 16, 3))

    @jax.jit
    def passes(key):
        variables = network.init(key, images, train=False)
        frozen = network.clone(frozen_statistics=True)
        evaluated = network.apply(variables, images, False, method="backbone_features")
        trained = frozen.apply(variables, images, True, method="backbone_features")
        _, after = frozen.apply(variables, images, True, mutable=["batch_stats"])
        return evaluated, trained, variables["batch_stats"], after["batch_stats"]

    evaluated, trained, before, after = passes(jax.random.key(1))
    chex.assert_trees_all_equal(evaluated, trained, strict=True)
    chex.assert_trees_all_equal(before["backbone"], after["backbone"], strict=True)
    assert any(
        not np.array_equal(a, b)
        for a, b in zip(
            jax.tree.leaves(before["upsampling"]), jax.tree.leaves(after["upsampling"]), strict=True
        )
    )


@pytest.mark.slow
def test_images_are_compared_by_a_backbone_or_a_vgg(weights, known):
    vgg = VGG(16, ("relu1_2",))
    assert perceptual_options("", vgg) == perceptual_start("", vgg, image_size=32) == {}
    assert perceptual_options("vgg16.tv_in1k", vgg) == {"perceptual": vgg}
    options = perceptual_options(str(weights), vgg)
    assert options["perceptual"] == FeatureMaps(MobileNetV2(0.1, "tensorflow").build(1).backbone)
    assert options["perceptual_normalise"] is symmetric_normalise
    start = perceptual_start(str(weights), vgg, image_size=32)["perceptual"]
    maps = jax.eval_shape(options["perceptual"].apply, start, jnp.zeros((2, 32, 32, 3)))
    assert [x.shape[1] for x in maps] == [16, 8, 4, 2, 1]


def test_the_decay_of_adaptation_moves_no_frozen_layer(monkeypatch):
    caught = []
    monkeypatch.setattr(methods, "adaptation", lambda setup, **_: caught.append(setup))
    config = replace_fields(ADAPTATION["demo"], frozen_stride=4)
    build(config, None, trained=methods.finetuned())
    (kept,) = caught
    params = {
        "free": {
            "backbone": {name: {"kernel": jnp.ones((3, 3))} for name in (*frozen_layers(4), "last")}
        }
    }
    with jax.numpy_dtype_promotion("standard"):  # of optax
        updates, _ = kept.optimizer.update(
            jax.tree.map(jnp.zeros_like, params), kept.optimizer.init(params), params
        )
    assert [name for name, leaf in updates["free"]["backbone"].items() if leaf["kernel"].any()] == [
        "last"
    ]
