"""What a process sets before JAX starts its backend, for steps on a CPU."""

import ctypes
import importlib.util
import os
import sys
from importlib import metadata

# Numbers from glibc's malloc.h, and values: no block below 64 MB is mapped by itself, freed memory
# is never returned, and a heap grows by 64 MB at a time. Each thread has a heap of its own: with
# one for all, which could keep larger blocks, too, threads wait for each other; compiling takes a
# fifth longer, and most steps a tenth to a third.
SETTINGS = {"M_MMAP_MAX": (-4, 0), "M_TRIM_THRESHOLD": (-1, 2**31 - 1), "M_TOP_PAD": (-2, 2**26)}
# XLA's own convolutions, which use all cores, in place of YNNPACK's, which use one: a step takes
# 0.4 to 0.7 times as long on two. Versions of jaxlib that take the flag: an unknown one ends a
# process.
CONVOLUTIONS = "--xla_cpu_experimental_ynn_fusion_type=-individual_convolution"
TAKEN_BY = ("0.10.2", "0.12.0.1")
# At this level programs compile in three quarters of the time of the usual one, and their steps
# take as long.
OPTIMISATION = "--xla_backend_optimization_level=2"
ACCELERATORS = ("jax_plugins", "libtpu")  # packages that bring one to JAX


def keep_freed_memory() -> bool:
    """Makes the allocator keep freed memory, and returns whether it does. Has no effect but on
    Linux with glibc.

    XLA allocates the temporaries of every step anew. Above some ten megabytes glibc maps them from
    the system and returns them at the end. Every page is then cleared at every step, which takes up
    to half its time on two cores. Now that is so above 64 MB alone. Results are the same; the
    process stays as large as its largest step.
    """
    if not sys.platform.startswith("linux"):
        return False
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except AttributeError:  # another C library
        return False
    return all(mallopt(number, value) == 1 for number, value in SETTINGS.values())


def set_compiler_flags() -> list[str]:
    """Sets XLA_FLAGS for programs on CPUs, and returns the flags that are new there.

    Sums are rounded otherwise, so all commands that train do it. It leaves alone what the user has
    said, and processes whose programs are not to be optimised. Call it before JAX starts its
    backend.
    """
    given = os.environ.get("XLA_FLAGS", "")
    if "JAX_DISABLE_MOST_OPTIMIZATIONS" in os.environ:
        return []
    new = [OPTIMISATION] if OPTIMISATION.partition("=")[0] not in given else []
    if "ynn" not in given and metadata.version("jaxlib") in TAKEN_BY:
        new.append(CONVOLUTIONS)
    os.environ["XLA_FLAGS"] = " ".join([*given.split(), *new])
    return new


def only_cpu() -> bool:
    """Returns, without starting a backend, whether JAX will compute on the CPU: nothing else is
    here, or allowed.
    """
    return os.environ.get("JAX_PLATFORMS") == "cpu" or not any(
        map(importlib.util.find_spec, ACCELERATORS)
    )
