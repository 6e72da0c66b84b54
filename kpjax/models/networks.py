"""All networks that find keypoints: a new one is its file and its name in this union."""

from typing import get_args

from kpjax.models import (
    RSN,
    HourglassNetwork,
    HRNet,
    MobileNetV2,
    MoveNet,
    PoseResNet,
    SmallUNet,
)

Network = SmallUNet | PoseResNet | HRNet | RSN | MobileNetV2 | MoveNet | HourglassNetwork
NETWORKS: dict[str, type] = {network.name: network for network in get_args(Network)}
