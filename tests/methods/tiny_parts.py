"""The smallest parts that every method can be built from: one model, one shape, momentum as
optimizer.

`build` gives a factory the setup, or fills its arguments by their names, so that a new method that
keeps to those names meets the contract with no edit here.
"""

import functools
import importlib
import inspect
import pkgutil
import typing
from zlib import crc32

import jax
import jax.numpy as jnp
import numpy as np
import optax
from flax import linen as nn

import kpjax.methods
from kpjax.augment.augmentations import random_flip
from kpjax.heatmaps import codec, decode_argmax, named_decoder
from kpjax.input.source import arrays
from kpjax.input.stream import BatchStream, stream
from kpjax.losses.objective import Objective
from kpjax.methods.setup import Setup
from kpjax.models.feature_pyramid import ConvolutionStack, SmallTrunk
from kpjax.models.layers import BatchNorm, Convolution, GroupNorm, he_normal, upsample_nearest
from kpjax.models.network import HeatmapHead, KeypointNetwork
from kpjax.models.permakey import Encoder, ErrorMaps, ImageDecoder, Latent, PermaKey, Predictor
from kpjax.models.pyramid import KeypointEncoder, KeypointLevels, keypoint_pyramid
from kpjax.models.pyramid_baselines import as_keynet, as_transporter
from kpjax.models.residual_generator import ResidualGenerator
from kpjax.structures import Example, Method, Skeleton

KEYPOINTS, BATCH, SIDE = 3, 8, 16
SKELETON = Skeleton(
    ("left", "middle", "right"), edges=((0, 1), (1, 2)), flip=(2, 1, 0), groups={"all": (0, 1, 2)}
)


class ForEveryName(dict):
    """The same schedule for whatever group of parameters a method has."""

    def get(self, name):
        return optax.cosine_decay_schedule(1e-2, 100)


def centred(images):
    return images - jnp.asarray(0.5, images.dtype)


class Backbone(nn.Module):
    """Two feature maps, of strides 4 and 8."""

    @nn.compact
    def __call__(self, images, train: bool):
        fine = Convolution(4, stride=4, name="conv1")(images)
        fine = nn.relu(BatchNorm(name="bn1")(fine, train))
        coarse = Convolution(6, stride=2, name="conv2")(fine)
        return fine, nn.relu(BatchNorm(name="bn2")(coarse, train))


class Upsampling(nn.Module):
    """The coarse map, enlarged and added to the fine one."""

    @nn.compact
    def __call__(self, features, train: bool):
        fine, coarse = features
        coarse = Convolution(4, kernel_size=1, name="conv")(coarse)
        return nn.relu(BatchNorm(name="bn")(fine + upsample_nearest(coarse), train))


class Features(nn.Module):
    """In VGG's place: two small feature maps."""

    @nn.compact
    def __call__(self, images):
        fine = nn.relu(Convolution(4, name="conv1")(images))
        return fine, nn.relu(Convolution(4, stride=2, name="conv2")(fine))


GROUPS = functools.partial(GroupNorm, groups=2)


def tiny_pyramid(level_sizes=(2, 4), *, conditioned=True, decoder=4, normalization=GROUPS):
    """Builds a network of Keypoint Pyramids of one or two levels."""
    levels = len(level_sizes)
    return keypoint_pyramid(
        level_sizes,
        backbone=SmallTrunk((), (4, 4), normalization=normalization),
        pyramid_width=4,
        pyramid_normalization=normalization,
        encoder_widths=(),
        appearance=ConvolutionStack((4,), normalization=normalization),
        decoder_widths=(decoder,),
        decoder_depth=1,
        transport_widths=((4,), (4,))[-levels:],
        transport_decoder_widths=((decoder, decoder), (decoder,))[-levels:],
        conditioned=conditioned,
        normalization=normalization,
    )


