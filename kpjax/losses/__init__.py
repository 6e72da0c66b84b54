"""Losses on heatmaps, keypoints, features and parameters, and objectives: weighted sums of named
terms.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
