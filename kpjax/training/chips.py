"""Chips and slices of them that a run can be planned for, as data: nothing here imports JAX.

Numbers are those that manufacturers publish, for bfloat16 without sparsity. Latencies are assumed, as
nobody publishes them. How many hosts a slice has is not here: its compiler knows.
"""

import math
import re
from dataclasses import dataclass
from typing import Literal, NamedTuple

from kpjax import InputError

GIB = 2**30
GB = 1e9
TERA = 1e12
# Dense bfloat16 operations per second of one device, in 1e12, by how the kind that JAX reports
# begins.
PEAK_TERAFLOPS = {
    # https://www.nvidia.com/en-us/data-center/a100, h100, h200, hgx, l4 and l40s; the data sheet of
    # the A10G
    "NVIDIA A100": 312.0,
    "NVIDIA H100": 989.0,
    "NVIDIA H100 PCIe": 756.0,
    "NVIDIA H200": 989.0,
    "NVIDIA B200": 2250.0,
    "NVIDIA L4": 121.0,
    "NVIDIA L40S": 362.0,
    "NVIDIA A10G": 70.0,
    # white paper of the Ada architecture, which compares with the one before
    "NVIDIA GeForce RTX 3090": 71.0,
    "NVIDIA GeForce RTX 4090": 165.0,
    # https://cloud.google.com/tpu/docs/v4, v5e, v5p, v6e and tpu7x, of which a device is half a chip
    "TPU v4": 275.0,
    "TPU v5 lite": 197.0,
    "TPU v5": 459.0,
    "TPU v6 lite": 918.0,
    "TPU7x": 1153.5,
}


@dataclass(frozen=True)
class Chip:
    """One chip. A device of JAX is a whole one, but for TPU7x, which shows each half."""

    name: str  # in front of the number of a slice
    platform: Literal["tpu", "cuda"]
    kind: str  # as JAX reports it
    memory: float  # bytes of one device
    bandwidth: float  # bytes/s of that memory
    link: float  # bytes/s that one chip sends along one axis of a slice, in one direction of it
    latency: float  # s of one hop, or of one collective between graphics processors; assumed
    #: chips of the largest host that is sold alone; larger slices of TPUs may have smaller hosts
    host_chips: int
    network: float  # bytes/s of one chip between slices of TPUs, or hosts of graphics processors
    counted: int = 1  # the number in a slice's name over its chips: of v5p, TensorCores are counted
    devices: int = 1  # devices of JAX in one chip
    clock: float = 0.0  # Hz of its compiler's cycles; 0 where it is not published
    #: chips along an axis from which it is a ring; 0 for graphics processors, which a switch
    #: connects
    wrap: int = 0
    usable: float = 1.0  # share of the memory that JAX takes by default
    target: str = ""  # what the compiler of a graphics processor is told of it

    @property
    def peak(self) -> float:
        """FLOP/s of one device, bfloat16, dense."""
        return PEAK_TERAFLOPS[self.kind] * TERA


def _processor(
    cores: int, bandwidth: float, memory: float, cache: int, clock: float, shared: int, major: int
) -> str:
    """Returns a graphics processor as XLA's `GpuTargetConfigProto` in text."""
    return (
        f"gpu_device_info {{ threads_per_block_limit: 1024 threads_per_warp: 32 shared_memory_per_block: 49152 "
        f"shared_memory_per_core: {shared + 1024} shared_memory_per_block_optin: {shared} threads_per_core_limit: "
        f"2048 core_count: {cores} fpus_per_core: {128 if major >= 9 else 64} block_dim_limit_x: 2147483647 "
        f"block_dim_limit_y: 65535 block_dim_limit_z: 65535 memory_bandwidth: {bandwidth:.0f} l2_cache_size: "
        f"{cache} clock_rate_ghz: {clock} device_memory_size: {memory:.0f} registers_per_core_limit: 65536 "
        f"registers_per_block_limit: 65536 cuda_compute_capability {{ major: {major} minor: 0 }} }} "
        'platform_name: "CUDA" dnn_version_info { major: 9 minor: 8 patch: 0 }'
    )


