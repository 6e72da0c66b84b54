"""All systems with a preset that trains for seconds, and the variants that the contract runs."""

import json
import tempfile
from fnmatch import fnmatchcase
from pathlib import Path

from etils import epath
from tiny_regda import TINY as REGDA

from experiments.adaptation import EXPERIMENT as ADAPTATION, PRESETS as ADAPTATION_PRESETS
from experiments.incremental import EXPERIMENT as INCREMENTAL, PRESETS as INCREMENTAL_PRESETS
from experiments.pyramids import EXPERIMENT as PYRAMIDS, PRESETS as PYRAMIDS_PRESETS
from experiments.semi_supervised import (
    EXPERIMENT as SEMI_SUPERVISED,
    PRESETS as SEMI_SUPERVISED_PRESETS,
)
from kpjax.models.unet import SmallUNet
from kpjax.papers.configs import replace_fields
from kpjax.papers.engine import Job
from kpjax.papers.paper_numbers import lines_of

SMALL = {
    "image_size": 32,
    "heatmap_size": 8,
    "widths": (4, 4, 4),
    "head_layers": 1,
    "evaluations": 1,
}


def protocol() -> str:
    """Writes the demo's protocol with three steps of a few images each, and returns its path."""
    content = json.loads(INCREMENTAL_PRESETS["demo"].data.protocol_path().read_text())
    content["images"]["parts"] = [8, 12, 12]
    path = Path(tempfile.mkdtemp()) / "three_steps.json"
    path.write_text(json.dumps(content))
    return str(path)


def lengths_of(experiment, config, variant: str) -> dict[str, float]:
    """Returns the steps of a variant's stages that train, by what their folders are named after."""
    nowhere = epath.Path("nowhere")
    job = Job(experiment, config, "demo", variant, 0, nowhere, nowhere)
    return {folder.parent.name: steps for folder, steps in job.lengths.items() if steps}


def results_of(folder: Path, variant: str) -> dict:
    """Reads the results of a variant in the folder of a preset."""
    return json.loads((folder / variant / "seed-0" / "results.json").read_text())


CONFIGS = {
    "semi_supervised": replace_fields(
        SEMI_SUPERVISED_PRESETS["demo"],
        **SMALL,
        sigma=1.0,
        batch_size=16,
        warm_start_steps=2,
        steps=3,
        training_examples=24,
        test_examples=8,
        labelled=6,
        feature_width=8,
        augmentation="none",
    ),
    "incremental": replace_fields(
        INCREMENTAL_PRESETS["demo"],
        **{name: SMALL[name] for name in SMALL if name != "evaluations"},
        sigma=1.0,
        augmentation="none",
        batch_size=8,
        base_steps=2,
        steps=5,
        ka_steps=4,
        training_examples=32,
        test_examples=8,
        # the paper's KA-Net reaches far enough in both steps
        afec_images=8,
        input_sigma=1.5,
        protocol=protocol(),
    ),
    "pyramids": replace_fields(
        PYRAMIDS_PRESETS["demo"],
        image_size=16,
        level_sizes=(2, 2),
        batch_size=8,
        steps=3,
        transporter_steps=1.0,
        oracle_steps=1.0,
        evaluations=1,
        training_videos=8,
        test_videos=18,
        video_frames=6,
        window=5,
        action_window=6,
        action_every=6,
        action_steps=3,
        action_per_level=True,
        action_training_videos=0,
    ),
    "adaptation": replace_fields(
        ADAPTATION_PRESETS["demo"],
        image_size=32,
        target_side=40,
        network=SmallUNet((4, 4, 4, 4), head_layers=1),
        landmarks=4,
        core_epochs=2,
        core_epoch_steps=2,
        core_kept=(1,),
        core_images=8,
        core_test_images=4,
        training_images=12,
        test_images=6,
        batch_size=8,
        steps=3,
        generator_width=4,
        generator_blocks=1,
        stand_in_widths=(4,),
        labelled_images=(2, 5),
        repeats=2,
    ),
}
SYSTEMS = {"regda": REGDA} | {
    experiment.paper.name: experiment._replace(presets={"tiny": CONFIGS[experiment.paper.name]})
    for experiment in (SEMI_SUPERVISED, INCREMENTAL, PYRAMIDS, ADAPTATION)
}
VARIANTS = {
    "regda": ("regda",),
    "semi_supervised": ("sskl",),
    "incremental": ("kamp",),
    "pyramids": ("pyramids",),
    "adaptation": ("adapted",),
}  # run by default
# A variant with the stage in which it is stopped.
STOPPED = {
    "regda": ("regda", "regda"),
    "semi_supervised": ("sskl", "sskl"),
    "incremental": ("rw", "step 2"),
    "pyramids": ("pyramids", "pyramids"),
    "adaptation": ("adapted", "adaptation"),
}


def printed_of(name, variant):
    """Returns the metrics of which a paper prints a number for a variant, on whichever preset."""
    first = next(iter(SYSTEMS[name].paper.variants))
    return {
        metric
        for line in lines_of(name)
        if fnmatchcase(variant, line.keys.get("variant", first))
        for metric in line.numbers
    }


def job_of(name, variant, workdir="nowhere", preset="", **changes):
    """Returns the job of a variant in the tiny preset of a system, with other values of fields."""
    own, config = next(iter(SYSTEMS[name].presets.items()))
    return Job(
        SYSTEMS[name],
        replace_fields(config, **changes),
        preset or own,
        variant,
        0,
        epath.Path(workdir),
        epath.Path("none"),
    )
