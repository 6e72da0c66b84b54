"""Compiled programs that stay on the disc, so that what compiles them again starts at once."""

import os
import sys
from pathlib import Path

from etils import epath

from kpjax.errors import InputError
from kpjax.files import absolute, cache_folder, in_bucket, make_folder

SECONDS = 0.2  # that a program takes to compile, at the least, to be kept


def keep_programs(workdir: epath.PathLike = "") -> None:
    """Makes JAX keep its programs in the cache folder, or where `workdir` is in a bucket in
    `compiled` there: a run that goes on after a preemption is on another host.

    Leaves alone what JAX_COMPILATION_CACHE_DIR or a program that called JAX before says. JAX reads
    the folder when it first compiles.
    """
    home = str(cache_folder() / "compiled")
    away = bool(workdir) and in_bucket(workdir)
    if not (away or _is_writable(Path(home))):  # JAX would warn of every program
        return
    settings: dict[str, str | float] = {
        "jax_compilation_cache_dir": str(absolute(workdir) / "compiled") if away else home,
        "jax_persistent_cache_min_compile_time_secs": SECONDS,
    }
    if away:  # XLA would take the bucket's name for a folder of its own
        settings["jax_persistent_cache_enable_xla_caches"] = "none"
    if jax := sys.modules.get("jax"):
        if jax.config.jax_compilation_cache_dir in (None, home):
            for name, value in settings.items():
                jax.config.update(name, value)
    elif os.environ.get("JAX_COMPILATION_CACHE_DIR", home) == home:
        os.environ.update({name.upper(): str(value) for name, value in settings.items()})


def _is_writable(folder: Path) -> bool:
    """Returns whether a folder is there, or could be made, and takes files."""
    try:
        make_folder(folder)
    except InputError:
        return False
    return os.access(folder, os.W_OK)
