"""What holds for every process of the tests, before JAX is there: 8 host devices, and how tests are
shared out.
"""

import gc
import importlib.util
import mmap
import os
import pathlib
import re
import sys

from xdist.scheduler import LoadFileScheduling

# Nearly all time goes into compiling programs that then run a few times: they are not optimised. By
# the environment, so that processes which tests start do the same, and each flag once, so that they
# read the same compile cache.
FLAGS = ["--xla_force_host_platform_device_count=8"]
# Quick fusions, and programs in one piece: to split them for more threads than there are cores takes
# longer.
QUICK = ("--xla_cpu_use_fusion_emitters=false", "--xla_cpu_parallel_codegen_split_count=1")


def known_to_jaxlib(flags):
    """Those of the flags that this jaxlib has the names of: an unknown one ends a process."""
    folder = pathlib.Path(importlib.util.find_spec("jaxlib").origin).parent
    library = max(folder.glob("*.so"), key=lambda path: path.stat().st_size)
    with (
        library.open("rb") as file,
        mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content,
    ):
        # A flag is a C string and ends with a zero; a name that was given up stands there without one.
        names = {flag: flag.lstrip("-").partition("=")[0].encode() + b"\0" for flag in flags}
        return [flag for flag, name in names.items() if content.find(name) >= 0]


if not all(flag in os.environ.get("XLA_FLAGS", "") for flag in QUICK):
    FLAGS += known_to_jaxlib(QUICK)
os.environ["XLA_FLAGS"] = " ".join(
    dict.fromkeys([*FLAGS, *os.environ.get("XLA_FLAGS", "").split()])
)
os.environ.setdefault("JAX_DISABLE_MOST_OPTIMIZATIONS", "true")
os.environ.setdefault("JAX_PLATFORMS", "cpu")
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
# Tracing makes many objects that live on: collecting the youngest 700 again and again took a
# fifteenth of all time.
gc.set_threshold(200_000, 20, 20)

# No weights of whoever runs the tests, and none from a hub.
os.environ["XDG_CACHE_HOME"] = str(pathlib.Path(__file__).parents[1] / ".cache")
os.environ["HF_HUB_OFFLINE"] = "1"

# Where each operation was called, and in which module, is written into every program; a sixth of
# the time of tracing.
os.environ.setdefault("JAX_TRACEBACK_IN_LOCATIONS_LIMIT", "0")
os.environ.setdefault("FLAX_PROFILE", "false")

# Where an environment forbids to write bytecode, each process that a test starts would compile
# jax's modules anew.
sys.dont_write_bytecode = False
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)

# Large packages that tests import last. The second worker begins with them, so that a new
# environment is compiled to bytecode from both ends: side by side, both would compile the same.
LAST = ("pandas", "scipy.optimize", "hypothesis", "tensorflow_datasets")


def pytest_configure(config):
    """Loads JAX where tests run: the process that hands them to others needs none."""
    if not config.option.numprocesses:
        if os.environ.get("PYTEST_XDIST_WORKER") == "gw1":
            for name in LAST:
                if importlib.util.find_spec(name):
                    importlib.import_module(name)
        config.pluginmanager.import_plugin("strictness")


# A paper's folder, and what tests of all papers do with one of them.
OF_PAPER = re.compile(r"tests/papers/(?:(\w+)/|test_systems\.py::.*\[(\w+)\]$)")


def pytest_xdist_make_scheduler(config, log):
    """Hands out whole files, and the tests of one paper together: they look at runs that a worker
    makes once.
    """
    if config.option.markexpr != "not slow":
        return None

    class Scheduling(LoadFileScheduling):
        def _split_scope(self, nodeid):
            paper = OF_PAPER.match(nodeid)
            return (paper[1] or paper[2]) if paper else super()._split_scope(nodeid)

    return Scheduling(config, log)
