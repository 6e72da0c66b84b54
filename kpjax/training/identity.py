"""What a result depends on, by exclusion: the contents of its inputs, all flags but those that
change no number, and the programs that compute it.

A finished run is left as it is, and a half-finished one goes on, only where inputs and flags are
the same. A path is an address: it is kept in the record, and never compared. Other programs are
said in a line and recorded (`went_on_under` of results.json), for a developer's own edits must not
stop a run.
"""

import contextlib
import functools
import os
import platform
import re
import subprocess
import sys
from collections.abc import Collection, Iterable, Mapping
from importlib import import_module, metadata
from pathlib import Path
from typing import Any

import jax

from kpjax.errors import InputError, summarise
from kpjax.files import sha256_of
from kpjax.training.mesh import data_mesh
from kpjax.training.trees import json_digest

#: fields that an identity has only where they differ from the usual
ONLY_IF_UNUSUAL = frozenset({"batch_norm_groups"})
SHORT = 12  # letters of a digest that people see
COMPUTING = ("kpjax", "jax", "jaxlib", "flax", "optax", "orbax-checkpoint", "grain", "numpy")
DECODING = ("pillow", "av")
SOURCES = (".py", ".json", ".csv", ".safetensors")
# written by a build, and tables that pages show
NO_SOURCES = ("_version.py", "results.csv", "paper.csv", "differences.csv")
# flags of XLA that say how many devices there are, which the record says by itself
OF_DEVICES = ("--xla_force_host_platform_device_count", "--xla_dump")

# Programs


def versions() -> dict[str, str]:
    """Returns the versions of Python and of the packages that decide what a run computes, and of
    those that decode its images and videos.
    """
    found = {"python": platform.python_version()}
    for name in (*COMPUTING, *DECODING):
        with contextlib.suppress(metadata.PackageNotFoundError):
            found[name] = metadata.version(name)
    return found


def sources_digest() -> str:
    """Returns the sha256 of kpjax's own sources, and of those of `data` and `experiments` where this
    process has imported them: an edited clone has the version of its commit.

    The version that a build writes is left out: an installed package and its clone are the same.
    """
    root = Path(__file__).parents[2]
    beside = [name for name in ("data", "experiments") if _is_here(name, root)]
    return _digest_of(root, ("kpjax", *beside))


def _is_here(package: str, root: Path) -> bool:
    """Returns whether a package was imported from this folder, and not one of the same name."""
    places = getattr(sys.modules.get(package), "__path__", ())
    return str(root / package) in map(str, places)


def source_files(root: Path, packages: Collection[str]) -> dict[str, Path]:
    """Returns all files of packages on which a number may depend, by their names below `root`."""
    return {
        file.relative_to(root).as_posix(): file
        for package in packages
        for file in (root / package).rglob("*")
        if file.suffix in SOURCES and file.name not in NO_SOURCES
    }


@functools.cache
def _digest_of(root: Path, packages: tuple[str, ...]) -> str:
    files = source_files(root, packages)
    return json_digest({name: sha256_of(file) for name, file in files.items()})


def arithmetic() -> dict[str, str]:
    """Returns what decides the order and the precision of sums: devices, the precision of products
    of matrices, and the flags that XLA was given.
    """
    flags = [
        flag for flag in os.environ.get("XLA_FLAGS", "").split() if not flag.startswith(OF_DEVICES)
    ]
    found = {
        "devices": f"{data_mesh().size} x {jax.devices()[0].device_kind}",
        "precision": str(jax.config.jax_default_matmul_precision or "default"),
        "XLA flags": " ".join(sorted(flags)) or "none",
    }
    drawn_by = (jax.config.jax_default_prng_impl, jax.config.jax_threefry_partitionable)
    if drawn_by != ("threefry2x32", True):
        found["random numbers"] = " ".join(map(str, drawn_by))
    return found


def programs() -> dict[str, Any]:
    """Returns what computes a run: the digest of kpjax's sources, versions, arithmetic, and the
    commit.
    """
    return {
        "sources": sources_digest(),
        "versions": versions(),
        "arithmetic": arithmetic(),
        "commit": commit(),
    }


def changed_programs(before: Mapping[str, Any], now: Mapping[str, Any]) -> str:
    """Returns which programs differ, as in "jax 0.10.1, now 0.10.2"; "" where none does.

    A commit says nothing beside the digest of the sources.
    """

    def versions_of(of: Mapping[str, Any]) -> dict[str, Any]:
        sources = (of.get("sources") or "unknown")[:SHORT]
        return {
            **(of.get("versions") or {}),
            **(of.get("arithmetic") or {}),
            "the digest of kpjax's sources": sources,
        }

    older = versions_of(before)
    newer = versions_of(now)
    changes = []
    for name in {**newer, **older}:
        if older.get(name) != newer.get(name):
            was = older.get(name, "absent")
            changes.append(f"{name} {was}, now {newer.get(name, 'absent')}")
    return ", ".join(changes)


