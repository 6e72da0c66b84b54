"""Keypoints from few labels or none, in JAX: the names that a user composes with.

A `Method` is three pure functions. Factories such as `regda` build one from a `Setup`: a network, a
`codec`, an augmentation (`kpjax.augment`) and an optimizer. `fit` trains it on streams, and
`predict_source` runs it over a data source.
"""

import os

import lazy_loader

from kpjax.errors import suggest_name

# before XLA is loaded, which calls a slow compilation an error
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

_attribute, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)


def __getattr__(name: str):
    if name.startswith("__") or name in __all__:
        return _attribute(name)
    raise AttributeError(f"kpjax has no {name!r}{suggest_name(name, __all__)}")
