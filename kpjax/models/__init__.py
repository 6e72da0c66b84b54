"""Networks, one file per published architecture.

Dataclasses hold the options of heatmap networks: `SmallUNet`, `PoseResNet`, `HRNet`, `RSN`, `MobileNetV2`, `ViT` and
`HourglassNetwork`. Each has a `name`, refuses options that no network has, checks sizes of images and heatmaps
(`check`), and builds the network (`build`).
"""
from kpjax.lazy import by_name, lazy_exports

__getattr__, __dir__, __all__ = lazy_exports(__name__, by_name({
    # Heatmap networks, their options and parts
    "network": ("KeypointNetwork", "HeatmapHead", "FeatureMaps"),
    "unet": ("SmallUNet", "small_unet", "ResidualEncoder", "SkipDecoder"),
    "resnet": ("PoseResNet", "pose_resnet", "Deconvolutions", "ResNet"),
    "high_resolution": ("HRNet", "hrnet", "FirstMap", "HighResolutionNetwork"),
    "inverted_residuals": ("MobileNetV2", "mobilenet_v2", "MobileNetV2Trunk"),
    "movenet": ("MoveNet", "MoveNetMaps", "decode_movenet", "movenet_lightning", "person_box"),
    "residual_steps": ("RSN", "rsn", "ResidualStepsNetwork", "UnitHeads"),
    "vision_transformer": ("ViT", "VisionTransformer", "vit"),
    "hourglass_network": ("HourglassNetwork", "hourglass", "HourglassTop", "HourglassTrunk"),
    "feature_pyramid": ("Centred", "ConvolutionStack", "FeaturePyramid", "PyramidDecoder", "SmallTrunk"),
    # Keypoint classification and association
    "keypoint_classification": ("KeypointClassifier", "KeypointFeatures"),
    "association": ("AssociationInputs", "AssociationNetwork", "DistantAssociationNetwork", "association_network",
                    "reach"),
    # Discovery of keypoints
    "pyramid": ("KeypointEncoder", "KeypointLevels", "KeypointPyramid", "Levels", "blobs_of_points",
                "keypoint_pyramid", "points_of_maps", "small_keypoint_pyramid"),
    "pyramid_baselines": ("KeyNet", "Transporter", "as_keynet", "as_transporter", "published_keynet",
                          "published_transporter"),
    "bkind_network": ("BKinD", "DifferenceDecoder", "as_bkind", "gaussian_densities", "published_bkind"),
    # Image generation
    "image_generation": ("ImageEncoder", "ImageGenerator", "Renderer", "draw_normalised_points", "image_generator",
                         "image_generator_for", "normalised_points", "normalised_points_by_axis"),
    "residual_generator": ("ResidualGenerator", "residual_generator_for"),
    # Features for perceptual losses
    "vgg": ("VGG", "RandomFeatures", "random_features"),
    # Weights in files
    "weights.pretrained": ("load_backbone", "load_vgg"),
    "weights.whole_movenet": ("load_movenet", "load_movenet_heatmaps"),
    "weights.torch_names": ("from_torch", "to_torch"),
}))
