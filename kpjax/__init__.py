"""Keypoints from few labels or none, in JAX: the names that a user composes with.

A `Method` is three pure functions. Factories such as `regda` build one from a network, a `codec`, an augmentation
(`kpjax.augment`) and an optimizer; `fit` trains it on streams, and `predict_source` runs it over a data source.
"""
from kpjax.lazy import lazy_exports

__getattr__, __dir__, __all__ = lazy_exports(__name__, {
    # Nouns
    "Example": "structures",
    "Method": "structures",
    "Metrics": "structures",
    "Prediction": "structures",
    "Skeleton": "structures",
    "Start": "structures",
    "Streams": "structures",
    "Trained": "structures",
    "Variables": "structures",
    "named_key": "structures",
    "InputError": "errors",
    "RunError": "errors",
    # Heatmaps: grids, codecs and decoders
    "half_pixel_grid": "geometry",
    "index_grid": "geometry",
    "Codec": "heatmaps",
    "codec": "heatmaps",
    "decode_argmax": "heatmaps",
    "decode_dark": "heatmaps",
    "decode_quarter_offset": "heatmaps",
    "decode_soft_argmax": "heatmaps",
    "gaussian_targets": "heatmaps",
    "spatial_softmax": "heatmaps",
    # Networks, and their options as dataclasses; all others are in kpjax.models
    "HRNet": "models",
    "PoseResNet": "models",
    "RSN": "models",
    "SmallUNet": "models",
    "hourglass": "models",
    "hrnet": "models",
    "pose_resnet": "models",
    "rsn": "models",
    "small_unet": "models",
    # Methods; their objectives and parts are in kpjax.methods
    "adabn": "methods",
    "adaptation": "methods",
    "association": "methods",
    "dan": "methods",
    "dann": "methods",
    "dd": "methods",
    "image_generation": "methods",
    "imagenet_normalise": "methods",
    "incremental": "methods",
    "keynet": "methods",
    "mcd": "methods",
    "mean_teacher": "methods",
    "pyramids": "methods",
    "regda": "methods",
    "semi_supervised": "methods",
    "supervised": "methods",
    "transporter": "methods",
    # Objectives: sums of named terms
    "Term": "losses",
    "replaced": "losses",
    "reweighted": "losses",
    "without": "losses",
    # Data, training, prediction
    "arrays": "input.source",
    "stream": "input.stream",
    "fit": "training.fit",
    "predict_source": "training.evaluation",
    "reduce": "training.evaluation",
})
