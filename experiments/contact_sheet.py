"""Draws the same test images under the predictions of several finished variants, a row each; true
positions are rings.

Command   python -m experiments contact_sheet regda demo --variants pretrained regda --out sheet.jpg
          python -m experiments contact_sheet regda own --variants source_only regda --out sheet.jpg    (of kpjax train)
"""

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import numpy as np
from etils import epath
from PIL import Image
from tyro.conf import Positional, arg

from experiments import experiment_of
from kpjax import InputError
from kpjax.drawing.overlays import prediction_sheet
from kpjax.files import atomic
from kpjax.lab.own.systems import own_experiment
from kpjax.papers.configs import Checked
from kpjax.papers.engine import OWN, Job, stored_run
from kpjax.papers.parsing import exit_code_of, flags_in_messages, flags_of, parse
from kpjax.training.evaluation import read_predictions


@dataclass(frozen=True)
class ContactSheet(Checked):
    """Draws the same test images under several variants."""

    system: Annotated[Positional[str], arg(metavar="SYSTEM")]
    preset: Annotated[Positional[str], arg(metavar="PRESET")]
    variants: tuple[str, ...]
    out: str  # a .png or .jpg
    seed: int = 0
    of: str = ""  # the set of test images, as the run names it; "" for the first
    images: tuple[int, ...] = (0, 1, 2, 3, 4, 5)  # numbers in that set
    workdir: str = "runs"
    data_dir: str = "~/kpjax_data"
    overwrite: bool = False  # replace an earlier sheet

    def __call__(self) -> None:
        if Path(self.out).exists() and not self.overwrite:
            raise InputError(
                "out", f"{self.out} is there already; give another file, or --overwrite"
            )
        own = self.preset == OWN
        experiment = own_experiment(self.system) if own else experiment_of(self.system)
        rows = []
        for name in self.variants:
            if name not in experiment.paper.variants:
                raise InputError(
                    "variants", f"{name}; choose among {', '.join(experiment.paper.variants)}"
                )
            job = Job(
                experiment,
                None,
                self.preset,
                name,
                self.seed,
                epath.Path(self.workdir),
                epath.Path(self.data_dir).expanduser(),
            )
            if not (job.folder / "results.json").exists():
                raise InputError(f"{job.folder}: is not finished; run it first")
            config = stored_run(experiment.paper, job.folder).config
            rows.append(self.row(job._replace(config=config)))
        with atomic(Path(self.out)) as file:
            Image.fromarray(np.concatenate(rows)).save(
                file, "PNG" if self.out.endswith("png") else "JPEG", quality=88
            )
        print(self.out)

    def row(self, job: Job) -> np.ndarray:
        """Draws the images under one variant."""
        sets = job.paper.evaluated(job, job.experiment.open(job))
        if not sets:
            raise InputError("run", f"{job.folder} keeps no points of images; name another")
        if self.of not in ("", *sets):
            raise InputError("of", f"{self.of}; {job.folder} has predictions of {', '.join(sets)}")
        name = self.of or next(iter(sets))
        if not set(self.images) <= set(range(len(sets[name]))):
            raise InputError(
                "images", f"{self.images}; {name} has {len(sets[name])}, counted from 0"
            )
        found = read_predictions(job.folder)[name]
        places = [int(np.flatnonzero(found.index == number)[0]) for number in self.images]
        return prediction_sheet(
            [sets[name][number].image for number in self.images],
            found.keypoints[places],
            None,
            sets[name].skeleton,
            true=found.true_keypoints[places],
            visible=found.visible[places],
            captions=[job.variant.replace("_", " ")] * len(places),
            columns=len(places),
            minimum_side=192,
        )


@flags_in_messages(flags_of(ContactSheet))
def main(arguments: Sequence[str]) -> None:
    """Draws the sheet.

    Raises InputError for flags that cannot be used, and for a variant that is not finished.
    """
    parse(
        ContactSheet, arguments, prog="python -m experiments contact_sheet", description=__doc__
    )()


if __name__ == "__main__":
    raise SystemExit(exit_code_of(lambda: main(sys.argv[1:])))