def tiny_permakey(keypoints, *, normalization=GROUPS):
    """Builds a network of PermaKey with error maps of two layers."""
    shared = {"normalization": normalization}
    features = ErrorMaps(
        Encoder((2, 2, 2, 4), **shared), (Predictor((4,), **shared), Predictor((4,), **shared))
    )
    return PermaKey(
        KeypointLevels(features, (KeypointEncoder(keypoints, (4,), **shared),), conditioned=False),
        Latent(2),
        ImageDecoder(((4,), (4,), (4,)), **shared),
    )


MODEL = KeypointNetwork(
    Backbone(), Upsampling(), HeatmapHead(KEYPOINTS, 2, 4, he_normal, nn.initializers.normal(0.01))
)
CODEC = codec(image_size=SIDE, heatmap_size=SIDE // 4, sigma=1.0)
# The maps of left and right are read together.
PAIRED_CODEC = codec(
    image_size=SIDE,
    heatmap_size=SIDE // 4,
    sigma=1.0,
    decoder=named_decoder("argmax", sigma=1.0, apart=[(0, 2)]),
    decoder_of_each=decode_argmax,
)
# Momentum, not Adam: Adam makes full steps of the rounding noise in a gradient that is zero in
# theory.
SETUP = Setup(
    MODEL, SKELETON, CODEC, optax.trace(0.9), ForEveryName(), random_flip(SKELETON), centred
)
PARTS = SETUP._asdict()
# Of methods that bring networks of their own, in place of those.
SMALLER = {
    "adaptation": {"generator": ResidualGenerator(2, blocks=1)},
    "pyramids": {"network": tiny_pyramid()},
    "keynet": {"network": as_keynet(tiny_pyramid((6,)))},
    "transporter": {"network": as_transporter(tiny_pyramid((6,)))},
    "permakey": {"network": tiny_permakey(6)},
}

OF_FAMILIES = {
    "adaptation.adaptation",
    "incremental.incremental",
    "pyramids.pyramids",
    "regda.regda",
    # one of each family
    "semi_supervised.semi_supervised",
    "supervised_learning.supervised",
}


def factories() -> dict[str, typing.Callable[..., Method]]:
    """Finds every public function in `kpjax.methods` that makes a `Method`, by module and name.

    Functions of another method, such as `ensemble`, have tests of their own. What makes a method
    of a forward pass is tested by the methods that it makes.
    """
    found = {}
    for entry in pkgutil.walk_packages(kpjax.methods.__path__, "kpjax.methods."):
        module = importlib.import_module(entry.name)
        for name, function in inspect.getmembers(module, inspect.isfunction):
            public = function.__module__ == module.__name__ and not name.startswith("_")
            signature = inspect.signature(function)
            if (
                public
                and signature.return_annotation is Method
                and not {"method", "forward"} & set(signature.parameters)
            ):
                found[f"{entry.name.rpartition('.')[2]}.{name}"] = function
    return found


def build(factory, **changes) -> Method:
    """Builds a method from the parts.

    changes: other parts, of the setup and of those that a factory takes itself. A required argument
    of type Objective comes from `<method>_objective`, in the module or in its shelf's `objectives`.
    """
    setup = SETUP._replace(
        **{name: part for name, part in changes.items() if name in Setup._fields}
    )
    arguments = dict(SMALLER.get(factory.__name__, {}))
    parameters = inspect.signature(factory).parameters
    for name, parameter in parameters.items():
        if parameter.annotation is Setup:
            arguments[name] = setup
        elif parameter.annotation is Objective:
            make = objective_maker(factory)
            coded = "codec" in inspect.signature(make).parameters
            arguments[name] = make(setup.codec) if coded else make()
        elif name in PARTS:
            arguments[name] = PARTS[name]
        elif parameter.default is inspect.Parameter.empty:
            raise TypeError(
                f"{factory.__name__} needs {name!r}: give it a default, or a part of that name"
            )
    return factory(
        **arguments | {name: part for name, part in changes.items() if name in parameters}
    )


def objective_maker(factory) -> typing.Callable[..., Objective]:
    """Finds the function that makes a method's objective, by its name."""
    name = f"{factory.__name__}_objective"
    own = inspect.getmodule(factory)
    return getattr(own, name, None) or getattr(
        importlib.import_module(f"{own.__package__}.objectives"), name
    )


def batch(name: str) -> Example:
    """Makes a labelled batch, the same for the same stream name."""
    rng = np.random.default_rng(crc32(name.encode()))
    images = rng.integers(0, 256, (BATCH, SIDE, SIDE, 3), np.uint8)
    keypoints = rng.uniform(3, SIDE - 4, (BATCH, KEYPOINTS, 2))
    return arrays(images, keypoints, np.ones((BATCH, KEYPOINTS)), SKELETON, name).examples


def endless(name: str) -> BatchStream:
    """Makes the batches of a stream by step, from two batches' worth of examples."""
    examples = Example(
        *(np.concatenate(parts) for parts in zip(batch(name), batch(f"more {name}"), strict=True))
    )
    source = arrays(examples.image, examples.keypoints, examples.visible, SKELETON, name)
    return stream(source, batch_size=BATCH, seed=0)


def one_device():
    """The first device alone."""
    return jax.make_mesh(
        (1,), ("data",), axis_types=(jax.sharding.AxisType.Auto,), devices=jax.devices()[:1]
    )


def streams_of(method: Method) -> dict[str, Example]:
    return {name: batch(name) for name in method.streams}


def drawn(shapes, seed=7):
    """Returns arrays of these shapes in numpy, quicker than to compile what would make them:
    kernels as He et al. draw them, scales and variances around 1, other floats around 0, and zeros
    of other dtypes."""
    random = np.random.default_rng(seed)

    def leaf(path, shape):
        if not jnp.issubdtype(shape.dtype, jnp.floating):
            return np.zeros(shape.shape, shape.dtype)
        if len(shape.shape) > 1:
            values = random.normal(0.0, np.sqrt(2 / np.prod(shape.shape[:-1])), shape.shape)
        else:
            around_one = str(getattr(path[-1], "key", "")) in ("scale", "var")
            values = random.uniform(*((0.7, 1.3) if around_one else (-0.1, 0.1)), shape.shape)
        return values.astype(shape.dtype)

    return jax.tree_util.tree_map_with_path(leaf, shapes)


def drawn_state(method: Method, given=None, seed=7, streams=None):
    """Returns a first state in numpy whose networks are drawn and whose sums and moments are zero;
    given: the start, of which only shapes matter."""
    streams = streams_of(method) if streams is None else streams
    shapes = jax.eval_shape(method.init, jax.random.key(0), streams, {} if given is None else given)
    empty = {
        name: jax.tree.map(lambda leaf: np.zeros(leaf.shape, leaf.dtype), getattr(shapes, name))
        for name in ("optimizer_state", "mean_sum", "square_sum")
        if hasattr(shapes, name)
    }
    return drawn(shapes, seed)._replace(**empty)


def forward(method: Method):
    """Compiles an update without its gradients: (state, streams, key) -> (other metrics, averages,
    frozen).
    """

    def read(*arguments):
        state, metrics = method.update(*arguments)
        found = {
            name: value for name, value in metrics.items() if not name.startswith("gradient_norm")
        }
        return found, getattr(state, "averages", ()), state.frozen

    return jax.jit(read)


def body(tree):
    """The parts of a network's parameters but for its head."""
    return {name: part for name, part in tree.items() if name != "head"}


@functools.cache
def trained_model() -> typing.Any:
    """Returns variables in numpy, so that no test can consume them."""
    return drawn(
        jax.eval_shape(
            lambda: MODEL.init(jax.random.key(7), jnp.zeros((1, SIDE, SIDE, 3)), train=False)
        )
    )


def start() -> dict[str, typing.Any]:
    """Returns a trained model, under every name by which a method may ask for one, and what runs
    keep of labels.
    """
    kept = {
        "poses": {"span": np.eye(2 * KEYPOINTS, 4, dtype=np.float32), "epsilon": np.float32(0.1)}
    }
    model = trained_model()
    return jax.tree.map(
        jnp.array,
        dict.fromkeys(("variables", "teacher", "core", "association"), model)
        | kept
        | {"teachers": dict.fromkeys(("project_0", "project_1"), model)},
    )
