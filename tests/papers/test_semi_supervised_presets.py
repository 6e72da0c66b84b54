"""The presets of semi-supervised keypoint localization (Moskvyak et al. 2021): what they build,
element by element of the paper.
"""

import functools
import itertools
import math
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from experiments.semi_supervised import EXPERIMENT, PRESETS
from experiments.semi_supervised.results import SHARES, TABLES
from kpjax import geometry, methods
from kpjax.input.source import arrays, labelled_subset
from kpjax.losses import views
from kpjax.methods.semi_supervised_family.objectives import semantic_of, warped_name
from kpjax.methods.semi_supervised_family.semantic_features import (
    Semantic,
    feature_inputs,
    heatmaps_and_features,
    initial_semantic,
)
from kpjax.papers.command_line import read_command
from kpjax.papers.configs import network_of, replace_fields
from kpjax.papers.engine import Job, built_on
from kpjax.papers.semi_supervised import stages
from kpjax.papers.semi_supervised.stages import build_objective, setup_of
from kpjax.papers.semi_supervised.variants import VARIANTS
from kpjax.structures import Example, Skeleton

# Keypoints that the paper's sets have; the body skeleton here has two more slots than LSP.
PAPER = {"mpii": 16, "lsp": 14, "cub": 15, "atrw": 15}
SMALL = sorted(set(PRESETS) - set(PAPER) - {"lspet"})
POINTS = Skeleton(("first", "second"))
STREAMS = ("labelled", "unlabelled")
EVERY = pytest.mark.parametrize("preset", PAPER)


MOST = 16  # keypoints, MPII's


def built(preset):
    """The network of a preset with its features, as shapes: heatmaps, feature maps, F and phi."""
    chosen = PRESETS[preset]
    network = network_of(chosen, MOST)
    return traced(network, chosen.data.image_size, chosen.weights.feature_width)


@functools.cache
def traced(network, side, width):
    images = jax.ShapeDtypeStruct((2, side, side, 3), jnp.float32)

    def shapes(key, images):
        variables = network.init(key, images, train=False)
        heatmaps, maps = network.apply(variables, images, train=False, method=heatmaps_and_features)
        semantic = initial_semantic(network, key, variables, images, width)
        return heatmaps, tuple(feature_inputs(*maps)), semantic

    return jax.eval_shape(shapes, jax.random.key(0), images)


def setup(preset, keypoints=2):
    names = tuple(f"point {number}" for number in range(keypoints))
    return setup_of(PRESETS[preset], Skeleton(names))


def objective(preset, keypoints=2):
    """What `sskl` of a preset minimises."""
    return build_objective(PRESETS[preset], setup(preset, keypoints))


def passed(monkeypatch, preset, variant="sskl"):
    """What a variant gives to the method that it is built of."""
    given = {}

    def noted(setup, **options):
        given.update(options, setup=setup)

    with monkeypatch.context() as patch:
        patch.setattr(methods, "semi_supervised", noted)
        built_on.cache_clear()
        VARIANTS[variant].method(PRESETS[preset], setup(preset).skeleton)
    built_on.cache_clear()
    return given


# Numbers: element, what a preset has, what the paper has, where it is printed


class Element(NamedTuple):
    name: str
    of: object  # preset -> what it has
    expected: object  # or a function of the preset
    where: str


def config(field):
    return lambda preset: functools.reduce(getattr, field.split("."), PRESETS[preset])


def kept_shares(preset):
    return [
        replace_fields(PRESETS[preset], labelled=share).data.amount["share"] for share in SHARES
    ]


def first_update_of_adam(preset):
    """Adam's first step is the sign of the gradient."""
    optimizer = setup(preset).optimizer
    gradient = {"kernel": jnp.array([4.0, -0.5])}
    with jax.numpy_dtype_promotion("standard"):  # of optax's own counts
        found, _ = optimizer.update(gradient, optimizer.init(gradient), gradient)
    return np.asarray(found["kernel"]).round(4).tolist()


