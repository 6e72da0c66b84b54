"""What a wheel holds besides the library: stubs of its lazy packages, and what the program `kpjax` runs."""
import sys
from pathlib import Path

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

OF_A_CLONE = ("launch", "peers")  # folders of experiments that only those need who work on kpjax


class Bundle(BuildHookInterface):
    """A hook of hatchling, which finds it by its base class."""

    def initialize(self, version, build_data):
        """Writes the stubs into the tree, where git ignores them, and names the files of `kpjax/bundled`.

        An editable installation finds the latter in the clone; see kpjax/__main__.py.
        """
        sys.path.insert(0, self.root)
        from kpjax.lazy import write_stubs

        write_stubs()
        experiments = Path(self.root, "experiments")
        bundled = [Path(self.root, "data"), *(path for path in sorted(experiments.iterdir())
                                              if path.name not in OF_A_CLONE and path.name != "__pycache__")]
        build_data["force_include"].update(
            {str(path): f"kpjax/bundled/{path.relative_to(self.root).as_posix()}" for path in bundled})