def with_programs(
    known: Iterable[Mapping[str, Any]], more: Iterable[Mapping[str, Any]]
) -> list[Mapping[str, Any]]:
    """Returns programs in their order, each once."""
    found: list[Mapping[str, Any]] = []
    for one in (*known, *more):
        if all(changed_programs(other, one) for other in found):
            found.append(one)
    return found


@functools.cache
def commit() -> str:
    """Returns the short name of the commit of this code, followed by "+" if files differ from it.

    A clone asks git; elsewhere it is read from the version that was built. "" where neither knows.
    """
    root = Path(__file__).parents[2]
    if not (root / ".git").exists():  # installed, perhaps below another repository
        return commit_of_version(built_version())
    try:
        answer = subprocess.run(
            ["git", "-C", str(root), "describe", "--always", "--exclude=*", "--dirty=+"],
            capture_output=True,
            text=True,
            check=True,
        )
    except (OSError, subprocess.CalledProcessError):
        return ""
    return answer.stdout.strip()


def built_version() -> str:
    """Returns the version that the build wrote beside this code, "" where none did."""
    try:
        return import_module("kpjax._version").VERSION
    except ModuleNotFoundError:
        return ""


def commit_of_version(version: str) -> str:
    """Returns the commit in a version: "ab12cd34+" of "0.1.0.dev5+gab12cd34.d20261128".

    A release, "0.1.0", is the commit of its tag, "v0.1.0". "" where a version says neither.
    """
    public, _, local = version.partition("+")
    found = re.fullmatch(r"g([0-9a-f]+)(\.d\d+)?", local)
    if found:
        return found[1] + ("+" if found[2] else "")
    is_release = public and "dev" not in public and not local
    return f"v{public}" if is_release else ""


# What two runs of one folder must share


def check_identity(found: Mapping, wanted: Mapping, path: Path) -> None:
    """Raises InputError that names the first field of two identities that differs, with both
    values.
    """
    before = flat_identity(found)
    now = flat_identity(wanted)
    both = dict.fromkeys([*now, *before])
    compared = {*wanted, *ONLY_IF_UNUSUAL}
    names = [name for name in both if name.split(".")[0] in compared]
    names.sort(key=lambda name: name.endswith(".summary"))  # words about the others
    for name in names:
        there = before.get(name, "absent")
        here = now.get(name, "absent")
        if there != here:
            kind = {
                "model": "another model",
                "streams": "other data",
                "inputs": "other data",
            }.get(name.split(".")[0], "another configuration")
            raise InputError(
                f"{path} is of {kind}: {name} is {there} there and {here} here; set it back, choose another `workdir`, "
                "or start over with `fresh`"
            )


def flat_identity(value, name: str = "") -> dict[str, Any]:
    """Returns the leaves of nested mappings by path, such as `config.optimizer.momentum`."""
    if isinstance(value, Mapping) and value:
        leaves = {}
        for key, item in value.items():
            leaves |= flat_identity(item, f"{name}.{key}" if name else key)
        return leaves
    return {name: value}


# Inputs


def differing(before: Mapping[str, str], now: Mapping[str, str]) -> str:
    """Returns how the contents of two states of an input differ, in words."""
    changed = [name for name in now if name in before and before[name] != now[name]]
    new = [name for name in now if name not in before]
    gone = [name for name in before if name not in now]
    parts = []
    if changed:
        parts.append(
            f"{len(changed)} of {len(now)} files with different content ({summarise(changed)})"
        )
    if new:
        parts.append(f"{len(new)} new ({summarise(new)})")
    if gone:
        parts.append(f"{len(gone)} gone ({summarise(gone)})")
    return ", ".join(parts)


def changed_input(
    before: Mapping[str, Mapping[str, str]], now: Mapping[str, Mapping[str, str]]
) -> tuple[str, str] | None:
    """Returns the name of an input that is in another state than a run has learnt from, and its
    files that differ, in words; None where all are as they were.

    before, now: the digests of files by input and file.
    """
    for name in {**now, **before}:
        was, is_now = before.get(name, {}), now.get(name, {})
        if was != is_now:
            return name, differing(was, is_now)
    return None


# Configs: addresses are no contents


def without_addresses(config: Mapping[str, Any], addresses: Collection[str]) -> dict[str, Any]:
    """Returns a config as JSON without the fields that name inputs, wherever they stand in it; a part
    may have the name of a field, and stays."""
    return {
        name: without_addresses(value, addresses) if isinstance(value, Mapping) else value
        for name, value in config.items()
        if isinstance(value, Mapping) or name not in addresses
    }


def named_in(config: Mapping[str, Any]) -> set[str]:
    """Returns the names of all fields of a config as JSON."""
    inside = (named_in(value) for value in config.values() if isinstance(value, Mapping))
    return set(config).union(*inside)
