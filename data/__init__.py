"""Datasets: one module per dataset, each with a declaration and a check of the downloaded files.

`python -m data` lists them; `python -m data NAME --manual-dir PATH` checks a downloaded folder and
prepares it; `data.prepared.open_source` opens a prepared dataset, and tfds knows all of them, as
`tfds.builder("kpjax/tabletop")`. Modules named `figure*`,
`tabletop` and `dsprites` render synthetic data in memory, with nothing to download.

To add a dataset, add one module: a `read(folder, faults)` function that returns
`annotations.Annotation`s with the readers and checks of `data.checking`, and `DATASET =
downloaded_dataset(...)`, by which the command finds it. The set has the module's name, by which a
plan finds its skeleton. Every fault is one line with file, field and remedy. Sets of another kind
declare a `prepared.Dataset`, whose `splits` returns the records of each split. Add a few images in
the dataset's true format to the contract in tests/data.
"""

from importlib.util import find_spec

# For users of tfds, where it is installed: `tfds.builder("kpjax/tabletop")`.
if find_spec("tensorflow_datasets"):
    from data import builders as builders
