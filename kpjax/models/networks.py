"""All networks that find keypoints: a new one is its file and its name in this union."""

from typing import get_args

from kpjax.models.high_resolution import HRNet
from kpjax.models.hourglass_network import HourglassNetwork
from kpjax.models.inverted_residuals import MobileNetV2
from kpjax.models.movenet import MoveNet
from kpjax.models.residual_steps import RSN
from kpjax.models.resnet import PoseResNet
from kpjax.models.unet import SmallUNet

Network = SmallUNet | PoseResNet | HRNet | RSN | MobileNetV2 | MoveNet | HourglassNetwork
NETWORKS: dict[str, type] = {network.name: network for network in get_args(Network)}
