"""Networks, one file per published architecture.

Dataclasses hold the options of heatmap networks: `SmallUNet`, `PoseResNet`, `HRNet`, `RSN`,
`MobileNetV2`, `MoveNet` and `HourglassNetwork`. Each has a `name`, refuses options that no network has,
checks sizes of images and heatmaps (`check`), and builds the network (`build`)."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
