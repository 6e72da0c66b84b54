"""MoveNet Lightning: a published network that finds 17 keypoints of one person, and its decoding.

MobileNetV2, a feature pyramid to stride 4 and four heads (Google 2021, "Next-Generation Pose
Detection with MoveNet and TensorFlow.js"). Layers, activations and decoding are those of
`movenet_single_pose_lightning_ptq.tflite` of google-coral/test_data, in float32 and without its
roundings to eight bits: its points differ from that file's by less than one cell in most cases.
`kpjax.models.weights.whole_movenet.load_movenet` fills the network.

    network = movenet_lightning()
    fresh = jax.eval_shape(lambda: network.init(key, images, False))
    variables = load_movenet(fresh, "movenet_lightning.google").variables
    keypoints, scores = decode_movenet(network.apply(variables, symmetric_normalise(images), False))
"""

from dataclasses import dataclass
from typing import ClassVar, Literal, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from flax import linen as nn

from kpjax.errors import InputError
from kpjax.models.image_generation import upsample_bilinear
from kpjax.models.inverted_residuals import (
    FrozenStride,
    MobileNetV2Trunk,
    check_frozen_stride,
    frozen_layers,
)
from kpjax.models.layers import Convolution, DepthwiseConvolution, he_normal
from kpjax.models.network import (
    COARSEST_STRIDE,
    KeypointNetwork,
    StrideFourOptions,
    check_options,
    small_normal,
)

# The person's own left and right.
KEYPOINTS = (
    "nose",
    "left_eye",
    "right_eye",
    "left_ear",
    "right_ear",
    "left_shoulder",
    "right_shoulder",
    "left_elbow",
    "right_elbow",
    "left_wrist",
    "right_wrist",
    "left_hip",
    "right_hip",
    "left_knee",
    "right_knee",
    "left_ankle",
    "right_ankle",
)
SIDE = 192  # px of the images that it was trained on
STRIDE = 4
TAPS = (1, 2, 3, 6)  # stages of the trunk; of the two of stride 16, the first, with 64 channels
DEEPEST_WIDTH = 1280
PYRAMID_WIDTH = 24
HEAD_WIDTH = 96
# parts of the image end at the edges of pixels, coordinates count from the centre of one
HALF_PIXEL = 0.5
FAINT = -4.0  # logit of a heatmap that shows nothing
NEARNESS = 1.8  # cells; a score is divided by this and the distance to where a point is expected


class MoveNetMaps(NamedTuple):
    """What MoveNet predicts in each of h x w cells of stride 4, float32.

    Pairs are (y, x) in cells, as published.
    """

    centre: jax.Array  # (B, h, w) logits of the middle of a person
    heatmaps: jax.Array  # (B, h, w, 17) logits of keypoints
    offsets: jax.Array  # (B, h, w, 17, 2) from the cell of a keypoint to the keypoint
    regression: jax.Array  # (B, h, w, 17, 2) from the cell of the middle to keypoints


class SeparableConvolution(nn.Module):
    """A 3x3 depthwise convolution, a 1x1 one with bias, and ReLU: (B, H, W, C) -> (B, H, W, width).

    outputs: channels of one more 1x1 convolution with bias, in float32 and without an activation; 0
    leaves it out.
    """

    width: int
    outputs: int = 0
    dtype: jnp.dtype = jnp.float32
    output_init: nn.initializers.Initializer = he_normal
    output_bias: float = 0.0  # at first

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        x = DepthwiseConvolution(dtype=self.dtype, name="depthwise")(x)
        x = nn.relu(
            Convolution(
                self.width, kernel_size=1, use_bias=True, dtype=self.dtype, name="pointwise"
            )(x)
        )
        if not self.outputs:
            return x
        return Convolution(
            self.outputs,
            kernel_size=1,
            use_bias=True,
            kernel_init=self.output_init,
            bias_init=nn.initializers.constant(self.output_bias),
            name="output",
        )(x)


class MoveNetPyramid(nn.Module):
    """Maps of strides 4, 8, 16 and 32 to one of stride 4 with 24 channels.

    A 1x1 convolution widens the coarsest map to 1280 channels. Each coarser map is doubled
    (bilinear, half-pixel centres, edges repeated) and added to a 1x1 convolution of the next finer
    one; a separable convolution smooths the sum and narrows it to the width of the map after that.
    There is no normalisation.
    """

    dtype: jnp.dtype = jnp.float32

    @nn.compact
    def __call__(self, features: tuple[jax.Array, ...], train: bool) -> jax.Array:
        def convolution(x: jax.Array, width: int, name: str) -> jax.Array:
            return Convolution(width, kernel_size=1, use_bias=True, dtype=self.dtype, name=name)(x)

        *finer, deepest = features
        widths = [x.shape[-1] for x in finer]
        x = nn.relu6(convolution(deepest, DEEPEST_WIDTH, "features_18_0"))
        x = convolution(x, widths[-1], "lateral32")
        if finer[0].shape[1:3] != tuple(2 ** len(finer) * side for side in deepest.shape[1:3]):
            height, width = (STRIDE * side for side in finer[0].shape[1:3])
            raise InputError(
                "images",
                f"sides of about {height} x {width} px (height x width); give multiples of "
                f"{COARSEST_STRIDE}",
            )
        for level in reversed(range(len(finer))):
            stride = STRIDE * 2**level
            width = widths[level]
            x = upsample_bilinear(x) + convolution(finer[level], width, f"lateral{stride}")
            x = SeparableConvolution(
                widths[max(level - 1, 0)], dtype=self.dtype, name=f"smooth{stride}"
            )(x)
        return x


