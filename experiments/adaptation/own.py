"""The preset `own` of adaptation: a finished run of one category as the core, and pictures of another."""
import functools
import json
from collections.abc import Collection, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

from experiments.adaptation.config import Config
from experiments.adaptation.pictures import own_split
from experiments.adaptation.variants import RECIPES
from experiments.own_needs import needs_of
from experiments.own_project import is_own
from experiments.own_settings import Choice, chosen, every_choice, facts_of
from experiments.predictors import open_run
from kpjax.annotations.project_source import frames_at
from kpjax.errors import InputError
from kpjax.files import read_json
from kpjax.methods.core_adaptation.adaptation import plain_variables
from kpjax.models.hourglass_network import STRIDE
from kpjax.structures import Variables
from kpjax.training.trees import load_trained, tree_digest

LEAST_PICTURES = needs_of("adaptation").pictures
PASSES, FEWEST_STEPS, MOST_STEPS = 100, 1000, 2000  # fewer leave most points wandering, see experiments/RESULTS.md
OF_HOURGLASS = ("image_size", "width", "depth", "dtype", "pictures")
OF_NETWORK = {  # what a network by name is built from, besides its stride
    "small_unet": ("widths",), "pose_resnet": ("depth",), "hrnet": ("width", "modules", "blocks", "stem_width", "taps")}
PARTS = ("backbone", "upsampling", "head")


class OwnCore(NamedTuple):
    """A run that a person names as the core."""

    variables: Variables
    digest: str
    fields: Mapping[str, Any]  # of the config, that the core decides


@functools.lru_cache(maxsize=2)
def own_core(folder: str) -> OwnCore:
    """The network of a finished run, of an exported one, or of a core's stage.

    Raises InputError for a folder that is none of them, or whose network is of a kind that this experiment cannot
    build.
    """
    if not folder:
        raise InputError("--core: name a finished run's folder, .../<variant>/seed-<n>, or an exported one")
    path = Path(folder).expanduser()
    if (path / "stage.json").is_file():
        config, variables, hourglass = read_json(path / "stage.json")["config"], load_trained(
            path / "result").variables, True
    else:
        opened = open_run(path)
        config, variables = opened.files["config.json"], opened.trained.variables
        hourglass = opened.run.experiment == "adaptation" and not config.get("core_network")
        if opened.run.experiment == "adaptation":
            variables = plain_variables(opened.trained, RECIPES[opened.run.variant].parametrisation)
    if hourglass:
        missing = [name for name in OF_HOURGLASS if name not in config]
        fields = {name: config.get(name) for name in OF_HOURGLASS}
    elif config.get("core_network"):
        missing = []
        fields = {name: config[name] for name in ("image_size", "dtype", "core_network")}
    else:
        missing = [name for name in ("network", "image_size", "heatmap_size", "dtype") if name not in config]
        known = ("network", "dtype", *OF_NETWORK.get(config.get("network"), ()))
        told = {name: config[name] for name in known if name in config}
        fields = {"image_size": config.get("image_size"), "dtype": config.get("dtype"),
                  "core_network": json.dumps(told, sort_keys=True)}
        if not missing and config["image_size"] != STRIDE * config["heatmap_size"]:
            raise InputError(f"--core: the heatmaps of {folder} are {config['heatmap_size']} px for images of "
                             f"{config['image_size']}; give a run whose heatmaps are {STRIDE} times smaller")
        if not missing and config["network"] not in OF_NETWORK:
            raise InputError(f"--core: the network of {folder} is {config['network']}; give a run with one of "
                             f"{', '.join(OF_NETWORK)}")
    if missing:
        raise InputError(f"--core: {folder} has a network of another kind (its config has no {missing[0]}); give a run "
                         "that learnt named keypoints from labels, or one of adaptation")
    kept = {collection: {name: tree for name, tree in variables[collection].items() if name in PARTS}
            for collection in ("params", "batch_stats")}
    return OwnCore(kept, tree_digest(kept), fields)


def settled(preset: str, config: Config, typed: Collection[str]) -> Config:
    """The config with what is not typed taken over from the core's run or chosen from the pictures, with reasons.

    Raises InputError where the core or the pictures are missing, for fewer than fifty pictures, and for a project with
    several animals on a picture.
    """
    if not is_own(config):
        return config
    core = own_core(config.core)
    if not config.image_files:
        raise InputError("--images: name pictures, videos or folders of them")
    frames = frames_at(config.image_files)
    every = every_choice(len([frame for frame in frames if frame.number is not None]))
    config = config if "every" in typed else replace(config, every=every.value)
    split = own_split(config)
    if len(split.target) + len(split.test) < LEAST_PICTURES:
        raise InputError(f"--images: {len(split.target) + len(split.test)} pictures; points are found on at least "
                         f"{LEAST_PICTURES}")
    side = core.fields["image_size"]
    wanted = -(-PASSES * len(split.target) // config.batch_size)
    steps = min(max(wanted, FEWEST_STEPS), MOST_STEPS)
    choices = [
        *(Choice(name, value, "as the core has it") for name, value in core.fields.items()),
        Choice("target_side", side, "views are drawn from pictures as large as those of the core"), every,
        Choice("steps", steps, f"{PASSES} passes over {len(split.target)} pictures in batches of {config.batch_size} "
               f"are {wanted}, kept between {FEWEST_STEPS} and {MOST_STEPS}")]
    if split.project:
        if facts_of(split.project).several:
            raise InputError(f"--project: {split.project.root} has several animals on a picture; points are found on "
                             "pictures of one")
        fit = len(split.held.train)
        choices += [
            Choice("lengths", "object", "errors are percent of the labelled extent"),
            Choice("images", tuple(count for count in (10, 50, 100) if count < fit), f"{fit} labelled pictures fit "
                   "the regressors between points and labels, and teach the points nothing")]
    print(f"core: {config.core}; {len(split.target)} pictures without labels; held out: {split.words}")
    config = chosen(config, choices, typed)
    return replace(config, summary=f"{len(split.target)} pictures, the core of {config.core}; held out: {split.words}")