# TPUs: https://cloud.google.com/tpu/docs/ and the chip's name, of memory, bandwidth, peak, links,
# network and machine; clocks, and a hop of 1 us, from https://jax-ml.github.io/scaling-book.
# Graphics processors:
# https://www.nvidia.com/en-us/data-center/ and the name, SXM, and
# https://cloud.google.com/compute/docs/gpus; 10 us a collective within a host, 20 us more between
# hosts, are assumed.
CHIPS: dict[str, Chip] = {
    chip.name: chip
    for chip in (
        # ct5lp-hightpu-8t, 1,600 Gbit/s over four links, 100 Gbit/s a host of four; memory: what
        # its compiler leaves to programs, of 16 GiB
        Chip(
            "v5e",
            "tpu",
            "TPU v5 lite",
            15.75 * GIB,
            819 * GB,
            45 * GB,
            1e-6,
            host_chips=8,
            network=3.125 * GB,
            clock=1.5e9,
            wrap=16,
        ),
        # ct5p-hightpu-4t, 4,800 Gbit/s over six links
        Chip(
            "v5p",
            "tpu",
            "TPU v5",
            95 * GB,
            2765 * GB,
            90 * GB,
            1e-6,
            host_chips=4,
            network=6.25 * GB,
            counted=2,
            clock=1.75e9,
            wrap=4,
        ),
        # ct6e-standard-8t, 3,200 Gbit/s over four links
        Chip(
            "v6e",
            "tpu",
            "TPU v6 lite",
            32 * GIB,
            1600 * GB,
            90 * GB,
            1e-6,
            host_chips=8,
            network=12.5 * GB,
            wrap=16,
        ),
        # tpu7x-standard-4t, 1,200 GB/s in both directions over six links; memory and its bandwidth
        # are of one half
        Chip(
            "tpu7x",
            "tpu",
            "TPU7x",
            96 * GIB,
            3690 * GB,
            100 * GB,
            1e-6,
            host_chips=4,
            network=12.5 * GB,
            counted=2,
            devices=2,
            wrap=4,
        ),
        # a3-highgpu-8g, 900 GB/s in both directions, 400 Gbit/s for each chip between hosts
        Chip(
            "h100",
            "cuda",
            "NVIDIA H100",
            80 * GB,
            3352 * GB,
            450 * GB,
            1e-5,
            host_chips=8,
            network=50 * GB,
            usable=0.75,
            target=_processor(132, 3352.32e9, 80 * GB, 52428800, 1.98, 232448, 9),
        ),
        # a3-ultragpu-8g, the same links and network
        Chip(
            "h200",
            "cuda",
            "NVIDIA H200",
            141 * GB,
            4800 * GB,
            450 * GB,
            1e-5,
            host_chips=8,
            network=50 * GB,
            usable=0.75,
            target=_processor(132, 4800e9, 141 * GB, 52428800, 1.98, 232448, 9),
        ),
        # a4-highgpu-8g, 1,800 GB/s in both directions, 400 Gbit/s for each chip between hosts
        Chip(
            "b200",
            "cuda",
            "NVIDIA B200",
            180 * GB,
            8000 * GB,
            900 * GB,
            1e-5,
            host_chips=8,
            network=50 * GB,
            usable=0.75,
            target=_processor(148, 8000e9, 180 * GB, 132644864, 1.965, 232448, 10),
        ),
        # a2-ultragpu-8g, 600 GB/s in both directions, 100 Gbit/s for each chip between hosts
        Chip(
            "a100",
            "cuda",
            "NVIDIA A100",
            80 * GB,
            2039 * GB,
            300 * GB,
            1e-5,
            host_chips=8,
            network=12.5 * GB,
            usable=0.75,
            target=_processor(108, 2039e9, 80 * GB, 41943040, 1.41, 166912, 8),
        ),
    )
}
# s of a collective between slices of TPUs, over the network of their data centre; assumed
BETWEEN_SLICES = 1e-4

