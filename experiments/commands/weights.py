"""The command `weights`: a table of pretrained backbones, and the files of those that may be fetched."""
from pathlib import Path

from experiments.commands import Weights
from kpjax.models.weights.pretrained import KNOWN_WEIGHTS, OPEN_LICENCES, WEIGHTS_FOLDER, fetch_weights


def weights(asked: Weights) -> Path | None:
    """Prints the table, or fetches the weights of a name and returns their file. Raises as `fetch_weights` does."""
    if asked.name:
        path = fetch_weights(asked.name)
        print(f"use it: kpjax train --project P --weights {asked.name}")
        return path
    width = max(map(len, KNOWN_WEIGHTS))
    print(f"{'name':{width}}  {'network':12}  {'licence':12}  {'MB':>6}")
    for name, known in KNOWN_WEIGHTS.items():
        state = "here" if (WEIGHTS_FOLDER / f"{name}.safetensors").exists() else (
            "published as .tflite only" if known.folded else
            "" if known.licence in OPEN_LICENCES else "its licence restricts use")
        print(f"{name:{width}}  {known.network:12}  {known.licence:12}  {known.megabytes:6g}  {state}".rstrip())
    print(f"fetch one: kpjax weights NAME, into {WEIGHTS_FOLDER}")
    return None
