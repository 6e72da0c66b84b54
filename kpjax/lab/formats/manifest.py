"""The list of files that a command wrote into a folder, so that nothing else is replaced there later."""
from collections.abc import Collection, Iterable
from pathlib import Path
from typing import Any

from kpjax.errors import InputError
from kpjax.file_names import inside
from kpjax.files import read_json, remove, remove_partials, sha256_of, write_json


def free_or_listed(folder: Path, manifest: str, command: str, overwrite: bool) -> list[Path]:
    """Returns the files of a folder to replace, none if it is new or empty; refuses one that may hold anything else."""
    check_replaceable(folder)
    if not folder.is_dir() or not any(folder.iterdir()):
        return []
    if not overwrite:
        raise InputError("out", f"{folder} is not empty; give another folder, or overwrite it (--overwrite) if "
                                f"{command} wrote it")
    path = folder / manifest
    if not path.is_file():
        raise InputError("out", f"{folder} has no {manifest} that lists what {command} wrote, and may hold other "
                                "things; give another folder")
    files = read_json(path).get("files")
    if not isinstance(files, dict) or not all(isinstance(digest, str) for digest in files.values()):
        raise InputError(f"{path}: files: no names with their digests; give another folder")
    listed = {inside(folder, name, f"{path}: files"): digest for name, digest in files.items()}
    for file, digest in listed.items():
        if file.is_symlink() or (file.exists() and not file.is_file()):
            raise InputError(f"{path}: files: {file.name!r} is a folder or a link; give another folder")
        if digest and file.is_file() and sha256_of(file) != digest:
            raise InputError(f"{file} was changed since {command} wrote it; give another folder to keep it")
    return [*listed, path]


def check_replaceable(folder: Path) -> None:
    """Raises InputError for a folder in whose place no other can be put."""
    remove_partials(folder.absolute().parent)
    if Path.cwd().is_relative_to(folder.resolve()):
        raise InputError("out", f"{folder} is the folder that you are in; give a new one")
    if folder.is_symlink() or (folder.exists() and not folder.is_dir()):
        raise InputError("out", f"{folder} is a file or a link; give a new folder")


def remove_files(folder: Path, files: Iterable[Path]) -> None:
    """Removes files and the folders below `folder` that are then empty."""
    homes = set()
    for file in files:
        remove(file)
        homes |= {parent for parent in file.parents if parent.is_relative_to(folder) and parent != folder}
    for home in sorted(homes, key=lambda home: -len(home.parts)):
        if home.is_dir() and not home.is_symlink() and not any(home.iterdir()):
            home.rmdir()


def write_manifest(folder: Path, manifest: str, labels: Collection[Path] | None = None, **facts: Any) -> None:
    """Lists all files of a folder, with digests of those that people change, of all if None. facts: further entries."""
    listed = {path.relative_to(folder).as_posix(): sha256_of(path) if labels is None or path in labels else ""
              for path in sorted(folder.rglob("*")) if path.is_file()}
    write_json(folder / manifest, {**facts, "files": listed})
