"""Chips and slices of them that a run can be planned for, as data: nothing here imports JAX.

Numbers are those that manufacturers publish, for bfloat16 without sparsity. How many hosts a slice
has is not here: its compiler knows.
"""

import math
import re
from typing import Literal, NamedTuple

from kpjax import InputError

GIB = 2**30
GB = 1e9
TERA = 1e12

# The shapes in which slices are sold, as compilers spell them: of TPUs in a plane and in a box, and
# of graphics processors 1 x hosts x those of a host.
FLAT = ("1x1", "2x2", "2x4", "4x4", "4x8", "8x8", "8x16", "16x16")
BOXES = ("1x1x1", "2x2x1", "2x2x2", "2x2x4", "2x4x4", "4x4x4", "4x4x8", "4x8x8", "8x8x8", "8x8x16")
HOSTS = (
    *("1x1x1", "1x1x2", "1x1x4", "1x1x8"),
    *("1x2x8", "1x4x8", "1x8x8", "1x16x8", "1x32x8"),
)


class Chip(NamedTuple):
    """One chip. A device of JAX is a whole one, but for TPU7x, which shows each half."""

    name: str  # in front of the number of a slice
    platform: Literal["tpu", "cuda"]
    memory: float  # bytes of one device
    bandwidth: float  # bytes/s of that memory
    peak: float  # FLOP/s of one device, bfloat16, dense
    shapes: tuple[str, ...]
    host_chips: int  # chips of the largest host that is sold alone
    counted: int = 1  # the number in a slice's name over its chips: of v5p, TensorCores are counted
    devices: int = 1  # devices of JAX in one chip
    usable: float = 1.0  # share of the memory that JAX takes by default
    target: str = ""  # what the compiler of a graphics processor is told of it


def _processor(
    name: str,
    memory: float,
    bandwidth: float,
    peak: float,
    *,
    cores: int,
    cache: int,
    clock: float,
    shared: int,
    major: int,
) -> Chip:
    """Returns a graphics processor, its target as XLA's `GpuTargetConfigProto` in text."""
    target = (
        f"gpu_device_info {{ threads_per_block_limit: 1024 threads_per_warp: 32 shared_memory_per_block: 49152 "
        f"shared_memory_per_core: {shared + 1024} shared_memory_per_block_optin: {shared} threads_per_core_limit: "
        f"2048 core_count: {cores} fpus_per_core: {128 if major >= 9 else 64} block_dim_limit_x: 2147483647 "
        f"block_dim_limit_y: 65535 block_dim_limit_z: 65535 memory_bandwidth: {bandwidth:.0f} l2_cache_size: "
        f"{cache} clock_rate_ghz: {clock} device_memory_size: {memory:.0f} registers_per_core_limit: 65536 "
        f"registers_per_block_limit: 65536 cuda_compute_capability {{ major: {major} minor: 0 }} }} "
        'platform_name: "CUDA" dnn_version_info { major: 9 minor: 8 patch: 0 }'
    )
    return Chip(name, "cuda", memory, bandwidth, peak, HOSTS, 8, usable=0.75, target=target)


# TPUs: https://cloud.google.com/tpu/docs/ and the chip's name. The memory of v5e is what its compiler
# leaves to programs, of 16 GiB; TPU7x's numbers are of one half. Graphics processors:
# https://www.nvidia.com/en-us/data-center/ and the name, SXM.
CHIPS: dict[str, Chip] = {
    chip.name: chip
    for chip in (
        Chip("v5e", "tpu", 15.75 * GIB, 819 * GB, 197 * TERA, FLAT, 8),
        Chip("v5p", "tpu", 95 * GB, 2765 * GB, 459 * TERA, BOXES, 4, counted=2),
        Chip("v6e", "tpu", 32 * GIB, 1600 * GB, 918 * TERA, FLAT, 8),
        Chip(*("tpu7x", "tpu", 96 * GIB, 3690 * GB, 1153.5 * TERA, BOXES, 4), counted=2, devices=2),
        _processor(
            *("h100", 80 * GB, 3352.32e9, 989 * TERA),
            cores=132,
            cache=52428800,
            clock=1.98,
            shared=232448,
            major=9,
        ),
        _processor(
            *("h200", 141 * GB, 4800e9, 989 * TERA),
            cores=132,
            cache=52428800,
            clock=1.98,
            shared=232448,
            major=9,
        ),
        _processor(
            *("b200", 180 * GB, 8000e9, 2250 * TERA),
            cores=148,
            cache=132644864,
            clock=1.965,
            shared=232448,
            major=10,
        ),
        _processor(
            *("a100", 80 * GB, 2039e9, 312 * TERA),
            cores=108,
            cache=41943040,
            clock=1.41,
            shared=166912,
            major=8,
        ),
    )
}


class Slice(NamedTuple):
    """Several chips that one program runs on."""

    name: str
    chip: Chip
    topology: str  # its shape

    @property
    def chips(self) -> int:
        """How many there are."""
        return chips_of(self.topology)

    @property
    def devices(self) -> int:
        """Devices of JAX, over which a batch is divided."""
        return self.chips * self.chip.devices


def chips_of(topology: str) -> int:
    """Returns the number of chips of a shape."""
    return math.prod(map(int, topology.split("x")))


def slice_of(name: str) -> Slice:
    """Returns a slice by its name, such as v5e-16.

    Raises InputError in one line for another name.
    """
    found = re.fullmatch(r"([a-z]\w*)-(\d+)", name)
    if not found or found[1] not in CHIPS:
        raise InputError(
            "chips",
            f"{name!r} is unknown; give {', '.join(f'{chip}-N' for chip in CHIPS)}, such as v5e-16",
        )
    chip = CHIPS[found[1]]
    slices = {f"{chip.name}-{chips_of(shape) * chip.counted}": shape for shape in chip.shapes}
    if name not in slices:
        raise InputError("chips", f"{name!r}: there are {', '.join(slices)}")
    return Slice(name, chip, slices[name])