def weights_of(preset):
    return {name: term.weight for name, term in objective(preset, PAPER[preset]).items()}


def cells(preset):
    return built(preset)[0].shape[1:]


ELEMENTS = (
    Element("network", lambda p: built(p)[1][0].shape[-1], 32, "4.2: HRNet-32"),
    Element(
        "channels of the feature maps",
        lambda p: sum(each.shape[-1] for each in built(p)[1]),
        352,
        "4.2: after concatenation we get 352 channels",
    ),
    Element(
        "F",
        lambda p: built(p)[2]["features"]["kernel"].shape,
        (352, 64),
        "4.2: 64 convolutional filters of size one",
    ),
    Element(
        "KCN",
        lambda p: {name: leaf.shape for name, leaf in built(p)[2]["classifier"]["dense"].items()},
        {"kernel": (64, MOST), "bias": (MOST,)},
        "3.1: an input and an output layer, shared between keypoints",
    ),
    Element("layers of KCN", lambda p: len(built(p)[2]["classifier"]), 1, "3.1"),
    Element("heatmaps", cells, (64, 64, MOST), "4.2"),
    Element(
        "weights",
        weights_of,
        {"supervised": 1e3, "semantic": 0.5, "equivariance": 1e2, "invariance": 1e2},
        "equation 5 and 4.2, for any number of keypoints",
    ),
    Element("optimizer", first_update_of_adam, [1, -1], "4.2: Adam"),
    Element(
        "learning rate",
        lambda p: [float(setup(p).learning_rate(step)) for step in (0, 1, 29_999)],
        pytest.approx([1e-4] * 3),
        "4.2: for all experiments",
    ),
    Element("shares", kept_shares, [0.05, 0.1, 0.2, 0.5, 1.0], "4.1 and table 1"),
)


@EVERY
@pytest.mark.parametrize("element", ELEMENTS, ids=lambda element: element.name)
def test_a_preset_is_the_papers(element, preset):
    expected = element.expected
    if callable(expected) and not hasattr(expected, "rel"):
        expected = expected(preset)
    assert element.of(preset) == expected, element.where


# Equations, on the objective that a preset builds


def example(keypoints):
    """Two images whose keypoints are shown, in the middle."""
    return Example(
        np.zeros((2, 256, 256, 3), np.float32),
        np.full((2, keypoints, 2), 128.0, np.float32),
        np.ones((2, keypoints), np.float32),
        np.ones(2, np.float32),
        np.tile(np.eye(3, dtype=np.float32), (2, 1, 1)),
        np.arange(2, dtype=np.int32),
    )


def outputs_of(z, z_of_warped, logits):
    """What terms read: the same representations (2, K, C) of labelled and unlabelled images."""
    found = {}
    for stream in STREAMS:
        found[semantic_of(stream, True)] = Semantic(z, logits)
        found[semantic_of(warped_name(stream), True)] = Semantic(z_of_warped, logits)
    return found


def invariance(config):
    """L_ti of two keypoints by hand: z_1 = (3, 4) and (0, 5), z_2 = (0, 2) and (0, 1)."""
    z = jnp.tile(jnp.array([[[3.0, 4.0], [0.0, 2.0]]]), (2, 1, 1))
    moved = jnp.tile(jnp.array([[[0.0, 5.0], [0.0, 1.0]]]), (2, 1, 1))
    outputs = outputs_of(z, moved, jnp.zeros((2, 2, 2)))
    side = config.data.image_size
    shown = example(2)._replace(
        image=np.zeros((2, side, side, 3), np.float32),
        keypoints=np.full((2, 2, 2), side / 2, np.float32),
    )
    examples = {view: shown for stream in STREAMS for view in (stream, warped_name(stream))}
    function = build_objective(config, setup_of(config, POINTS))["invariance"].function
    return float(jax.jit(function)(outputs, examples))


