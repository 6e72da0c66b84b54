"""Freed memory that stays with a process, for steps on a CPU."""
import ctypes
import importlib.util
import os
import sys

# Numbers from glibc's malloc.h, and values: no block is mapped by itself, freed memory is never returned, all threads
# share one heap (others are limited to 64 MB), and the heap grows by 64 MB at a time.
SETTINGS = {
    "M_MMAP_MAX": (-4, 0), "M_TRIM_THRESHOLD": (-1, 2**31 - 1), "M_ARENA_MAX": (-8, 1), "M_TOP_PAD": (-2, 2**26)}
ACCELERATORS = ("jax_plugins", "libtpu")  # packages that bring one to JAX


def keep_freed_memory() -> bool:
    """Makes the allocator keep freed memory, and returns whether it does. Has no effect but on Linux with glibc.

    XLA allocates the temporaries of every step anew. Above some ten megabytes glibc maps them from the system and
    returns them at the end. Every page is then cleared at every step, which takes up to half its time on two cores.
    Results are the same; the process stays as large as its largest step.

    Call this before JAX starts its backend, so before `jax.devices()`: the threads that it starts keep the heaps that
    they begin with, and map large blocks beside them.
    """
    if not sys.platform.startswith("linux"):
        return False
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except AttributeError:  # another C library
        return False
    return all(mallopt(number, value) == 1 for number, value in SETTINGS.values())


def only_cpu() -> bool:
    """Returns, without starting a backend, whether JAX will compute on the CPU: nothing else is here, or allowed."""
    return os.environ.get("JAX_PLATFORMS") == "cpu" or not any(map(importlib.util.find_spec, ACCELERATORS))
