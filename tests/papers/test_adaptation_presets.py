"""The paper's presets of frozen-core adaptation as they are resolved and built, element by element.

Each line of a table names the element, what it must be, and where that stands: in the paper's text
(section), in the authors' code, or inferred (see differences.csv beside the system).
"""

import csv
import functools
from pathlib import Path
from types import SimpleNamespace

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax.traverse_util import flatten_dict
from tiny_systems import lengths_of
from untrained import count

from experiments.adaptation import EXPERIMENT, PRESETS
from experiments.adaptation.results import TABLES
from experiments.keypoints import skeleton_of
from kpjax import InputError, Skeleton, losses, methods
from kpjax.methods.adaptation_family import adaptation as method
from kpjax.methods.adaptation_family.released_training import released_learning_rate
from kpjax.methods.adaptation_family.view_pairs import DEVIATIONS, WIDEST, draw_view
from kpjax.models import HourglassNetwork, RandomFeatures
from kpjax.models.residual_generator import ResidualGenerator
from kpjax.models.vgg import VGG
from kpjax.optimization import descend
from kpjax.papers.adaptation import core, variants
from kpjax.papers.adaptation.comparison import perceptual_start
from kpjax.papers.adaptation.core import CORE_BATCH, build_core, network
from kpjax.papers.adaptation.variants import VARIANTS
from kpjax.papers.command_line import read_command
from kpjax.papers.configs import flat, replace_fields
from kpjax.papers.engine import built_on
from kpjax.papers.paper_numbers import lines_of
from kpjax.training.evaluation import Gathered

WEIGHTS = ("--perceptual", "vgg19.tv_in1k")
PAPER = tuple(name for name in PRESETS if name.startswith("mpii"))
TRAINED_ON_CELEBA = ("mpii_mafl", "mpii_aflw", "mpii_ls3d")
SMALL = tuple(name for name in PRESETS if name not in PAPER)


@functools.cache
def resolved(preset, *flags, weights=WEIGHTS):
    """The config of a command line."""
    return read_command(EXPERIMENT, [preset, *weights, *flags]).config


def built(config, variant="adapted"):
    """What `methods.adaptation` is given: (setup, its options)."""
    caught = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(
            variants.methods, "adaptation", lambda setup, **more: caught.append((setup, more))
        )
        built_on.cache_clear()
        VARIANTS[variant].method(config, None)
        built_on.cache_clear()  # of nothing
    return caught[0]


# Numbers of the resolved configs

