"""Pictures that SLEAP keeps inside its files, copied out so that they are files as all others."""
import hashlib
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image


def kept_inside(video: Any) -> bool:
    """Whether sleap-io has to decode a video: packages, HDF5 and TIFF stacks; its filename is then no list."""
    if isinstance(video.filename, list):
        return False
    return bool(video.backend_metadata.get("dataset")) or Path(video.filename).suffix.lower() in (".tif", ".tiff")


def pictures_inside(
    file: Path, number: int, video: Any, frames: Sequence[int], faults: list[str]
) -> tuple[dict[int, Path], str]:
    """The frames of a video as PNG files in the cache folder, and a line that says where. Those there already are kept.

    number: of the video in its file. A frame that cannot be decoded is left out, with a fault.
    """
    stat = file.stat()
    told = f"{file.resolve()} {stat.st_size} {stat.st_mtime_ns} {number}"
    cache = Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache").expanduser() / "kpjax" / "sleap"
    folder = cache / hashlib.sha256(told.encode()).hexdigest()[:16]
    found = {frame: folder / f"{frame:06d}.png" for frame in frames}
    if missing := [frame for frame, path in found.items() if not path.is_file()]:
        folder.mkdir(parents=True, exist_ok=True)
        try:
            video.open()
        except Exception as error:  # sleap-io raises many kinds
            faults.append(f"{file.name}: the pictures of video {number} cannot be opened ({error}); save the package "
                          "again with SLEAP")
            return {}, ""
        for frame in missing:
            try:
                picture = np.asarray(video[frame])
            except Exception as error:
                faults.append(f"{file.name}: frame {frame} of video {number} cannot be decoded ({error}); save the "
                              "package again with SLEAP")
                del found[frame]
                continue
            partial = folder / f".{frame:06d}.{os.getpid()}.png"
            Image.fromarray(np.repeat(picture, 3, -1) if picture.shape[-1] == 1 else picture[..., :3]).save(partial)
            partial.replace(folder / f"{frame:06d}.png")
        video.close()
    return found, f"{len(found)} pictures inside {file.name} were copied to {folder}"
