"""Learning keypoints from labelled images, and nothing else: the reference of every comparison.

Command   python -m experiments.supervised demo                            (2 CPU cores, seconds, renders its own data)
          python -m data deeplabcut --manual-dir my-project                (any DeepLabCut project of one animal)
          python -m experiments.supervised openfield                       (2 CPU cores, about 2 minutes)
          python -m experiments.supervised faces                           (2 CPU cores, about 3 minutes)
          kpjax predict runs/supervised/openfield/supervised/seed-0 IMAGES --out FOLDER
Expected  the table in experiments/RESULTS.md
"""
from experiments.images import open_images
from experiments.keypoints import skeleton_of
from kpjax.systems import configs, supervised
from kpjax.systems.supervised import SMALL, Config

PRESETS: dict[str, Config] = {
    "demo": configs.changed(
        SMALL, summary="synthetic people; 2 cores, seconds", train="figures:source", scale_is="the image's side",
        pck_threshold=0.05, image_size=64, heatmap_size=16, sigma=1.0, steps=300, rotation=30.0, zoom=(0.9, 1.2),
        shift=0.05, jitter=0.25, blur=0.8, evaluations=6, training_examples=500, test_examples=100),
    "openfield": configs.changed(
        SMALL, summary="a mouse from above, or any DeepLabCut project of one animal; 2 cores, minutes",
        train="deeplabcut/train", validation="deeplabcut/tune", test="deeplabcut/test",
        scale_is="the labelled body's diagonal"),
    "faces": configs.changed(
        SMALL, summary="68 keypoints of faces in videos; 2 cores, minutes", train="youtube_faces/train",
        validation="youtube_faces/tune", test="youtube_faces/test", scale_is="the distance between the eyes",
        heatmap_size=32, sigma=1.0,
        widths=(16, 32, 64, 64, 128, 128), head_width=64, rotation=30.0, flip=True),
}

SYSTEM = supervised.SYSTEM._replace(
    presets=PRESETS, keypoints=skeleton_of, open=lambda job: open_images(job.config.data, job.seed, job.data_dir))
