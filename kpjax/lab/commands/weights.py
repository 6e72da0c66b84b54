"""The command `weights`: a table of pretrained backbones, and the files of those that may be
fetched.
"""

from pathlib import Path

from kpjax.lab.commands import Weights
from kpjax.models.weights import pretrained

PLACES = {"kpjax": "inside kpjax", "hub": "on the hub", "yours": "a file of your own"}


def weights(asked: Weights) -> Path | None:
    """Prints the table, or fetches the weights of a name and returns their file.

    Raises as `fetch_weights` does.
    """
    if asked.name:
        path = pretrained.fetch_weights(asked.name)
        print(f"use it: kpjax train --project P --weights {asked.name}")
        return path
    width, folder = max(map(len, pretrained.KNOWN_WEIGHTS)), pretrained.WEIGHTS_FOLDER
    print(f"{'name':{width}}  {'network':12}  {'licence':12}  {'MB':>6}  {'where':18}  sha256")
    for name, known in pretrained.KNOWN_WEIGHTS.items():
        place = PLACES[known.place]
        if known.place != "kpjax" and pretrained.at_hand(name):
            place = "here"
        print(
            f"{name:{width}}  {known.network:12}  {known.licence:12}  {known.megabytes:6g}  {place:18}  "
            f"{known.sha256[:12]}"
        )
    print(f"fetch one: kpjax weights NAME; files of your own: {folder}")
    return None
