"""Keypoints from few labels or none, in JAX: the names that a user composes with.

A `Method` is three pure functions. Factories such as `regda` build one from a `Setup`: a network, a `codec`, an
augmentation (`kpjax.augment`) and an optimizer. `fit` trains it on streams, and `predict_source` runs it over a data
source.
"""
from kpjax.lazy import by_name, lazy_exports

__getattr__, __dir__, __all__ = lazy_exports(__name__, by_name({
    # Nouns
    "structures": ("Example", "Method", "Metrics", "Prediction", "Skeleton", "Start", "Streams", "Trained", "Variables",
                   "named_key"),
    "errors": ("InputError", "RunError"),
    # Heatmaps: grids, codecs and decoders
    "geometry": ("half_pixel_grid", "index_grid"),
    "heatmaps": ("Codec", "codec", "decode_argmax", "decode_dark", "decode_quarter_offset", "decode_soft_argmax",
                 "gaussian_targets", "spatial_softmax"),
    # Networks, and their options as dataclasses; all others are in kpjax.models
    "models": ("HRNet", "PoseResNet", "RSN", "SmallUNet", "hourglass", "hrnet", "pose_resnet", "rsn", "small_unet"),
    # Methods; their objectives and parts are in kpjax.methods
    "methods": ("Setup", "adabn", "adaptation", "association", "bkind", "dan", "dann", "dd", "image_generation",
                "imagenet_normalise", "incremental", "keynet", "mcd", "mean_teacher", "pyramids", "regda",
                "semi_supervised", "supervised", "transporter"),
    # Objectives: sums of named terms
    "losses": ("Term", "replaced", "reweighted", "without"),
    # Data, training, prediction
    "input.source": ("arrays",),
    "input.stream": ("stream",),
    "training.fit": ("FitOptions", "fit"),
    "training.evaluation": ("predict_source", "reduce"),
}))