@pytest.mark.parametrize("preset", [*PAPER, "lspet"])
def test_invariance_as_printed(preset):
    """9 + 1 of the first keypoint, 0 + 1 of the second: the squared norm of the difference."""
    assert invariance(PRESETS[preset]) == pytest.approx(11)


@EVERY
def test_invariance_is_a_mean_by_a_flag(preset):
    """The other reading, on the scale of L_te: the same 11 over two keypoints of two channels."""
    config = read_command(EXPERIMENT, [preset, "--reduction", "mean"]).config
    assert invariance(config) == pytest.approx(11 / 4)


@pytest.mark.parametrize("preset", SMALL)
def test_invariance_of_unit_representations(preset):
    """(0.6, 0.8) and (0, 1), then equal ones: 0.36 + 0.04, over four numbers."""
    assert invariance(PRESETS[preset]) == pytest.approx(0.1, rel=1e-3)


@EVERY
def test_consistency_as_printed(preset):
    """Equation 1: the mean of -log phi_k(z_k), here of softmax (0.75, 0.25) and (0.5, 0.5)."""
    logits = jnp.tile(jnp.array([[[math.log(3.0), 0.0], [0.0, 0.0]]]), (2, 1, 1))
    outputs = outputs_of(jnp.zeros((2, 2, 2)), jnp.zeros((2, 2, 2)), logits)
    function = objective(preset)["semantic"].function
    found = jax.jit(function)(outputs, dict.fromkeys(STREAMS, example(2)))
    assert float(found) == pytest.approx(-(math.log(0.75) + math.log(0.5)) / 2)


@EVERY
def test_true_heatmaps_are_read_on_the_labelled_half(preset, monkeypatch):
    """4.2: "uses ground truth heatmaps in unsupervised losses for the labeled samples"."""
    given = passed(monkeypatch, preset)
    read = views(given["objective"])
    assert semantic_of("labelled", True) != semantic_of("labelled", False)
    assert {semantic_of("labelled", True), semantic_of("unlabelled", True)} <= read
    assert semantic_of("labelled", False) not in read
    assert "labelled" not in given["objective"]["equivariance"].reads
    without = views(passed(monkeypatch, preset, "no_ground_truth")["objective"])
    assert semantic_of("labelled", False) in without
    assert semantic_of("labelled", True) not in without


@EVERY
def test_the_method_gets_what_the_preset_says(preset, monkeypatch):
    given = passed(monkeypatch, preset)
    assert not given["one_scale"]
    assert given["feature_width"] == 64
    assert set(given["objective"]) == {"supervised", "semantic", "equivariance", "invariance"}
    assert passed(monkeypatch, "demo")["one_scale"]


@EVERY
def test_batches_are_halves(preset, monkeypatch):
    """4.2: 50 % labelled and 50 % unlabelled, of all four terms."""
    seen = {}

    def noted(job, method, sources, *, batch_size, **options):
        seen.update(batch_size=batch_size, streams=method.streams, **options)

    monkeypatch.setattr(stages, "batches", noted)
    data = stages.Data(*[arrays_of(4)] * 5, identity={})
    job = Job(None, PRESETS[preset], preset, "sskl", 0, "", "")
    method = VARIANTS["sskl"].method(PRESETS[preset], POINTS)
    config = job.config
    more = stages.on_images(job, data, method, {}, config.steps, patience=config.patience).more
    assert seen["streams"] == STREAMS
    assert seen["batch_size"] == config.batch_size // 2
    # Stopped by the accuracy on validation images, of which the best is the result.
    assert more["select"].metric == "validation/pck"
    assert more["select"].patience == config.patience == 10
    assert config.steps // more["evaluate"][0] == 50


def arrays_of(count):
    shown = np.full((count, 2, 2), 4.0)
    return arrays(np.zeros((count, 8, 8, 3), np.uint8), shown, np.ones((count, 2)), POINTS, "made")