# The shapes in which slices are sold, by chips.
_FLAT = {
    1: (1, 1),
    4: (2, 2),
    8: (2, 4),
    16: (4, 4),
    32: (4, 8),
    64: (8, 8),
    128: (8, 16),
    256: (16, 16),
}
_CUBIC = {
    1: (1, 1, 1),
    4: (2, 2, 1),
    8: (2, 2, 2),
    16: (2, 2, 4),
    32: (2, 4, 4),
    64: (4, 4, 4),
    128: (4, 4, 8),
    256: (4, 8, 8),
    512: (8, 8, 8),
    1024: (8, 8, 16),
}
_BOXES = {count: (1, 1, count) for count in (1, 2, 4, 8)} | {
    8 * hosts: (1, hosts, 8) for hosts in (2, 4, 8, 16, 32)
}
SHAPES = {
    **dict.fromkeys(("v5e", "v6e"), _FLAT),
    **dict.fromkeys(("v5p", "tpu7x"), _CUBIC),
    **dict.fromkeys(("h100", "h200", "b200", "a100"), _BOXES),
}


class Slice(NamedTuple):
    """Several chips that one program runs on: a slice, or several equal ones."""

    chip: Chip
    shape: tuple[int, ...]  # shape of one; of graphics processors (1, hosts, chips of a host)
    slices: int = 1

    @property
    def chips(self) -> int:
        return math.prod(self.shape) * self.slices

    @property
    def devices(self) -> int:
        """Devices of JAX, over which a batch is divided."""
        return self.chips * self.chip.devices

    @property
    def name(self) -> str:
        each = f"{self.chip.name}-{math.prod(self.shape) * self.chip.counted}"
        if self.slices == 1:
            return each
        return f"{self.slices}x{each}"

    @property
    def topology(self) -> str:
        """The shape as compilers spell it."""
        return "x".join(map(str, self.shape))


def slice_of(name: str) -> Slice:
    """Returns a slice by its name, such as v5e-16, or several, such as 2xv5e-16.

    Raises InputError in one line for another name.
    """
    found = re.fullmatch(r"(?:(\d+)x)?([a-z]\w*)-(\d+)", name)
    if not found or found[2] not in CHIPS:
        raise InputError(
            "chips",
            f"{name!r} is unknown; give {', '.join(f'{chip}-N' for chip in CHIPS)}, such as v5e-16",
        )
    chip = CHIPS[found[2]]
    shapes = SHAPES[found[2]]
    slices = int(found[1] or 1)
    count, rest = divmod(int(found[3]), chip.counted)
    if rest or count not in shapes:
        raise InputError(
            "chips",
            f"{name!r}: there are {', '.join(f'{chip.name}-{n * chip.counted}' for n in shapes)}",
        )
    if slices < 1 or (slices > 1 and chip.platform != "tpu"):
        raise InputError("chips", f"{name!r}: several slices, such as 2xv5e-16, are of TPUs")
    return Slice(chip, shapes[count], slices)


def all_reduce_seconds(slice_: Slice, size: float, count: int = 1) -> float:
    """Computes the time of `count` all-reduces of `size` bytes together, of which nothing overlaps
    with other work.

    On a torus all axes work at once, each in both directions where it is a ring: a reduce-scatter
    and an all-gather send 2 (n - 1) / n of the bytes. The farthest chip is half an axis away in a
    ring and a whole one in a line, and every collective goes there and back. Between slices each
    chip sends its share over the network, too. Between graphics processors a switch leaves each its
    own link. What the two halves of a TPU7x tell each other is not counted.
    """
    chip = slice_.chip
    chips = math.prod(slice_.shape)
    slices = slice_.slices
    if not count:
        return 0.0
    if slices > 1:
        share = 2 * (slices - 1) / slices * size / chips
        return (
            all_reduce_seconds(slice_._replace(slices=1), size, count)
            + share / chip.network
            + count * BETWEEN_SLICES
        )
    if chips == 1:
        return 0.0
    sent = 2 * (chips - 1) / chips * size
    if not chip.wrap:
        hosts = slice_.shape[1]
        link = chip.link if hosts == 1 else min(chip.link, chip.network * chip.host_chips)
        latency = chip.latency + (2 * chip.latency if hosts > 1 else 0)
        return sent / link + count * latency
    axes = [length for length in slice_.shape if length > 1]
    rings = [length >= chip.wrap for length in axes]
    speed = sum(chip.link * (2 if ring else 1) for ring in rings)
    hops = sum(
        length // 2 if ring else length - 1 for length, ring in zip(axes, rings, strict=True)
    )
    return sent / speed + count * 2 * hops * chip.latency
