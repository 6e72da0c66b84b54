"""Writes the stubs by which type checkers know the names of lazy packages, whenever kpjax is built or installed."""
import sys

from hatchling.builders.hooks.plugin.interface import BuildHookInterface


class Stubs(BuildHookInterface):
    """A hook of hatchling, which finds it by its base class."""

    def initialize(self, version, build_data):
        """Writes the stubs into the tree, where git ignores them."""
        sys.path.insert(0, self.root)
        from kpjax.lazy import write_stubs

        write_stubs()
