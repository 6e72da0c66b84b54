"""How a process on a CPU keeps the memory of a step for the next one."""
import ctypes
import sys

# Of glibc's malloc.h, with what they are set to: no block by a mapping of its own, freed memory is never returned, all
# threads share one heap (others are limited to 64 MB), and the heap grows by 64 MB at a time.
SETTINGS = {
    "M_MMAP_MAX": (-4, 0), "M_TRIM_THRESHOLD": (-1, 2**31 - 1), "M_ARENA_MAX": (-8, 1), "M_TOP_PAD": (-2, 2**26)}


def keep_freed_memory() -> bool:
    """Lets the allocator keep what is freed, and returns whether it does: on Linux with glibc, from the call on.

    XLA asks for the temporaries of a step anew each time. From some ten megabytes on glibc maps them from the system
    and returns them at the end, so that every page is cleared again at every step: up to half the time of a step on two
    cores. Call it before the first computation; results are the same, and the process stays as large as its largest
    step. Without effect elsewhere.
    """
    if not sys.platform.startswith("linux"):
        return False
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except AttributeError:  # another C library
        return False
    return all(mallopt(number, value) == 1 for number, value in SETTINGS.values())
