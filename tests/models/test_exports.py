"""The package's list of names keeps up with its modules."""
import importlib

import pytest

from kpjax import augment, models

# Parts of networks, not networks.
ARRAYS_ONLY = {"max_pool", "average_pool_pairs", "upsample_bilinear", "input_windows", "products"}


@pytest.mark.parametrize(("package", "module"), [
    (augment, "augmentations"), (models, "unet"), (models, "resnet"), (models, "high_resolution"),
    (models, "residual_steps"), (models, "movenet"), (models, "hourglass_network"), (models, "pyramid"),
    (models, "pyramid_baselines"), (models, "image_generation"), (models, "residual_generator"),
    (models, "association")])
def test_every_builder_is_exported(package, module):
    part = importlib.import_module(f"{package.__name__}.{module}")
    functions = {name for name, value in vars(part).items() if not name.startswith("_") and not isinstance(value, type)
                 and callable(value) and getattr(value, "__module__", "") == part.__name__}
    assert functions - ARRAYS_ONLY <= set(package.__all__)
