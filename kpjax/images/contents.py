"""What files say, as digests that are kept while a file stays as it is."""

import contextlib
import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from etils import epath

from kpjax.errors import InputError
from kpjax.files import cache_folder, in_bucket, read_content, read_json, write_json
from kpjax.images.reading import content_digest

LARGE = 4 * 2**30  # bytes, which take seconds


def contents(files: Mapping[str, epath.PathLike]) -> dict[str, str]:
    """Returns the sha256 of what files say (`content_digest`), by their names.

    files: by names that stay the same where a folder is moved. A digest that was computed before is
    taken again while size and times of the file are the same: those of videos take minutes, which
    a line says. Raises InputError for a file that cannot be read.
    """
    by_folder: dict[Path, dict[str, Path]] = {}
    found: dict[str, str] = {}
    for name, path in files.items():
        if in_bucket(path):  # small, and its times are not known
            found[name] = hashlib.sha256(read_content(path)).hexdigest()
        else:
            local = Path(path).absolute()
            by_folder.setdefault(local.parent, {})[name] = local
    for folder, inside in by_folder.items():
        file_name = hashlib.sha256(str(folder).encode()).hexdigest()[:32]
        kept = cache_folder() / "contents" / f"{file_name}.json"
        known: dict[str, Any] = {}
        with contextlib.suppress(InputError):
            known = read_json(kept)
        computed = {}
        for name, path in inside.items():
            state = state_of(path)
            *before, digest = known.get(path.name) or [None]
            if before != state:
                if state[0] > LARGE:
                    print(f"{path}: is read once, to recognise it later: {state[0] / 2**30:.0f} GB")
                digest = content_digest(path)
                computed[path.name] = [*state, digest]
            found[name] = digest
        if computed:
            with contextlib.suppress(InputError):  # a cache that cannot be written is none
                write_json(kept, known | computed)
    return dict(sorted(found.items()))


def state_of(path: Path) -> list[int]:
    """Returns the size and the times of a file, by which caches of what it holds know it."""
    try:
        status = path.stat()
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror})") from None
    # Copying tools keep the time of a file's content, and cannot keep the other.
    return [status.st_size, status.st_mtime_ns, status.st_ctime_ns]