@EVERY
def test_corners_move_by_at_most_a_share_of_the_side(preset, monkeypatch):
    """Perspective maps (4.2); 0.15 is that of the first author's public sampler."""
    draw = passed(monkeypatch, preset)["draw_map"]
    keys = jax.random.split(jax.random.key(0), 64)
    maps = jax.jit(jax.vmap(lambda key: draw(key, (256, 256))))(keys)
    corners = np.tile(np.float32([[0, 0], [0, 256], [256, 256], [256, 0]]), (64, 1, 1))
    inwards = np.array([[1, 1], [1, -1], [-1, -1], [-1, 1]])
    moved = inwards * (np.asarray(geometry.move_points(maps, jnp.asarray(corners))) - corners)
    reach = 0.15 * 256
    assert -reach / 2 - 1e-2 <= moved.min() < -0.4 * reach
    assert 0.9 * reach < moved.max() <= reach + 1e-2
    assert np.abs(np.asarray(maps)[:, 2, :2]).max() > 1e-5


def test_affine_maps_keep_parallels():
    """The other warp that the paper tried."""
    draw = replace_fields(PRESETS["lsp"], warp="affine").weights.draw_map()
    keys = jax.random.split(jax.random.key(0), 64)
    maps = np.asarray(jax.jit(jax.vmap(lambda key: draw(key, (256, 256))))(keys))
    np.testing.assert_array_equal(maps[:, 2], np.tile([0, 0, 1], (64, 1)))
    zooms = np.sqrt(np.linalg.det(maps[:, :2, :2]))
    assert zooms.min() >= 0.75 - 1e-4
    assert zooms.max() <= 1.25 + 1e-4
    assert zooms.std() > 0.1


def test_variants_of_the_text_have_the_papers_change_alone(monkeypatch):
    sskl, inverse, affine = (
        passed(monkeypatch, "cub", variant) for variant in ("sskl", "te_inverse", "affine")
    )
    weights = [
        {name: term.weight for name, term in given["objective"].items()}
        for given in (sskl, inverse, affine)
    ]
    assert weights[0] == weights[1] == weights[2]
    assert sskl["draw_map"] is inverse["draw_map"] is not affine["draw_map"]
    reads = [given["objective"]["equivariance"].reads for given in (sskl, inverse)]
    assert reads[0] == reads[1]


@EVERY
def test_labelled_images_are_drawn_three_times_and_lie_in_one_another(preset):
    """4.1: 5, 10, 20 and 50 % of the training images, at random, three times."""
    source = arrays_of(100)
    sizes = {}
    for seed in range(3):
        found = [
            labelled_subset(
                source, **replace_fields(PRESETS[preset], labelled=share).data.amount, seed=seed
            )
            for share in SHARES[:4]
        ]
        sizes[found[0].digest] = [len(one.labelled) for one in found]
        for fewer, more in itertools.pairwise(found):
            assert set(fewer.labelled) < set(more.labelled)
    assert list(sizes.values()) == [[5, 10, 20, 50]] * 3


# Tables and the page


@pytest.mark.parametrize(
    ("variant", "label"),
    [
        ("supervised", "HRNet"),
        ("pl", "PL"),
        ("elt", "ELT"),
        ("gen", "Gen"),
        ("sskl", "ours"),
        ("no_sc", "TE + TI"),
        ("sc_only", "SC"),
        ("no_te", "TI + SC"),
        ("no_ti", "TE + SC"),
        ("ti_only", "TI"),
        ("no_ground_truth", ""),
        ("te_inverse", "inverse TE + TI + SC"),
        ("affine", ""),
    ],
)
def test_lines_of_the_papers_tables_are_variants(variant, label):
    assert VARIANTS[variant].label == label
    assert variant in TABLES["paper"][1]


def test_the_shares_of_tables_1_and_3_have_columns():
    columns = TABLES["paper"][0]
    for preset in PAPER:
        assert {f"{preset} labelled={share}" for share in SHARES} <= set(columns)
    for preset in ("cub", "atrw"):
        assert {
            f"{preset} labelled=0.05 unlabelled_share={share}" for share in (0.1, 0.2, 0.5)
        } <= set(columns)
