"""The keypoints of the sets that presets name, without their images: what a plan needs of them."""

import importlib

from kpjax import InputError, Skeleton
from kpjax.input.source import chosen_keypoints


def skeleton_of(name: str) -> Skeleton:
    """Returns the skeleton of a set by the name that a config gives it.

    Raises InputError for an unknown one.
    """
    family, _, which = name.partition(":")
    dataset = family.partition("/")[0]
    if family in ("recoloured", "plain"):
        from data.bodies import NEVER_LABELLED

        found, left_out = skeleton_of(which), NEVER_LABELLED if which == "lspet" else ()
        return chosen_keypoints(
            found, [k for k, one in enumerate(found.names) if one not in left_out]
        )
    if family == "bodies":
        from data.bodies import BODY

        return BODY
    if family == "rendered":
        from experiments.adaptation.images import CATEGORIES

        return CATEGORIES[which].skeleton
    if family == "sprites":
        from data.dsprites import SKELETON

        return SKELETON
    if family == "videos_of_figures":
        from data.figure_actions import SEVENTEEN

        return SEVENTEEN
    try:
        return importlib.import_module(f"data.{dataset}").DATASET.skeleton(None)
    except (ImportError, AttributeError, TypeError, InputError) as error:
        raise InputError(
            f"{name}: its keypoints are only known from its data ({error}); plan a preset of another set"
        ) from None
