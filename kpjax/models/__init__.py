"""Networks, one file per published architecture.

Four dataclasses hold the options of heatmap networks: `SmallUNet | PoseResNet | HRNet | RSN`. Each has a `name`,
refuses options that no network has, checks sizes of images and heatmaps (`check`), and builds the network (`build`).
"""
from kpjax.lazy import lazy_exports

__getattr__, __dir__, __all__ = lazy_exports(__name__, {
    # Heatmap networks and their options
    "KeypointNetwork": "network",
    "HeatmapHead": "network",
    "SmallUNet": "unet",
    "small_unet": "unet",
    "PoseResNet": "resnet",
    "pose_resnet": "resnet",
    "HRNet": "high_resolution",
    "hrnet": "high_resolution",
    "RSN": "residual_steps",
    "rsn": "residual_steps",
    "hourglass": "hourglass_network",
    # Trunks and other parts
    "ResidualEncoder": "unet",
    "SkipDecoder": "unet",
    "Deconvolutions": "resnet",
    "ResNet": "resnet",
    "FirstMap": "high_resolution",
    "HighResolutionNetwork": "high_resolution",
    "ResidualStepsNetwork": "residual_steps",
    "UnitHeads": "residual_steps",
    "HourglassTop": "hourglass_network",
    "HourglassTrunk": "hourglass_network",
    "ConvolutionStack": "feature_pyramid",
    "FeaturePyramid": "feature_pyramid",
    "SmallTrunk": "feature_pyramid",
    # Keypoint classification and association
    "KeypointClassifier": "keypoint_classification",
    "KeypointFeatures": "keypoint_classification",
    "AssociationInputs": "association",
    "AssociationNetwork": "association",
    "DistantAssociationNetwork": "association",
    "association_network": "association",
    "reach": "association",
    # Discovery of keypoints
    "KeypointEncoder": "pyramid",
    "KeypointLevels": "pyramid",
    "KeypointPyramid": "pyramid",
    "Levels": "pyramid",
    "keypoint_pyramid": "pyramid",
    "small_keypoint_pyramid": "pyramid",
    "KeyNet": "pyramid_baselines",
    "Transporter": "pyramid_baselines",
    "as_keynet": "pyramid_baselines",
    "as_transporter": "pyramid_baselines",
    "published_keynet": "pyramid_baselines",
    "published_transporter": "pyramid_baselines",
    # Image generation
    "ImageEncoder": "image_generation",
    "ImageGenerator": "image_generation",
    "Renderer": "image_generation",
    "draw_normalised_points": "image_generation",
    "image_generator": "image_generation",
    "image_generator_for": "image_generation",
    "normalised_points": "image_generation",
    "normalised_points_by_axis": "image_generation",
    "ResidualGenerator": "residual_generator",
    "residual_generator_for": "residual_generator",
    # Features for perceptual losses
    "VGG": "vgg",
    "RandomFeatures": "vgg",
    "random_features": "vgg",
    # Weights in files
    "load_imagenet": "weights.imagenet",
    "load_vgg": "weights.imagenet",
    "from_torch": "weights.torch_names",
    "to_torch": "weights.torch_names",
})
