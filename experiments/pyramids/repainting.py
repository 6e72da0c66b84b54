"""How much of a frame its keypoints determine: pictures that a network paints from coordinates alone, level by level.

Command   python -m experiments.pyramids.repainting demo --workdir runs

For each finished row of one seed and each of its levels a painter is trained on half of the test videos and judged on
the others (Keypoint Pyramids, supplement A.4, which shows such pictures without a number). What is painted is the mean
picture of a pose: the look of a person is in no coordinate. The mean picture of all frames stands beside the errors.
"""
import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from experiments.command_line import exit_code_of, preset_folder, use_compile_cache
from experiments.pyramids import NAME, predict
from experiments.pyramids.config import Config, OwnConfig
from experiments.pyramids.probes import FLAT, levels_of, split_of
from experiments.pyramids.variants import RIVALS, build
from experiments.pyramids.videos import frames_of, open_videos
from experiments.run_records import stored_run
from kpjax.drawing.overlays import contact_sheet, enlarged, write_png
from kpjax.errors import InputError
from kpjax.evaluation.probes.reconstruction import reconstruction_errors, train_painter
from kpjax.files import write_json
from kpjax.structures import Skeleton
from kpjax.training.trees import load_trained

ROWS = ("pyramids", *RIVALS, "untrained")
SHOWN = 6  # frames on the sheet
SIDE = 128  # px of a picture on it, at least


def repaint(folder: Path, data_dir: Path, *, steps: int) -> dict[str, float]:
    """The errors of a finished run's levels, which are also written beside it, with a sheet of painted frames.

    By name: `psnr/<level>` and `psnr/mean_picture` in dB, `mse/<level>` and `mse/mean_picture` of pictures in [0, 1].
    Raises InputError for a run that is not finished, or whose videos cannot be read.
    """
    config, variant, _ = stored_run(folder, Config, OwnConfig)
    seed = int(folder.name.removeprefix("seed-"))
    videos = open_videos(config, seed, data_dir)
    method = build(config, Skeleton(()), NAME if variant == "untrained" else variant)
    found = predict(method, load_trained(folder / "model"), videos.test, config)
    images = np.concatenate(list(frames_of(videos.test)))
    split, _ = split_of(videos.test, np.arange(len(images)), seed)
    shown = split.test[np.linspace(0, len(split.test) - 1, SHOWN).round().astype(int)]
    values, columns = {}, {"frame": images[shown]}
    for level, points in levels_of(found.keypoints, method.skeleton).items():
        painter = train_painter(points, images, split.fit, seed=seed, steps=steps)
        errors = reconstruction_errors(painter, points, images, split)
        values |= {f"psnr/{level}": errors.psnr, f"mse/{level}": errors.mse,
                   "psnr/mean_picture": errors.mean_image_psnr, "mse/mean_picture": errors.mean_image_mse}
        columns[level] = np.concatenate([(255 * part).round().astype(np.uint8) for part in painter(points[shown])])
    sheet = [enlarged(column[row], SIDE) for row in range(SHOWN) for column in columns.values()]
    write_png(folder / "images" / "repainted.png",
              contact_sheet(sheet, len(columns), captions=[*columns] * SHOWN))
    write_json(folder / "repainting.json", {"steps": steps, "errors": values})
    return values


def main(arguments: Sequence[str]) -> None:
    """The command. Raises InputError where no row is finished."""
    parser = argparse.ArgumentParser(prog="python -m experiments.pyramids.repainting", description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("preset")
    parser.add_argument("--workdir", type=Path, default=Path("runs"))
    parser.add_argument("--data-dir", type=Path, default=Path("~/kpjax_data"))
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--steps", type=int, default=1000, help="of each painter (default 1000)")
    flags = parser.parse_args(arguments)
    if flags.steps < 1:
        raise InputError(f"--steps: {flags.steps}; give 1 or more")
    above = preset_folder(flags.workdir, NAME, flags.preset)
    folders = [above / row / f"seed-{flags.seed}" for row in ROWS]
    finished = [folder for folder in folders if (folder / "results.json").is_file()]
    if not finished:
        raise InputError(f"{above}: none of {', '.join(ROWS)} is finished for seed {flags.seed}; run one first")
    use_compile_cache()
    print(f"{'painted from the coordinates of':32} {FLAT:>8} {'level1':>8} {'level2':>8} {'no point':>8}   (PSNR, dB)")
    for folder in finished:
        values = repaint(folder, flags.data_dir.expanduser(), steps=flags.steps)
        shown = [values.get(f"psnr/{name}") for name in (FLAT, "level1", "level2", "mean_picture")]
        print(f"{folder.parent.name:32} " + " ".join(f"{value:8.2f}" if value else 8 * " " for value in shown))
    print("sheets: " + ", ".join(str(folder / "images" / "repainted.png") for folder in finished))


if __name__ == "__main__":
    raise SystemExit(exit_code_of(lambda: main(sys.argv[1:])))