# element, expected, where from
OF_ALL = (
    ("network", "hourglass", "text 3, 4.1: an hourglass"),
    ("width", 256, "code"),
    ("depth", 4, "code"),
    ("image_size", 128, "text 4.1"),
    ("landmarks", 10, "text 4.1: K"),
    ("batch_size", 48, "text 4.1"),
    ("steps", 80 * 2500, "text 4.1: epochs of iterations"),
    ("learning_rate", 1e-3, "code; the text has none"),
    ("schedule", "steps", "text 4.1: a tenth every 30 epochs"),
    ("decay_to", "zero", "code"),
    ("generator_blocks", 6, "text 4.1"),
    ("vgg_depth", 19, "text 3; 16 in the code"),
    ("core", "mpii/train+validation+rest", "text 4.1: MPII's training set"),
    ("core_test", "mpii/test", "text 4.1: MPII's validation set"),
    ("core_epochs", 110, "text 4.1"),
    ("core_epoch_steps", 22_246 // CORE_BATCH, "inferred: one pass"),
    ("core_kept", (1, 5, 10), "text 4.1, Tables 4 and 5"),
    ("core_pck_threshold", 0.5, "text 4.1: PCKh"),
    ("core_pck_over", "scale", "text 4.1: of the head"),
    ("normalisation", "none", "code: images in [0, 1]"),
    ("perceptual", "vgg19.tv_in1k", "as typed"),
    ("repeats", 10, "code"),
    ("penalty", 1e-4, "code, an example"),
    ("extra", 1, "code: one image more than it says"),
    ("median_length", False, "text 4.2"),
)
AS_THE_CODE = (  # where the text differs: of all but mpii_mafl_printed
    ("projected", "blocks", "code; every convolution in text 3"),
    ("point_sigma", 0.5, "code: exp(-d^2 / 0.5)"),
    ("perceptual_distance", "squared", "code; an l1-norm in text 3"),
    ("generator_width", 32, "code: 128 features; 256 in text 4.1"),
)
AS_PRINTED = (
    ("projected", "every", "text 3: for each convolutional layer"),
    ("point_sigma", 0.5 / 2**0.5, "text 3: exp(-sigma^-2 d^2)"),
    ("perceptual_distance", "absolute", "text 3: l1"),
    ("generator_width", 64, "text 4.1: up to 256"),
)
OF_SETS = (
    (
        "mpii_mafl",
        "target",
        "celeba/train+validation+test+mafl_train+mafl_tune",
        "4.1: all but 1,000",
    ),
    ("mpii_mafl", "fit", "celeba/mafl_train+mafl_tune", "4.1"),
    ("mpii_mafl", "test", "celeba/mafl_test", "4.1"),
    ("mpii_aflw", "fit", "aflw/train+tune", "4.1"),
    ("mpii_aflw", "test", "aflw/test", "4.1"),
    ("mpii_aflw", "target", PRESETS["mpii_mafl"].data.target, "4.2: not trained again"),
    ("mpii_ls3d", "fit", "w300_lp/train+tune", "code"),
    ("mpii_ls3d", "test", "ls3d/test", "4.1"),
    ("mpii_ls3d", "target", PRESETS["mpii_mafl"].data.target, "4.2: not trained again"),
    ("mpii_zappos", "target", "ut_zappos50k/train+tune", "4.1"),
    ("mpii_zappos", "lengths", "none", "4.2: consistency only"),
    ("mpii_cats", "target", "cats/train+tune", "4.1"),
    ("mpii_bbc", "target", "bbc_pose/train", "4.2: generalization"),
    *(
        (name, "labelled_images", (1, 5, 10, 100, 500, 1000, 5000), "Table 2, nim")
        for name in TRAINED_ON_CELEBA
    ),
    *((name, "lengths", "eyes", "4.2: inter-ocular") for name in TRAINED_ON_CELEBA),
)


@pytest.mark.parametrize(("field", "expected", "where"), OF_ALL, ids=[one[0] for one in OF_ALL])
def test_what_all_paper_presets_share(field, expected, where):
    for name in PAPER:
        assert flat(resolved(name))[field] == expected, (name, where)


@pytest.mark.parametrize(
    ("preset", "field", "expected", "where"),
    [
        *((name, *line) for name in PAPER if name != "mpii_mafl_printed" for line in AS_THE_CODE),
        *(("mpii_mafl_printed", *line) for line in AS_PRINTED),
        *OF_SETS,
    ],
    ids=lambda value: str(value)[:24],
)
def test_what_a_preset_has_of_its_own(preset, field, expected, where):
    assert flat(resolved(preset))[field] == expected, where


def test_the_printed_preset_differs_in_nothing_else():
    code, printed = (flat(PRESETS[name]) for name in ("mpii_mafl", "mpii_mafl_printed"))
    different = {name for name in code if code[name] != printed[name]}
    assert different == {line[0] for line in AS_PRINTED} | {"summary", "core_kept_by"}


def test_presets_ask_for_the_weights_that_compare_images():
    """In one line that names the flag, before anything is opened or trained."""
    for name in PAPER:
        with pytest.raises(
            InputError, match=r"--perceptual: .*vgg19\.tv_in1k.* or random"
        ) as caught:
            read_command(EXPERIMENT, [name])
        assert "\n" not in str(caught.value)
        assert read_command(EXPERIMENT, [name, "--perceptual", "random"]).config.steps == 200_000
    with pytest.raises(InputError, match="perceptual"):
        VARIANTS["adapted"].method(PRESETS["mpii_mafl"], None)
    with pytest.raises(InputError, match="perceptual"):
        perceptual_start(PRESETS["mpii_mafl"])
    for name in SMALL:
        assert read_command(EXPERIMENT, [name]).config.comparison.perceptual == "random"
    by_name = resolved("mpii_mafl", weights=("--perceptual", "random"))
    assert isinstance(built(by_name)[1]["perceptual"], RandomFeatures)


# What is built of them


def hourglass_body():
    """Shapes of the core's weights without the head."""
    built = network(resolved("mpii_mafl"), 16)
    images = jnp.zeros((1, 128, 128, 3))
    found = jax.eval_shape(lambda: built.init(jax.random.key(0), images, train=False))
    return {name: tree for name, tree in found["params"].items() if name != "head"}


def parametrisation_of(config, variant):
    """What is trained, and how it makes a network."""
    return built(config, variant)[1]["trained"]


def trained_by(config, variant):
    """Shapes of (frozen, trained) weights of a variant, without the head."""
    parametrisation = parametrisation_of(config, variant)
    return jax.eval_shape(lambda tree: parametrisation.init(tree, frozenset()), hourglass_body())


def test_kernels_are_projected_on_their_output_channels():
    """Equation 1, theta_Y = W x_1 theta_X of (Co, Ci, k, k), by hand in float64; W starts at the
    identity, and nothing is trained of what is projected.
    """
    parametrisation = built(resolved("mpii_mafl"))[1]["trained"]
    random = np.random.default_rng(0)
    theta, matrix = random.normal(size=(4, 3, 3, 3)), random.normal(size=(4, 4))
    kernel = theta.transpose(2, 3, 1, 0).astype(np.float32)
    scale = np.ones(3, np.float32)
    core = {"block": {"conv": {"kernel": kernel}, "bn": {"scale": scale, "bias": 0 * scale}}}
    frozen, trained = parametrisation.init(core, frozenset())
    assert set(flatten_dict(frozen)) == {("block", "conv", "kernel")}
    assert np.array_equal(trained["projections"]["block"]["conv"]["kernel"], np.eye(4))
    assert set(flatten_dict(trained["free"])) == {
        ("block", "bn", "scale"),
        ("block", "bn", "bias"),
    }
    projections = {"block": {"conv": {"kernel": jnp.asarray(matrix, jnp.float32)}}}
    made = parametrisation.assemble(frozen, trained | {"projections": projections})
    found = np.asarray(made["block"]["conv"]["kernel"]).transpose(3, 2, 0, 1)
    wanted = np.einsum("op,piab->oiab", matrix, theta)
    np.testing.assert_allclose(found, wanted, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    ("variant", "projected", "free"),
    [
        # text 3: "0.5M" of "roughly 6M", of which the head has 2,570
        ("adapted", (51, 380_928), 514_698 - 380_928 - 2_570),
        ("adapted_every", (55, 532_480), 14_976 + 64 + 256),
        ("finetuned", (0, 0), 6_234_762 - 2_570),
        ("scratch", (0, 0), 6_234_762 - 2_570),
    ],
)
def test_which_weights_are_trained(variant, projected, free):
    frozen, trained = trained_by(resolved("mpii_mafl"), variant)
    matrices = jax.tree.leaves(trained.get("projections", {}))
    assert (len(matrices), sum(one.size for one in matrices)) == projected
    assert count(trained["free"]) == free
    normalisation = {path for path in flatten_dict(hourglass_body()) if path[-1] == "scale"}
    assert normalisation <= set(flatten_dict(trained["free"]))  # text 3: fine-tuned
    if variant == "adapted":
        kernels = flatten_dict(frozen)
        assert all(leaf.shape[:2] == (3, 3) for leaf in kernels.values())
        assert {path[-2] for path in kernels} == {"conv1", "conv2", "conv3"}


def test_the_head_is_new_and_the_field_chooses_the_kernels():
    """Text 3: "the very last layer ... trained from scratch"."""
    config = resolved("mpii_mafl")
    for name in ("adapted", "finetuned", "scratch", "random_core", "finetuned_last"):
        assert not parametrisation_of(config, name).keeps_head, name
    assert parametrisation_of(config, "finetuned_from_adapted").keeps_head
    every = replace_fields(config, projected="every")
    for name in ("adapted", "random_core", "adapted_every"):
        matrices = trained_by(every, name)[1]["projections"]
        assert len(jax.tree.leaves(matrices)) == 55, name
    for name in ("finetuned", "finetuned_last"):
        assert parametrisation_of(every, name) is parametrisation_of(config, name)


def test_images_are_compared_by_pixels_and_layers_of_vgg():
    """Text 3: the sum of both, and four layers; images in [0, 1] as in the code."""
    for flags, depth in (((), 19), (("--vgg-depth", "16"), 16)):
        _, options = built(resolved("mpii_mafl", *flags))
        taps = ("relu1_2", "relu2_2", "relu3_3", "relu4_3")
        assert options["perceptual"] == VGG(depth, taps)
        assert "perceptual_normalise" not in options  # images as they are
        weights = {name: term.weight for name, term in options["objective"].items()}
        assert weights == {"pixels": 1.0, "features": 1.0}


@pytest.mark.parametrize(
    ("preset", "distance"), [("mpii_mafl", np.square), ("mpii_mafl_printed", np.abs)]
)
def test_the_distances_that_are_summed(preset, distance):
    objective = built(resolved(preset))[1]["objective"]
    random = np.random.default_rng(3)
    shapes = ((2, 8, 8, 3), (2, 8, 8, 4), (2, 4, 4, 5))
    found, wanted = (
        [random.normal(size=shape).astype(np.float32) for shape in shapes] for _ in range(2)
    )
    outputs = {
        "reconstruction": method.Reconstruction(
            *map(jnp.asarray, (found[0], wanted[0])),
            *(tuple(map(jnp.asarray, layers[1:])) for layers in (found, wanted)),
        )
    }
    pixels = np.square(found[0] - wanted[0]).mean()
    features = sum(distance(a - b).mean() for a, b in zip(found[1:], wanted[1:], strict=True))
    assert objective["pixels"].function(outputs, {}) == pytest.approx(pixels, rel=1e-5)
    assert objective["features"].function(outputs, {}) == pytest.approx(features, rel=1e-5)


@pytest.mark.parametrize(("preset", "features"), [("mpii_mafl", 128), ("mpii_mafl_printed", 256)])
def test_the_generator(preset, features):
    """Text 4.1: two halvings, six residual blocks, two doublings."""
    generator = built(resolved(preset))[1]["generator"]
    assert generator == ResidualGenerator(features // 4, 6)
    images, maps = jnp.zeros((1, 128, 128, 3)), jnp.zeros((1, 32, 32, 10))
    painted, variables = jax.eval_shape(
        lambda: generator.init_with_output(jax.random.key(0), images, maps, train=False)
    )
    params = variables["params"]
    assert painted.shape == (1, 128, 128, 3)
    assert params["conv3"]["kernel"].shape[-1] == features
    assert sum(name.endswith("_conv1") and name.startswith("block") for name in params) == 6
    assert {"transposed_conv1", "transposed_conv2"} < set(params)


def test_points_and_their_gaussians():
    """Text 4.1: 128 px to maps of 32, beta 10, sigma 0.5."""
    setup, options = built(resolved("mpii_mafl"))
    assert (len(setup.skeleton.names), pytest.approx(1 / method.TEMPERATURE)) == (10, 10)
    heatmaps = jax.eval_shape(
        lambda: setup.model.init_with_output(
            jax.random.key(0), jnp.zeros((1, 128, 128, 3)), train=False
        )
    )[0]
    assert heatmaps.shape == (1, 32, 32, 10)
    distance = 0.7
    for name, divisor in (("mpii_mafl", 0.5), ("mpii_mafl_printed", 0.25)):
        sigma = built(resolved(name))[1]["sigma"]
        value = np.exp(-(distance**2) / (2 * sigma**2))
        assert value == pytest.approx(np.exp(-(distance**2) / divisor)), name
    assert options["sigma"] == 0.5


def test_the_optimizer_is_adam_without_a_first_moment():
    """Text 4.1: (beta1, beta2) = (0, 0.9); clipping and decay of the code. A step by hand."""
    setup, _ = built(resolved("mpii_mafl"))
    weight, state, second = 1.0, setup.optimizer.init({"w": jnp.float32(1)}), 0.0
    params = {"w": jnp.float32(weight)}
    for step, gradient in enumerate((0.2, -0.5, 3.0)):
        params, state = descend(
            setup.optimizer,
            {"w": jnp.float32(gradient)},
            state,
            params,
            setup.learning_rate,
            jnp.int32(step),
        )
        clipped = gradient / max(abs(gradient), 1.0) + 5e-4 * weight
        second = 0.9 * second + 0.1 * clipped**2
        weight -= 1e-3 * clipped / (np.sqrt(second / (1 - 0.9 ** (step + 1))) + 1e-8)
        assert float(params["w"]) == pytest.approx(weight, rel=1e-6)


def test_the_rate_falls_after_30_and_60_of_80_epochs():
    setup, _ = built(resolved("mpii_mafl"))
    of_epochs = {0: 1e-3, 29.9: 1e-3, 30: 1e-4, 59.9: 1e-4, 60: 1e-5, 79.9: 1e-5}
    for epoch, rate in of_epochs.items():
        step = jnp.float32(2500 * epoch)
        assert float(setup.learning_rate(step)) == pytest.approx(rate), epoch
        assert float(released_learning_rate()(step)) == pytest.approx(rate), epoch


def test_views_are_similarities():
    """Text 4.1: rotation, scaling, translation; angles of the code, the target turned further."""
    assert (DEVIATIONS, WIDEST) == ((30.0, 15.0), 40.0)
    config = resolved("mpii_mafl")
    keys = jax.random.split(jax.random.key(0), 2000)
    for deviation in DEVIATIONS:
        draw = draw_view(deviation, size=(128, 128), shown=config.shown)
        maps = np.asarray(jax.jit(jax.vmap(lambda key, draw=draw: draw(key, (192, 192))))(keys))
        a, b, c, d = maps[:, 0, 0], maps[:, 0, 1], maps[:, 1, 0], maps[:, 1, 1]
        np.testing.assert_allclose(a, d, atol=1e-5)
        np.testing.assert_allclose(b, -c, atol=1e-5)
        degrees = np.degrees(np.arctan2(c, a))
        assert np.abs(degrees).max() <= WIDEST + 1e-3
        normal = np.random.default_rng(0).normal(size=200_000) * deviation
        assert degrees.std() == pytest.approx(np.clip(normal, -WIDEST, WIDEST).std(), rel=0.06)
        assert np.ptp(np.hypot(a, c)) > 0.05


def test_the_core_learns_sixteen_joints_by_squared_errors(monkeypatch):
    """Text 3 and 4.1. Its Gaussian and optimizer are not stated."""
    caught = []
    monkeypatch.setattr(methods, "supervised", lambda setup, loss: caught.append((setup, loss)))
    config = resolved("mpii_mafl")
    build_core.__wrapped__(config, skeleton_of("mpii/train"))
    ((setup, loss),) = caught
    assert loss is losses.heatmap_mse
    assert len(setup.skeleton.names) == 16
    assert setup.model == network(config, 16)
    assert isinstance(config.network, HourglassNetwork)
    epochs = {0: 2.5e-4, 59.9: 2.5e-4, 60.1: 2.5e-5, 89.9: 2.5e-5, 90.1: 2.5e-6}
    for epoch, rate in epochs.items():
        found = setup.learning_rate(jnp.float32(695 * epoch))
        assert float(found) == pytest.approx(rate), epoch
    left_out = {name: PRESETS[name].core.core_uncounted_keypoints for name in PAPER}
    assert set(left_out.values()) == {("pelvis", "thorax")}


def test_the_accuracy_of_the_core_is_the_official_mean_of_the_benchmark(monkeypatch):
    """PCKh pooled over points, without pelvis and thorax: 3 of 4, not the mean of 3/3 and 0/1."""
    points = Skeleton(("ankle", "wrist", "pelvis", "thorax"))
    visible = np.float32([[1, 0, 1, 1], [1, 1, 1, 1], [1, 0, 1, 1]])
    predicted = np.zeros((3, 4, 2), np.float32)
    predicted[1, 1] = (6, 0)  # more than half a head of 10 px away
    predicted[:, 2:] = (50, 50)
    predicted[2, 0] = (5, 0)  # exactly half a head
    found = Gathered(
        predicted,
        np.ones((3, 4), np.float32),
        np.arange(3),
        np.zeros((3, 4, 2), np.float32),
        visible,
        np.full(3, 10, np.float32),
        np.broadcast_to(np.eye(3, dtype=np.float32), (3, 3, 3)),
    )
    monkeypatch.setattr(core, "build_core", lambda *given: SimpleNamespace(skeleton=points))
    monkeypatch.setattr(core, "predict_source", lambda *given, **more: found)
    monkeypatch.setattr(core, "batches", lambda *given, **more: {})
    images = SimpleNamespace(skeleton=points)
    job = SimpleNamespace(config=resolved("mpii_mafl"), seed=0, data_dir=None)
    data = SimpleNamespace(core_images=lambda *given: (images, images))
    _, evaluate = core._training(job, data, None).more["evaluate"]
    metrics = evaluate(SimpleNamespace(step=0))
    assert metrics["core/pck"] == pytest.approx(3 / 4)


# Tables


def test_measures_and_models_of_the_tables():
    """Forward and backward errors, consistency; Scratch, Finetune, Proposed."""
    metrics = {column.metric for column in EXPERIMENT.paper.columns(resolved("mpii_aflw"))}
    assert {"forward/all", "forward/10", "backward/all", "backward/10", "consistency"} <= metrics
    labels = {
        name: variant.label for name, variant in EXPERIMENT.paper.variants.items() if variant.label
    }
    assert {"scratch": "Scratch", "finetuned": "Finetune", "adapted": "Proposed"}.items() <= (
        labels.items()
    )
    assert set(EXPERIMENT.paper.applicable("mpii_aflw", resolved("mpii_aflw"))) == set(
        EXPERIMENT.paper.variants
    )
    for name in ("finetuned_last", "finetuned_from_adapted", "adapted_every"):
        assert EXPERIMENT.paper.variants[name].kind == "ablation"
    from_adapted = lengths_of(EXPERIMENT, resolved("mpii_aflw"), "finetuned_from_adapted")
    assert from_adapted.keys() == {"core_mpii", "adapted", "finetuned_from_adapted"}


@pytest.mark.parametrize(
    ("flags", "metric", "expected", "where"),
    [
        ((), "forward/all", 6.69, "Table 2"),
        ((), "backward/all", 9.19, "Table 2"),
        ((), "consistency", 2.52, "Table 3"),
        (("--core-epoch", "1"), "consistency", 15.09, "Table 4, epochs"),
        (("--core-epoch", "5"), "forward/10", 16.45, "Table 5, epochs"),
        (("--core-epoch", "10"), "backward/all", 13.58, "Table 5, epochs"),
        (("--target-images", "10"), "backward/100", 7.64, "Table 5, images"),
        (("--target-images", "100"), "forward/all", 7.25, "Table 5, images"),
        (("--target-images", "1000"), "consistency", 4.01, "Table 4, images"),
    ],
    ids=lambda value: "_".join(map(str, value)) if isinstance(value, tuple) else str(value),
)
def test_what_the_paper_prints_stands_beside_the_settings_that_make_it(
    flags, metric, expected, where
):
    config = resolved("mpii_aflw", *flags)
    assert EXPERIMENT.paper.numbers("mpii_aflw", config, "adapted")[metric] == expected, where


def test_every_line_of_the_papers_tables_can_be_run():
    """Its preset, variant and settings exist, and the page has its row."""
    _, rows, _ = TABLES["paper"]
    tables = {line.table for line in lines_of("adaptation")}
    assert tables == {"table2", "table3", "table4", "table5"}
    for line in lines_of("adaptation"):
        keys = {name: value for name, value in line.keys.items() if value != "0"}
        preset, variant = keys.pop("preset"), keys.pop("variant")
        settings = "".join(f" {name}={value}" for name, value in keys.items())
        assert f"{preset}{settings}/{variant}" in rows
        replace_fields(PRESETS[preset], **{name: int(value) for name, value in keys.items()})
    for name in ("finetuned_last", "finetuned_from_adapted", "adapted_every"):
        assert f"mpii_mafl/{name}" in rows
    assert "mpii_mafl_printed/adapted" in rows


# The page


@functools.cache
def differences():
    path = Path(variants.__file__).parent / "differences.csv"
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


@pytest.mark.parametrize(
    ("element", "words"),
    [
        ("projected convolutions", ("51", "adapted_every", "--projected every", "514,698")),
        ("Gaussian of a rendered point", ("0.25", "0.5", "--point-sigma 0.35355")),
        ("generator's width", ("256", "128", "--generator-width 64")),
        ("perceptual distance", ("l1", "squared", "--perceptual-distance absolute")),
        ("depth of VGG", ("19", "16", "--vgg-depth 16")),
        ("weights of VGG", ("--perceptual", "random")),
        ("last layers of the fine-tuned core", ("finetuned_last",)),
        ("fine-tuning after the projections", ("finetuned_from_adapted",)),
    ],
)
def test_what_deviates_from_the_text_is_on_the_page(element, words):
    (row,) = [row for row in differences() if row["element"] == element]
    text = " ".join(row.values())
    assert all(word in text for word in words)
