"""The command `weights`: a table of pretrained backbones, and the files of those that may be
fetched.
"""

from pathlib import Path

from kpjax.lab.commands import Weights
from kpjax.models.weights import pretrained


def weights(asked: Weights) -> Path | None:
    """Prints the table, or fetches the weights of a name and returns their file.

    Raises as `fetch_weights` does.
    """
    if asked.name:
        path = pretrained.fetch_weights(asked.name)
        print(
            "use it: kpjax predict movenet VIDEO --out points --overlay"
            if path.suffix == pretrained.TFLITE_FILE
            else f"use it: kpjax train --project P --weights {asked.name}"
        )
        return path
    width, folder = max(map(len, pretrained.KNOWN_WEIGHTS)), pretrained.WEIGHTS_FOLDER
    print(f"{'name':{width}}  {'network':12}  {'licence':12}  {'MB':>6}")
    for name, known in pretrained.KNOWN_WEIGHTS.items():
        state = "" if known.licence in pretrained.OPEN_LICENCES else "its licence restricts use"
        if pretrained.at_hand(name):
            state = "here"
        elif known.folded_sha256:
            here = (folder / known.folded).is_file()
            state = f"{'here' if here else 'published'} as .tflite, for predictions"
        elif known.folded:
            state = "published as .tflite only"
        print(
            f"{name:{width}}  {known.network:12}  {known.licence:12}  {known.megabytes:6g}  {state}".rstrip()
        )
    print(f"fetch one: kpjax weights NAME; files of your own: {folder}")
    return None
