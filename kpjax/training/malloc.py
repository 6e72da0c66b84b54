"""Settings of glibc's allocator, with which a process on a CPU keeps the memory of a step for the next one."""
import ctypes
import sys

# Numbers from glibc's malloc.h, and values: no block is mapped by itself, freed memory is never returned, all threads
# share one heap (others are limited to 64 MB), and the heap grows by 64 MB at a time.
SETTINGS = {
    "M_MMAP_MAX": (-4, 0), "M_TRIM_THRESHOLD": (-1, 2**31 - 1), "M_ARENA_MAX": (-8, 1), "M_TOP_PAD": (-2, 2**26)}


def keep_freed_memory() -> bool:
    """Makes the allocator keep freed memory, and returns whether it does. Has no effect but on Linux with glibc.

    XLA allocates the temporaries of every step anew. Above some ten megabytes glibc maps them from the system and
    returns them at the end. Every page is then cleared at every step, which takes up to half its time on two cores.
    Call this before the first computation. Results are the same; the process stays as large as its largest step.
    """
    if not sys.platform.startswith("linux"):
        return False
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except AttributeError:  # another C library
        return False
    return all(mallopt(number, value) == 1 for number, value in SETTINGS.values())
