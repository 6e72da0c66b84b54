from .association import (
    AssociationInputs as AssociationInputs,
    AssociationNetwork as AssociationNetwork,
    association_network as association_network,
    reach as reach,
)
from .feature_pyramid import (
    Centred as Centred,
    ConvolutionStack as ConvolutionStack,
    FeaturePyramid as FeaturePyramid,
    PyramidDecoder as PyramidDecoder,
    SmallTrunk as SmallTrunk,
)
from .high_resolution import (
    FirstMap as FirstMap,
    HighResolutionNetwork as HighResolutionNetwork,
    HRNet as HRNet,
    hrnet as hrnet,
)
from .hourglass_network import (
    HourglassNetwork as HourglassNetwork,
    HourglassTop as HourglassTop,
    HourglassTrunk as HourglassTrunk,
    hourglass as hourglass,
)
from .image_generation import (
    ImageEncoder as ImageEncoder,
    ImageGenerator as ImageGenerator,
    Renderer as Renderer,
    draw_normalised_points as draw_normalised_points,
    image_generator as image_generator,
    image_generator_for as image_generator_for,
    normalised_points as normalised_points,
)
from .inverted_residuals import (
    MobileNetV2 as MobileNetV2,
    MobileNetV2Trunk as MobileNetV2Trunk,
    mobilenet_v2 as mobilenet_v2,
)
from .keypoint_classification import (
    KeypointClassifier as KeypointClassifier,
    KeypointFeatures as KeypointFeatures,
)
from .movenet import (
    MoveNet as MoveNet,
    MoveNetMaps as MoveNetMaps,
    decode_movenet as decode_movenet,
    movenet_lightning as movenet_lightning,
    person_box as person_box,
)
from .network import (
    FeatureMaps as FeatureMaps,
    HeatmapHead as HeatmapHead,
    KeypointNetwork as KeypointNetwork,
)
from .permakey import PermaKey as PermaKey, permakey_network as permakey_network
from .pyramid import (
    KeypointEncoder as KeypointEncoder,
    KeypointLevels as KeypointLevels,
    KeypointPyramid as KeypointPyramid,
    Levels as Levels,
    blobs_of_points as blobs_of_points,
    keypoint_pyramid as keypoint_pyramid,
    points_of_maps as points_of_maps,
    small_keypoint_pyramid as small_keypoint_pyramid,
)
from .pyramid_baselines import (
    KeyNet as KeyNet,
    Transporter as Transporter,
    as_keynet as as_keynet,
    as_transporter as as_transporter,
)
from .residual_generator import (
    ResidualGenerator as ResidualGenerator,
    residual_generator_for as residual_generator_for,
)
from .residual_steps import (
    RSN as RSN,
    ResidualStepsNetwork as ResidualStepsNetwork,
    UnitHeads as UnitHeads,
    rsn as rsn,
)
from .resnet import (
    Deconvolutions as Deconvolutions,
    PoseResNet as PoseResNet,
    ResNet as ResNet,
    pose_resnet as pose_resnet,
)
from .unet import (
    ResidualEncoder as ResidualEncoder,
    SkipDecoder as SkipDecoder,
    SmallUNet as SmallUNet,
    small_unet as small_unet,
)
from .vgg import VGG as VGG, RandomFeatures as RandomFeatures, random_features as random_features
from .weights.pretrained import load_backbone as load_backbone, load_vgg as load_vgg
from .weights.torch_names import from_torch as from_torch, to_torch as to_torch
from .weights.whole_movenet import (
    load_movenet as load_movenet,
    load_movenet_heatmaps as load_movenet_heatmaps,
)
