"""Semi-supervised keypoint localization (Moskvyak et al., ICLR 2021): a few labelled pictures and many without labels.

Command   python -m experiments.semi_supervised demo          (2 CPU cores, about 4 minutes, draws its own data)
          python -m experiments.semi_supervised openfield --labelled 10 --seeds 3      (2 CPU cores, a few minutes each)
          python -m experiments.semi_supervised own --project P --unlabelled V ...     (one's own project: minutes)
          python -m experiments.semi_supervised.tables table1 --preset lsp --imagenet hrnet_w32.pth --seeds 3  (one GPU)
Expected  the table in experiments/RESULTS.md; the paper's numbers stand beside ours in every report

`--labelled` up to 1 is a share of the training pictures, above it a count; seed n draws subset n, and smaller subsets
lie in larger ones. All variants of a seed start from one warm start, supervised on the labelled pictures, which stands
in for ImageNet weights where there are none; the paper's presets have none. Where the paper stops when the validation
accuracy rises no more, the steps are given here, and the step that is best on validation pictures is the result. Test
pictures are looked at once, at the end.

`supervised_warped` is the control: the labels alone, with the method's own warp on half of each labelled batch.
"""
from dataclasses import asdict, replace
from pathlib import Path

import jax
import numpy as np

from experiments.command_line import Experiment, Job, preset_folder, run_folder
from experiments.keypoint_errors import keypoint_errors
from experiments.networks import imagenet_start
from experiments.own_project import is_own
from experiments.picture_splits import place_of
from experiments.prediction_pictures import draw_predictions
from experiments.run_records import begin, finished_before, identity_of, stored_run
from experiments.scores import write_scores
from experiments.semi_supervised.config import PRESETS, Config, OwnConfig
from experiments.semi_supervised.measures import (
    ReadSemantic,
    consistency_over_chance,
    equivariance_and_peaks,
    keypoint_features,
)
from experiments.semi_supervised.own import settled
from experiments.semi_supervised.pictures import Pictures, open_pictures
from experiments.semi_supervised.published import paper_numbers
from experiments.semi_supervised.variants import (
    NEED_UNLABELLED,
    RECIPES,
    VARIANTS,
    Parts,
    build,
    build_warm_start,
    distilled,
    parts_of,
    perceptual_start,
    read_semantic,
    steps_of_both_stages,
)
from kpjax.drawing.feature_map import can_embed, embedded, scatter
from kpjax.drawing.overlays import write_png
from kpjax.files import make_folder, strict
from kpjax.images.transforms import Place
from kpjax.input.source import Source, with_labels
from kpjax.input.stream import stream
from kpjax.methods.semi_supervised_learning.data_distillation import pseudo_labels
from kpjax.reports.table import Column
from kpjax.structures import Method, Trained
from kpjax.training.evaluation import predict_source
from kpjax.training.fit import Fitted, Select, fit
from kpjax.training.run_folder import write_results
from kpjax.training.stages import stage
from kpjax.training.trees import load_trained, save_trained

NAME = "semi_supervised"
SCORE_KIND = "mse_peak"


def evaluate(method: Method, state, source: Source, config: Config, name: str, *, details: bool = False
             ) -> dict[str, float]:
    """PCK (a distance of exactly the threshold is a hit, every point weighs the same) and errors under `name/`."""
    found = predict_source(method, state, source, batch_size=2 * config.batch_size)
    return keypoint_errors(found, method.skeleton, name, threshold=config.pck_threshold, strict=False, pooled=True,
                           uncounted=config.uncounted_keypoints, details=details)


