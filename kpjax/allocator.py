"""What a process sets before JAX starts its backend, for steps on a CPU."""

import contextlib
import ctypes
import importlib.util
import os
import pkgutil
import platform
import sys
from importlib import metadata
from pathlib import Path

from kpjax.cores import usable_cores

# Numbers from glibc's malloc.h, and values: no block below 64 MB is mapped by itself, freed memory
# is never returned, and a heap grows by 64 MB at a time. Each thread has a heap of its own: with
# one for all, which could keep larger blocks, too, threads wait for each other; compiling takes a
# fifth longer, and most steps a tenth to a third.
SETTINGS = {"M_MMAP_MAX": (-4, 0), "M_TRIM_THRESHOLD": (-1, 2**31 - 1), "M_TOP_PAD": (-2, 2**26)}
# XLA's own convolutions, which use all cores, in place of YNNPACK's, which use one: a step takes
# 0.4 to 0.7 times as long on two. On one core with AVX-512 YNNPACK's were faster by 6 %: where
# there is one core alone a child times both, once. On several, other work would decide. It is a
# child since a jaxlib that does not know a flag ends the process.
CONVOLUTIONS = "--xla_cpu_experimental_ynn_fusion_type=-individual_convolution"
# Barriers stay in the program until its sums are fused: see `kpjax.models.layers.compute_once`.
BARRIERS = "--xla_disable_hlo_passes=cse_barrier_expander"
SECONDS = 120  # that a child has; it needs four
CHILD = Path(__file__).with_name("convolution_timing.py")
ANSWERS = {"taken": [CONVOLUTIONS, BARRIERS], "slower": [BARRIERS], "refused": []}
# At this level programs compile in three quarters of the time of the usual one, and their steps
# take as long.
OPTIMISATION = "--xla_backend_optimization_level=2"
NVIDIA_DEVICES = ("/dev/nvidia0", "/dev/nvidiactl", "/dev/dxg")
TPU_VENDOR = "0x1ae0"  # Google's chips among the devices on the PCI bus


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


def set_compiler_flags(ask: bool = True) -> list[str]:
    """Sets XLA_FLAGS for programs on CPUs, and returns the flags that are new there.

    Sums are rounded otherwise, so all commands that train do it. It leaves alone what the user has
    said, and processes whose programs are not to be optimised. Call it before JAX starts its
    backend.

    ask: whether a jaxlib that was never asked for its flags is asked now, which takes
    seconds; a help text needs none.
    """
    given = os.environ.get("XLA_FLAGS", "")
    if "JAX_DISABLE_MOST_OPTIMIZATIONS" in os.environ:
        return []
    wanted = [OPTIMISATION]
    if "ynn" not in given:
        wanted += flags_of_machine(ask)
    new = [flag for flag in wanted if flag.partition("=")[0] not in given]
    os.environ["XLA_FLAGS"] = " ".join([*given.split(), *new])
    return new


def flags_of_machine(ask: bool = True) -> list[str]:
    """Returns the flags of convolutions and barriers that serve this jaxlib on this machine.

    The answer, one of `ANSWERS`, is kept in the cache folder by version, kind of machine and number
    of cores. A child that ends in any other way, as for want of memory, is no answer: no flags now,
    and the next process asks again.
    """
    from kpjax.files import cache_folder  # help texts need it late

    version = metadata.version("jaxlib")
    machine = f"{platform.machine()}-{usable_cores()}"
    kept = cache_folder() / "flags" / f"jaxlib-{version}-{machine}.txt"
    answer = ""
    with contextlib.suppress(OSError, UnicodeDecodeError):
        answer = kept.read_text(encoding="utf-8")
    if answer not in ANSWERS:
        answer = _ask_child() if ask else ""
        if answer:
            _keep(kept, answer)
    return ANSWERS.get(answer, [])


def _ask_child() -> str:
    """Computes convolutions with the flags in a child process, and times them where there is one
    core: an answer, or "" where it failed otherwise.
    """
    import subprocess

    environment = os.environ | {
        "XLA_FLAGS": f"{CONVOLUTIONS} {BARRIERS}",
        "JAX_PLATFORMS": "cpu",
        "TF_CPP_MIN_LOG_LEVEL": "0",  # so that a refusal is said
    }
    try:
        child = subprocess.run(
            [sys.executable, "-P", CHILD, str(usable_cores())],
            env=environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=SECONDS,
            check=False,
        )
    except (OSError, subprocess.SubprocessError):
        return ""
    if child.returncode == 0:
        return child.stdout.decode(errors="replace").strip()
    flag = CONVOLUTIONS.lstrip("-").partition("=")[0].encode()
    return "refused" if flag in child.stderr else ""


def _keep(path: Path, answer: str) -> None:
    """Writes an answer whole; a folder that cannot be written keeps none."""
    from kpjax.errors import InputError
    from kpjax.files import write_text

    with contextlib.suppress(OSError, InputError):
        write_text(path, answer)


def convolutions_text() -> str:
    """Returns which convolutions programs on the CPU run, by XLA_FLAGS, for the first line of a
    run.
    """
    flags = os.environ.get("XLA_FLAGS", "")
    if CONVOLUTIONS in flags.split():
        return "XLA's convolutions, on all cores"
    if "ynn" in flags:
        return "convolutions as XLA_FLAGS says"
    return "jaxlib's default convolutions"


def only_cpu() -> bool:
    """Returns, without starting a backend, whether JAX will compute on the CPU: nothing else is
    allowed, or no device is here that an installed package could drive.

    A compiler without its device, such as libtpu for plans, changes nothing. Of plugins other than
    NVIDIA's no device is known: their being installed counts.
    """
    allowed = os.environ.get("JAX_PLATFORMS", "")
    if allowed:
        return allowed == "cpu"
    if importlib.util.find_spec("libtpu") and _has_tpu():
        return False
    folder = importlib.util.find_spec("jax_plugins")
    places = folder.submodule_search_locations if folder else ()
    plugins = {entry.name for entry in pkgutil.iter_modules(places)}
    of_nvidia = {name for name in plugins if name.startswith("xla_cuda")}
    return plugins == of_nvidia and not (of_nvidia and _has_nvidia_gpu())


def _has_tpu() -> bool:
    """Returns whether a TPU is on this machine's bus."""
    vendors = Path("/sys/bus/pci/devices").glob("*/vendor")
    return any(path.read_text(encoding="ascii").strip() == TPU_VENDOR for path in vendors)


def _has_nvidia_gpu() -> bool:
    """Returns whether the driver of NVIDIA, or Windows below Linux, shows a GPU."""
    return any(map(os.path.exists, NVIDIA_DEVICES))
