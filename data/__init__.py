"""Datasets: one module per dataset, each with a tfds builder and a check of the downloaded files.

`python -m data` lists them; `python -m data NAME --manual-dir PATH` checks a downloaded folder and prepares it;
`data.prepared.open_source` opens a prepared dataset. Modules named `figure*`, `tabletop` and `dsprites` render
synthetic data in memory, with nothing to download.

To add a dataset, add one module: a subclass of `prepared.KeypointBuilder`, whose `splits` returns the records of each
split, and `DATASET = Dataset(...)`, by which the command finds it. A `read(folder, faults)` function that returns
`annotations.Annotation`s can use the readers and checks of `data.checking`; every fault is one line with file, field
and remedy. Test it on a few images in the dataset's true format, written by the test.
"""
