"""Keypoint Pyramids (Qian et al., ECCV 2022): a hierarchy of keypoints from video, without labels.

Variants learn from pairs of frames of training videos and never see a label. On test videos, which
no variant has seen, a linear function from keypoints to annotated joints is fitted on half of the
videos and tested on the others. Such a probe flatters. An untrained network, the mean pose, and
nine moments of whatever moves stand beside every variant, and show how much of an error was
discovered. Baselines have as many keypoints in one level as Keypoint Pyramids has in two. In the
small presets they have so many more steps that each variant costs the same. The oracle
`supervised_bound` sees the joints of the training videos; its points pass through the same probe,
and `direct/flat` is the error of these points themselves, as the paper's bound seems to be. Controls
`keynet_coarse` and `transporter_coarse` find the keypoints of the first level on its own map.
`permakey` (Gopalakrishnan et al. 2021) is the baseline of the supplement. A run in which keypoints
or rendered images show a sign of collapse for `--collapse-steps` steps stops with one line.
"""

from kpjax import Skeleton
from kpjax.images.transforms import Letterbox
from kpjax.papers.engine import Paper, Predicting, StoredRun
from kpjax.papers.pyramids.config import SMALL, Config
from kpjax.papers.pyramids.measures import ORACLE, PROBED, Data, columns, draw, measure
from kpjax.papers.pyramids.rivals import BASELINES, WITHOUT_NETWORK
from kpjax.papers.pyramids.variants import VARIANTS


def predicting(stored: StoredRun) -> Predicting:
    """Returns a finished run as a function of new images; discovered keypoints have no names."""
    joints = stored.skeleton if stored.variant == ORACLE else Skeleton(())
    return Predicting(
        VARIANTS[stored.variant].method(stored.config, joints),
        Letterbox(stored.config.data.image_size),
        "softmax_peak",
    )


PAPER = Paper(
    "pyramids",
    "videos, and no labels (Keypoint Pyramids, ECCV 2022)",
    SMALL,
    VARIANTS,
    evaluated=lambda job, data: {} if job.variant in PROBED else {"test": data.test},
    measure=measure,
    columns=columns,
    predicting=predicting,
    short_list=lambda preset, config: (
        ("pyramids", "untrained", *WITHOUT_NETWORK)
        if preset == "demo"
        else ("pyramids", *BASELINES, "untrained", *WITHOUT_NETWORK, ORACLE)
    ),
    applicable=lambda preset, config: tuple(VARIANTS),
    draw=draw,
)
__all__ = ["ORACLE", "PAPER", "VARIANTS", "WITHOUT_NETWORK", "Config", "Data", "columns"]
