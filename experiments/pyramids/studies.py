"""Two studies of finished runs of Keypoint Pyramids.

Command   python -m experiments.pyramids.studies order demo --workdir runs
          python -m experiments.pyramids.studies repainting demo --workdir runs
"""
import itertools
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated

import numpy as np
from etils import epath
from tyro.conf import Positional, arg

from experiments.engine.command_line import use_compile_cache
from experiments.engine.configs import Checked, Count
from experiments.engine.parsing import exit_code_of, flags_in_messages, flags_of, parse
from experiments.engine.system import IMAGES, Job, preset_folder, read_predictions, stored_run, system_of
from experiments.engine.tables import Ratio, cost_text, mean_text, measured, ratios_text, runs_of
from experiments.pyramids import SYSTEM
from experiments.pyramids.probes import FLAT, frames_of, levels_of, read_errors, split_of
from experiments.pyramids.variants import BASELINES, VARIANTS
from kpjax import InputError
from kpjax.drawing.overlays import contact_sheet, enlarged, write_png
from kpjax.evaluation.probes.reconstruction import reconstruction_errors, train_painter
from kpjax.evaluation.probes.regression_errors import ratio_of_errors
from kpjax.files import write_json
from kpjax.reports.table import markdown

REPAINTED = ("pyramids", *BASELINES, "untrained")
SHOWN = 6  # frames on the sheet
SIDE = 128  # px of an image on it, at least

Preset = Annotated[Positional[str], arg(metavar="PRESET")]


@dataclass(frozen=True)
class Order:
    """Compares the variants of a preset on the same test frames, with intervals over videos and over seeds.

    For each pair of variants: the ratio of their `rmse/flat`, all common seeds together, with a bootstrap interval of
    95 % over test videos; the geometric mean of the ratios of single seeds, with a 95 % interval by Student's t of
    their logarithms; and these ratios. The first interval concerns these networks, the second others like them. The
    order is open if either contains 1, or if there is one seed only. What each variant cost stands below.
    """

    preset: Preset
    workdir: str = "runs"

    def __call__(self) -> None:
        folder = preset_folder(self.workdir, SYSTEM.name, self.preset)
        errors = read_errors(folder)
        ratios = compare(errors)
        if not ratios:
            raise InputError(f"{folder}: fewer than two finished variants of one seed have been tested; run more")
        costs = []
        for variant in (name for name in VARIANTS if name in errors):
            runs = runs_of([Job(SYSTEM.name, None, self.preset, variant, int(seed.removeprefix("seed-")),
                                epath.Path(self.workdir), epath.Path()) for seed in sorted(errors[variant])])
            costs.append([variant, mean_text(measured(runs, f"rmse/{FLAT}"), len(runs), decimals=2), cost_text(runs)])
        print(ratios_text(ratios, "videos", decimals=3), markdown(["variant", f"rmse/{FLAT}", "training"], costs),
              sep="\n\n")


@dataclass(frozen=True)
class Repainting(Checked):
    """Measures how much of a frame its keypoints determine, by images that a network renders from coordinates alone.

    For each finished variant and each of its levels a network is trained on half of the test videos and evaluated on
    the others (Keypoint Pyramids, supplement A.4, which shows such images without a number). It renders the mean image
    of a pose: no coordinate has a person's appearance. The mean image of all frames stands beside the errors.
    """

    preset: Preset
    workdir: str = "runs"
    data_dir: str = "~/kpjax_data"
    seed: int = 0
    steps: Count = 1000  # of each network

    def __call__(self) -> None:
        jobs = [Job(SYSTEM.name, None, self.preset, variant, self.seed, epath.Path(self.workdir),
                    epath.Path(self.data_dir).expanduser()) for variant in REPAINTED]
        finished = [job for job in jobs if (job.folder / "results.json").exists()]
        if not finished:
            raise InputError(f"{jobs[0].preset_folder}: none of {', '.join(REPAINTED)} is finished for seed "
                             f"{self.seed}; run one first")
        use_compile_cache()
        print(f"{'rendered from the coordinates of':32} {FLAT:>8} {'level1':>8} {'level2':>8} {'no point':>8}   "
              "(PSNR, dB)")
        for job in finished:
            values = repaint(job, steps=self.steps)
            shown = [values.get(f"psnr/{name}") for name in (FLAT, "level1", "level2", "mean_image")]
            print(f"{job.variant:32} " + " ".join(f"{value:8.2f}" if value else 8 * " " for value in shown))
        print("sheets: " + ", ".join(str(job.folder / IMAGES / "repainted.png") for job in finished))


