"""Random, jit-able, on-device augmentations of examples, and the random maps that move them."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
