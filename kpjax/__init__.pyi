from . import augment as augment, losses as losses, methods as methods, models as models
from .errors import InputError as InputError, RunError as RunError
from .geometry import half_pixel_grid as half_pixel_grid, index_grid as index_grid
from .heatmaps import (
    Codec as Codec,
    codec as codec,
    decode_argmax as decode_argmax,
    decode_dark as decode_dark,
    decode_quarter_offset as decode_quarter_offset,
    decode_soft_argmax as decode_soft_argmax,
    gaussian_targets as gaussian_targets,
    spatial_softmax as spatial_softmax,
)
from .images.transforms import Letterbox as Letterbox
from .input.source import arrays as arrays
from .input.stream import stream as stream
from .losses.objective import (
    Term as Term,
    replaced as replaced,
    reweighted as reweighted,
    without as without,
)
from .methods import (
    Setup as Setup,
    adabn as adabn,
    adaptation as adaptation,
    association as association,
    dan as dan,
    dann as dann,
    dd as dd,
    default_setup as default_setup,
    image_generation as image_generation,
    imagenet_normalise as imagenet_normalise,
    incremental as incremental,
    keynet as keynet,
    mcd as mcd,
    pyramids as pyramids,
    regda as regda,
    semi_supervised as semi_supervised,
    supervised as supervised,
    transporter as transporter,
)
from .models import (
    RSN as RSN,
    HRNet as HRNet,
    PoseResNet as PoseResNet,
    SmallUNet as SmallUNet,
    hourglass as hourglass,
    hrnet as hrnet,
    pose_resnet as pose_resnet,
    rsn as rsn,
    small_unet as small_unet,
)
from .structures import (
    Example as Example,
    Method as Method,
    Metrics as Metrics,
    Prediction as Prediction,
    Skeleton as Skeleton,
    Start as Start,
    Streams as Streams,
    Trained as Trained,
    Variables as Variables,
    named_key as named_key,
)
from .training.evaluation import predict_source as predict_source, reduce as reduce
from .training.fit import FitOptions as FitOptions, fit as fit
