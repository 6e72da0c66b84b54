"""Semi-supervised keypoint localization (Moskvyak et al., ICLR 2021): a few labelled images and
many without labels.

`--labelled` up to 1 is a share of the training images, above it a count; seed n draws subset n, and
smaller subsets lie in larger ones. All variants of a seed start from one warm start, supervised on
the labelled images. It stands in for ImageNet weights where there are none; the paper's presets
have no warm start. Test images are evaluated once, at the end.

The paper stops when the validation accuracy has stopped improving. So do its presets and
`athletes`: after `--patience` evaluations in a row that were no better, a number that it does not
print, and the best of all is the result. Validation images are labelled, too: 500 in the demo,
beside 20 that train. So all other presets take the last of their steps, which needs no label;
`--selection validation --patience 10` stops them likewise. Every run stores which step the
validation images choose.

`supervised_warped` is the control: the labels alone, with the method's own warp on half of each
labelled batch.
"""

from kpjax.papers.engine import Paper, Predicting
from kpjax.papers.semi_supervised.config import SYNTHETIC, Config
from kpjax.papers.semi_supervised.measures import columns, draw, measure
from kpjax.papers.semi_supervised.rivals import ON_PEOPLE, TAUGHT
from kpjax.papers.semi_supervised.stages import CHOOSING, SCORE_KIND, Data
from kpjax.papers.semi_supervised.variants import VARIANTS

OF_PEOPLE = ("lspet/", "lsp/", "mpii/")  # sets on which a published network of people is measured


def applicable(preset: str, config: Config) -> tuple[str, ...]:
    """Returns the variants that suit a preset."""
    unsuited = TAUGHT if config.data.all_labelled else ()
    unsuited += () if config.data.test.startswith(OF_PEOPLE) else ON_PEOPLE
    return tuple(name for name in VARIANTS if name not in unsuited)


PAPER = Paper(
    "semi_supervised",
    "a few labelled images, and many without labels (SSKL, ICLR 2021)",
    SYNTHETIC,
    VARIANTS,
    lambda job, data: {"test": data.test},
    measure,
    columns,
    predicting=lambda stored: Predicting(
        VARIANTS[stored.variant].method(stored.config, stored.skeleton),
        stored.config.data.square_of_new(),
        VARIANTS[stored.variant].score_kind,
    ),
    short_list=lambda preset, config: (
        "supervised",
        "supervised_warped",
        "pl_warped",
        "sskl",
        "all_labels",
    ),
    applicable=applicable,
    draw=draw,
    choices=lambda config: {"best_validation": CHOOSING},
)
__all__ = ["PAPER", "SCORE_KIND", "VARIANTS", "Config", "Data"]
