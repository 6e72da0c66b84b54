"""Projects of other tools, read and written.

The names here open a project, and frames without labels, as sources of examples.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