def compare(errors: Mapping[str, Mapping[str, Mapping[str, np.ndarray]]]) -> list[Ratio]:
    """Compares all pairs of variants by common seeds. Raises InputError if they were tested on different frames."""
    found = []
    for variant, other in itertools.combinations([name for name in VARIANTS if name in errors], 2):
        seeds = sorted(set(errors[variant]) & set(errors[other]))
        if not seeds:
            continue
        pairs = [(errors[variant][seed], errors[other][seed]) for seed in seeds]
        for seed, (one, two) in zip(seeds, pairs, strict=True):
            if not np.array_equal(one["frames"], two["frames"]):
                raise InputError(f"{variant} and {other}, {seed}: they were tested on different frames; run one of "
                                 "them again with --fresh")
        squares = [np.concatenate([one["squares"] for one in part]) for part in zip(*pairs, strict=True)]
        groups = np.concatenate([number * 10**6 + one["groups"] for number, (one, _) in enumerate(pairs)])
        found.append(Ratio(f"{variant} / {other}", f"rmse/{FLAT}", ratio_of_errors(*squares, groups),
                           tuple(float(np.sqrt(one["squares"].sum() / two["squares"].sum())) for one, two in pairs)))
    return found


def repaint(job: Job, *, steps: int) -> dict[str, float]:
    """Computes the errors of a finished run's levels and writes them beside it, with a sheet of rendered frames.

    Returns `psnr/<level>` and `psnr/mean_image` in dB, `mse/<level>` and `mse/mean_image` of images in [0, 1].
    """
    system = system_of(SYSTEM.name, job.preset)
    config, _, skeleton = stored_run(system, job.folder)
    videos = system.open(job._replace(config=config)).test
    images = np.concatenate(list(frames_of(videos)))
    split, _ = split_of(videos, np.arange(len(images)), job.seed)
    shown = split.test[np.linspace(0, len(split.test) - 1, SHOWN).round().astype(int)]
    values, columns = {}, {"frame": images[shown]}
    for level, points in levels_of(read_predictions(job.folder)["test"].keypoints, skeleton).items():
        painter = train_painter(points, images, split.fit, seed=job.seed, steps=steps)
        errors = reconstruction_errors(painter, points, images, split)
        values |= {f"psnr/{level}": errors.psnr, f"mse/{level}": errors.mse,
                   "psnr/mean_image": errors.mean_image_psnr, "mse/mean_image": errors.mean_image_mse}
        columns[level] = np.concatenate([(255 * part).round().astype(np.uint8) for part in painter(points[shown])])
    sheet = [enlarged(column[row], SIDE) for row in range(SHOWN) for column in columns.values()]
    write_png(job.folder / IMAGES / "repainted.png", contact_sheet(sheet, len(columns), captions=[*columns] * SHOWN))
    write_json(job.folder / "repainting.json", {"steps": steps, "errors": values})
    return values


@flags_in_messages(flags_of(Repainting))
def main(arguments: Sequence[str]) -> None:
    """Runs a study. Raises InputError for flags that cannot be used, and where nothing has finished."""
    parse(Order | Repainting, arguments, prog="python -m experiments.pyramids.studies", description=__doc__)()


if __name__ == "__main__":
    raise SystemExit(exit_code_of(lambda: main(sys.argv[1:])))