def run_fit(job: Job, method: Method, sources: dict[str, Source], steps: int, folder: Path, name: str, start: dict,
            pictures: Pictures) -> Fitted:
    """`fit` with this experiment's batches, evaluation and choice of the result."""
    config = job.config
    size = config.batch_size // len(method.streams)
    labelled = {"labelled": True, "unlabelled": bool(RECIPES[job.variant].teacher)}
    streams = {
        stream_name: stream(sources[stream_name], batch_size=size, seed=job.seed, labelled=labelled[stream_name],
                            repeats=True, process_index=jax.process_index(), process_count=jax.process_count())
        for stream_name in method.streams}
    return fit(method, streams, steps=steps, key=jax.random.key(job.seed), stage=name, folder=folder, start=start,
               evaluate=lambda state: evaluate(method, state, pictures.validation, config, "validation"),
               evaluate_every=max(1, steps // config.evaluations),
               # What a person holds out of a project is reported, so it does not choose the step.
               select=None if is_own(config) else Select("validation/pck"),
               config=identity_of(job, labelled_digest=pictures.digest))


def first_start(job: Job, parts: Parts) -> dict:
    """ImageNet weights, if the config names them."""
    return imagenet_start(parts.network, job.config.imagenet, image_size=job.config.image_size, seed=job.seed)


def start_of(job: Job, parts: Parts, pictures: Pictures) -> dict:
    """Where a variant begins: the warm start that all variants of a seed share, if there is one."""
    config = job.config
    if not config.warm_start_steps or RECIPES[job.variant].everything:
        return first_start(job, parts)
    warm = job._replace(variant="supervised")
    method = build_warm_start(config, parts.skeleton)

    def train(place: Path) -> Fitted:
        return run_fit(warm, method, {"labelled": pictures.labelled}, config.warm_start_steps, place, "warm start",
                       first_start(job, parts), pictures)

    identity = strict(asdict(config)) | {"labelled_digest": pictures.digest}
    found = stage(preset_folder(job.workdir, NAME, job.preset), "warm_start", job.seed, train, config=identity)
    return {"variables": found.trained.variables}


def with_pseudo_labels(job: Job, parts: Parts, pictures: Pictures, folder: Path) -> Source:
    """The unlabelled pictures under the labels that the finished teacher gives them; made once and kept."""
    unlabelled, kept = pictures.unlabelled, folder / "pseudo_labels.npz"
    name = f"{unlabelled.name.removesuffix(' without labels')} under pseudo-labels"
    if not kept.exists():
        teacher = job._replace(variant=RECIPES[job.variant].teacher)
        run(teacher)
        trained = load_trained(run_folder(teacher, NAME) / "model")
        method = distilled(job.config, parts.skeleton, teacher.variant)
        found = predict_source(method, trained, unlabelled, batch_size=2 * job.config.batch_size)
        visible = np.stack([pictures.labelled[number].visible for number in range(len(pictures.labelled))])
        labels = pseudo_labels(found.keypoints, found.scores, visible)
        print(f"{job.variant}, seed {job.seed}: {int(labels.visible.sum())} of {labels.visible.size} predictions on "
              f"unlabelled pictures are kept, peaks from {labels.threshold:.3f}")
        if jax.process_index() == 0:
            make_folder(folder)
            temporary = folder / ".pseudo_labels.npz"
            np.savez(temporary, keypoints=labels.keypoints, visible=labels.visible)
            temporary.replace(kept)
        return with_labels(unlabelled, labels.keypoints, labels.visible, name)
    with np.load(kept) as labels:
        return with_labels(unlabelled, labels["keypoints"], labels["visible"], name)


def run(job: Job) -> None:
    """Trains and evaluates one variant of one seed and writes its results; a finished run is left as it is."""
    folder, config, recipe = run_folder(job, NAME), job.config, RECIPES[job.variant]
    if finished_before(folder, job):
        return
    pictures = open_pictures(config, job.seed, job.data_dir)
    parts = parts_of(config, pictures.skeleton)
    method = build(config, pictures.skeleton, job.variant)
    start = start_of(job, parts, pictures)
    labelled = pictures.everything if recipe.everything else pictures.labelled
    unlabelled = with_pseudo_labels(job, parts, pictures, folder) if recipe.teacher else pictures.unlabelled
    start |= perceptual_start(parts) if job.variant == "gen" else {}
    print(f"{job.variant}, seed {job.seed}: {VARIANTS[job.variant].line}; {len(labelled)} labelled pictures"
          + (f", {len(unlabelled)} unlabelled" if "unlabelled" in method.streams else ""))
    begin(folder, identity_of(job, labelled_digest=pictures.digest), parts.skeleton)
    steps = steps_of_both_stages(config) if recipe.everything else config.steps
    fitted = run_fit(job, method, {"labelled": labelled, "unlabelled": unlabelled}, steps, folder, job.variant, start,
                     pictures)
    values = {f"chosen_by/{name}": value for name, value in fitted.metrics.items()} | {"chosen_by/step": fitted.step}
    values |= evaluate(method, fitted.trained, pictures.test, config, "test", details=True)
    measured = equivariance_and_peaks(method, fitted.trained, pictures.test, batch_size=2 * config.batch_size,
                                      perspective=config.perspective)
    values |= {f"test/{name}": value for name, value in measured.items()}
    draw_predictions(method, fitted.trained, pictures.test, folder / "pictures" / "test.png")
    if is_own(config):
        write_scores(folder, method, fitted.trained, pictures.validation, batch_size=2 * config.batch_size,
                     kind=SCORE_KIND)
    if "semantic" in fitted.trained.variables:
        read = read_semantic(config, parts.skeleton)
        values["test/sc_over_ln_k"] = consistency_over_chance(read, fitted.trained, pictures.test,
                                                              batch_size=2 * config.batch_size)
        draw_features(read, fitted.trained, pictures.test, folder / "pictures" / "test_features.png")
    if jax.process_index() == 0:
        save_trained(folder / "model", fitted.trained)
        # A table compares rows of equal training: every row has seen the steps of the warm start, too.
        write_results(folder, experiment=NAME, preset=job.preset, variant=job.variant, seed=job.seed,
                      steps=steps_of_both_stages(config), metrics=values, images_per_second=fitted.images_per_second,
                      wall_seconds=fitted.wall_seconds, config=asdict(config))
    print(f"{job.variant}, seed {job.seed}: test/pck {values['test/pck']:.3f}, test/equivariance_px "
          f"{values['test/equivariance_px']:.2f}, test/mean_peak {values['test/mean_peak']:.2f}"
          + (f", test/sc_over_ln_k {values['test/sc_over_ln_k']:.2f}" if "test/sc_over_ln_k" in values else ""))


def draw_features(read: ReadSemantic, trained: Trained, source: Source, path: Path) -> None:
    """The t-SNE of keypoint features on test pictures, a colour for each keypoint; told if it cannot be drawn."""
    if not can_embed():
        print("no picture of the features: scikit-learn is not installed")
        return
    features, keypoints = keypoint_features(read, trained, source)
    if jax.process_index() == 0 and len(features) > 2:
        write_png(path, scatter(embedded(features), keypoints, source.skeleton.names))


def predictor(folder: Path) -> tuple[Method, int, Place]:
    """(method, side, place) of a finished run, for predictions on other pictures: letterboxed, or cut out by
    their boxes if that is what the run learnt from."""
    config, variant, points = stored_run(folder, Config, OwnConfig)
    placement = config.placement if config.placement == "around_box" else "letterbox"
    return (build(config, points, variant), config.image_size,
            place_of(replace(config, placement=placement, pck_over="scale")))


def score_kind(folder: Path) -> str:
    """What the scores of a finished run are."""
    return SCORE_KIND


# The command line


def short_list(preset: str, config: Config) -> tuple[str, ...]:
    """The rows that a preset runs when no variants are named."""
    if is_own(config):
        return ("supervised_warped", "ours") if config.control else ("ours",)
    named = ("supervised", "supervised_warped", "mean_teacher", "pl_warped", "ours", "all_labels")
    return tuple(name for name in named if name in applicable(preset, config))


def applicable(preset: str, config: Config) -> tuple[str, ...]:
    """All rows that make sense for a preset."""
    without = (*(NEED_UNLABELLED if config.all_labelled else ()), *(("all_labels",) if is_own(config) else ()))
    return tuple(name for name in VARIANTS if name not in without)


def shortened(config: Config, steps: int) -> Config:
    """The config with `steps` steps of the method and everything else that counts steps scaled alike."""
    warm = round(config.warm_start_steps * steps / config.steps)
    return replace(config, steps=steps, warm_start_steps=max(1, warm) if config.warm_start_steps else 0)


def columns(config: Config) -> tuple[Column, ...]:
    """PCK, then what tells whether the terms of the method were learnt."""
    return (Column("test/pck", f"PCK at {100 * config.pck_threshold:g} % of {config.scale_is}", "%", 100.0, 1),
            Column("test/nme", f"mean error in {config.scale_is}", "%", 100.0, 2, "lower"),
            Column("test/equivariance_px", "equivariance error", f"px of {config.image_size}", 1.0, 2, "lower"),
            Column("test/sc_over_ln_k", "semantic consistency over ln K", "", 1.0, 2, "lower"),
            Column("test/mean_peak", "mean peak of heatmaps", "", 1.0, 2))


EXPERIMENT = Experiment(
    NAME, "keypoints from a few labelled pictures and many without labels", PRESETS, VARIANTS, short_list, applicable,
    shortened, run, columns, settled=settled,
    paper=lambda preset, config, variant: paper_numbers(preset, config.labelled, variant))