class MoveNetHeads(nn.Module):
    """Features (B, h, w, C) to `MoveNetMaps`: of each a separable convolution and a 1x1 one with
    bias, in float32.
    """

    dtype: jnp.dtype = jnp.float32

    @nn.compact
    def __call__(self, features: jax.Array, train: bool) -> MoveNetMaps:
        def head(name: str, outputs: int) -> jax.Array:
            return SeparableConvolution(HEAD_WIDTH, outputs, self.dtype, name=name)(features)

        keypoints = len(KEYPOINTS)
        pairs = (*features.shape[:3], keypoints, 2)
        return MoveNetMaps(
            centre=head("centre", 1)[..., 0],
            heatmaps=head("heatmaps", keypoints),
            offsets=head("offsets", 2 * keypoints).reshape(pairs),
            regression=head("regression", 2 * keypoints).reshape(pairs),
        )


class MoveNetHeatmaps(nn.Module):
    """MoveNet's head of heatmaps for any keypoints: features (B, h, w, C) to heatmaps (B, h, w,
    keypoints) float32.

    sigmoid: whether they lie in [0, 1], as the published ones; untrained ones are near 0 then, too.
    """

    keypoints: int
    sigmoid: bool = False
    dtype: jnp.dtype = jnp.float32

    @nn.compact
    def __call__(self, features: jax.Array, train: bool) -> jax.Array:
        maps = SeparableConvolution(
            HEAD_WIDTH,
            self.keypoints,
            self.dtype,
            small_normal,
            FAINT if self.sigmoid else 0.0,
            name="heatmaps",
        )(features)
        return nn.sigmoid(maps) if self.sigmoid else maps


@dataclass(frozen=True)
class MoveNet(StrideFourOptions):
    """The options of MoveNet Lightning as a heatmap network: its trunk, its pyramid and its head of
    heatmaps.
    """

    name: ClassVar[str] = "movenet"

    sigmoid: bool = False  # heatmaps between 0 and 1, as the published ones
    #: dtype of the computation; parameters are float32
    dtype: Literal["float32", "bfloat16"] = "float32"
    #: computes activations again in the backward pass: slower, with less memory
    rematerialise: bool = False
    #: stride of feature maps, up to which the backbone keeps its weights
    frozen_stride: FrozenStride = 0

    def __post_init__(self):
        """Raises InputError for options that no network has."""
        check_frozen_stride(self.frozen_stride)
        check_options(self)

    def _network(self, keypoints: int) -> KeypointNetwork:
        dtype = jnp.dtype(self.dtype)
        return movenet_lightning(
            dtype=dtype, rematerialise=self.rematerialise, frozen_stride=self.frozen_stride
        ).clone(head=MoveNetHeatmaps(keypoints, self.sigmoid, dtype))

    @property
    def frozen_layers(self) -> tuple[str, ...]:
        """The names of the backbone's layers that keep their weights."""
        return frozen_layers(self.frozen_stride)


def movenet_lightning(
    *, dtype: jnp.dtype = jnp.float32, rematerialise: bool = False, frozen_stride: int = 0
) -> KeypointNetwork:
    """Builds MoveNet Lightning: images (B, H, W, 3) to `MoveNetMaps` of (H / 4, W / 4) cells.

    Images are RGB in [-1, 1] (`kpjax.methods.symmetric_normalise`). H and W are multiples of 32,
    192 when it was trained; of others an application raises InputError. The features that the heads
    read (`method="features"`) are (B, H / 4, W / 4, 24). With another head, its `backbone` and
    `upsampling` are those of a heatmap network.

    dtype: of the computation; parameters and maps are float32.
    rematerialise, frozen_stride: see `MobileNetV2Trunk`.
    """
    return KeypointNetwork(
        backbone=MobileNetV2Trunk(1.0, "tensorflow", dtype, rematerialise, frozen_stride, TAPS),
        upsampling=MoveNetPyramid(dtype),
        head=MoveNetHeads(dtype),
    )


