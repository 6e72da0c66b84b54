"""Methods (functions that return a `Method`), their objectives and the parts that they are composed
with.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
