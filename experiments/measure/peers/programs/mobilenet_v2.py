"""The given MobileNetV2 as a backbone in PyTorch, for both peers. Imports nothing of kpjax."""

import torch
import torchvision
from safetensors.torch import load_file

STEM_AND_BLOCKS = 18  # parts of torchvision's `features`, without the last 1x1 convolution
CHANNELS, WHOLE_CHANNELS = 320, 1280  # of maps without and with it


class MobileNetV2Trunk(torch.nn.Module):
    """Images (B, 3, H, W), normalised by ImageNet's mean and deviation, to maps (B, 320 or 1280, H /
    stride, W / stride).

    weights: a safetensors file under torchvision's names, of a network that was trained on images
    in [-1, 1] and pads as TensorFlow does. output_stride: 32, or 16 by a dilation of the last
    blocks. whole: with the last 1x1 convolution, whose BatchNorm the file has folded into it.
    """

    def __init__(self, weights: str, output_stride: int, *, whole: bool):
        super().__init__()
        self.features = torchvision.models.mobilenet_v2(weights=None).features[:STEM_AND_BLOCKS]
        if whole:
            last = torch.nn.Conv2d(CHANNELS, WHOLE_CHANNELS, 1)
            self.features.append(torch.nn.Sequential(last, torch.nn.ReLU6()))
        given = {
            name: tensor
            for name, tensor in load_file(weights).items()
            if name.startswith("features.")
        }
        missing, _ = self.load_state_dict(given, strict=False)
        if wrong := [name for name in missing if not name.endswith("num_batches_tracked")]:
            raise ValueError(f"{weights}: has no {wrong[0]}")
        self.register_buffer("mean", torch.tensor([0.485, 0.456, 0.406]).reshape(3, 1, 1))
        self.register_buffer("deviation", torch.tensor([0.229, 0.224, 0.225]).reshape(3, 1, 1))
        for name, layer in list(self.features.named_modules()):
            if isinstance(layer, torch.nn.Conv2d) and layer.kernel_size == (3, 3):
                block = int(name.split(".")[0])
                if block >= 14 and output_stride == 16:
                    layer.stride = (1, 1)
                    # The first of them kept the dilation of what it reads.
                    layer.dilation = layer.padding = (1, 1) if block == 14 else (2, 2)
                elif layer.stride == (2, 2):
                    layer.padding = (0, 0)
                    parent = self.features.get_submodule(name.rpartition(".")[0])
                    parent[int(name.rpartition(".")[2])] = torch.nn.Sequential(
                        torch.nn.ZeroPad2d((0, 1, 0, 1)), layer
                    )

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return self.features(2 * (images * self.deviation + self.mean) - 1)