def decode_movenet(maps: MoveNetMaps) -> tuple[jax.Array, jax.Array]:
    """Finds one person's keypoints (B, 17, 2) and their scores (B, 17) in [0, 1], float32.

    The person's middle is the cell with the largest sigmoid(centre) / (d + 1.8), d the distance in
    cells to the middle of the image, (h / 2, w / 2). The cell plus its regression is where each
    keypoint is expected. The keypoint's cell is that with the largest sigmoid(heatmaps) / (d +
    1.8), d the distance to the expected place; its offset leads to the keypoint, and its sigmoid is
    the score. Of equal cells the first row by row is taken.

    Keypoints are (x, y) in pixels of the image, the centre of the top-left pixel at (0, 0).
    Published are (y, x) as parts of the image, ((row, column) + offset) / (h, w). Part p of a side
    of S pixels is p S - 1/2 here: 0 and 1 are the outer edges of the outer pixels. The publication
    leaves this open. On 500 images of people (LSP Extended) and their mirror images, 192 times the
    sum of a part and its mirrored twin was 191.75 (standard error 0.03): 192 is expected of edges,
    191 of centres.
    """
    batch, height, width, keypoints = maps.heatmaps.shape
    rows, columns = jnp.meshgrid(jnp.arange(height), jnp.arange(width), indexing="ij")
    cells = jnp.stack([rows, columns], -1)
    cells = cells.reshape(-1, 2).astype(jnp.float32)

    def nearest_peak(logits: jax.Array, expected: jax.Array) -> jax.Array:
        """Chooses cells: logits (B, K, cells), places (B, K, 2) -> (B, K)."""
        differences = cells[None, None] - expected[:, :, None]
        distances = jnp.linalg.norm(differences, axis=-1)
        nearness = nn.sigmoid(logits) / (distances + NEARNESS)
        return jnp.argmax(nearness, axis=-1)

    halves = jnp.array([height / 2, width / 2], jnp.float32)
    halves = jnp.broadcast_to(halves, (batch, 1, 2))
    middle = nearest_peak(maps.centre.reshape(batch, 1, -1), halves)
    regression = maps.regression.reshape(batch, -1, keypoints, 2)
    from_cell = cells[middle]
    at_middle = jnp.take_along_axis(regression, middle[..., None, None], 1)
    displacements = at_middle[:, 0]
    expected = from_cell + displacements
    logits = maps.heatmaps.reshape(batch, -1, keypoints).swapaxes(1, 2)
    found = nearest_peak(logits, expected)
    offsets = maps.offsets.reshape(batch, -1, keypoints, 2).swapaxes(1, 2)
    peaks = cells[found]
    peak_offsets = jnp.take_along_axis(offsets, found[..., None, None], 2)[:, :, 0]
    places = peaks + peak_offsets
    peak_logits = jnp.take_along_axis(logits, found[..., None], 2)[..., 0]
    scores = nn.sigmoid(peak_logits)
    return STRIDE * places[..., ::-1] - HALF_PIXEL, scores


# Crops of a video's frames

SEEN = 0.2  # score from which a keypoint counts for the next crop
# multiples of the reach of the torso, and of all keypoints, from the middle of the hips
TORSO_MARGIN = 1.9
BODY_MARGIN = 1.2


def person_box(
    keypoints: np.ndarray, scores: np.ndarray, size: tuple[int, int]
) -> np.ndarray | None:
    """Returns the square box x, y, width, height in which a person is looked for on a video's next
    frame.

    Its middle is that of the hips. Half of its side is the larger of 1.9 times the farthest a
    shoulder or hip lies from there, along either axis, and 1.2 times the farthest any keypoint of a
    score of 0.2 does; but at most the distance to the farthest edge of the image. None stands for
    the whole image: where no hip or no shoulder has that score, or the square would be as long as
    the image. Source: the authors' example for videos, "MoveNet: Ultra fast and accurate pose
    detection model" (TensorFlow Hub tutorials).

    keypoints: (17, 2) on the frame before, (x, y) in pixels of the image. scores: (17,). size:
    width and height.
    """
    hips = [KEYPOINTS.index("left_hip"), KEYPOINTS.index("right_hip")]
    shoulders = [KEYPOINTS.index("left_shoulder"), KEYPOINTS.index("right_shoulder")]
    if scores[hips].max() <= SEEN or scores[shoulders].max() <= SEEN:
        return None
    points = np.asarray(keypoints, np.float64) + HALF_PIXEL
    middle = points[hips].mean(0)
    reach = np.abs(points - middle)
    of_torso = TORSO_MARGIN * reach[[*hips, *shoulders]].max()
    of_body = BODY_MARGIN * reach[scores >= SEEN].max()
    half = max(of_torso, of_body)
    to_farther_edges = np.array(size) - middle
    half = min(half, max(*middle, *to_farther_edges))
    if half > max(size) / 2:
        return None
    corner = middle - half
    return np.array([*corner, 2 * half, 2 * half])
