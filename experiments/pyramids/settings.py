"""The preset `own` of Keypoint Pyramids: what is chosen from a person's videos."""
import math
from collections.abc import Collection
from dataclasses import replace
from pathlib import Path

from experiments.own_settings import Choice, chosen
from experiments.pyramids.config import Config
from kpjax.errors import InputError
from kpjax.images.video import find_videos

FRAMES = 4000  # of all videos together that are learnt from, about


def settled(preset: str, config: Config, typed: Collection[str]) -> Config:
    """The config of own videos with what is not typed chosen from them, each choice printed with its reason.

    Raises InputError where no video is named, videos differ in size and no --size says to which they are brought, or
    none is of at least twice the window.
    """
    if config.data != "own":
        return config
    if not config.videos:
        raise InputError("--videos: no video is named; give files or folders, for example --videos clips other.mp4")
    files = find_videos(*(Path(path).expanduser() for path in config.videos))
    total = sum(len(video) for video in files)
    fitting = max(math.ceil(total / FRAMES), 1)
    every = config.every if "every" in typed else fitting
    longest = max(-(-len(video) // every) for video in files)
    window = min(config.window, longest // 2)
    if window < 1 or ("window" in typed and config.window > longest // 2):
        asked = config.window if "window" in typed else 1
        raise InputError(f"--videos: the longest video has {longest} frames" + (f" (every {every}th)" * (every > 1)) +
                         f", and a window of {asked} needs {2 * asked}; give longer videos"
                         + (" or a smaller --window" if asked > 1 else ""))
    choices = [
        Choice("every", fitting, f"{total} frames in {len(files)} videos"
               + (f", of which about {FRAMES} are enough" if fitting > 1 else ", all of them")),
        Choice("window", window, f"the longest video has {longest} frames; pairs are at most half of it apart, and at "
               f"most {config.window} frames"),
        Choice("image_size", config.image_size, "the small network's; twice as large is four times slower"),
        Choice("batch_size", config.batch_size, "pairs, the small network's"),
        Choice("steps", config.steps, "found enough on drawn videos")]
    config = chosen(config, choices, typed)
    # A size that a person names is one that videos of several sizes are brought to.
    return replace(config, mixed_sizes=True) if "image_size" in typed and "mixed_sizes" not in typed else config
