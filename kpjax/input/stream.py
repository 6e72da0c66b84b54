"""Batches as a function of the step: the position in the data is the step, so nothing else has to be saved."""
from dataclasses import dataclass, field

import grain

from kpjax.errors import InputError
from kpjax.input.source import Source, stacked, strip_labels
from kpjax.structures import Example


@dataclass(frozen=True, eq=False)
class BatchStream:
    """An endless stream of batches by number: `stream[step]` has this process's rows of global batch `step`.

    Consecutive global batches go through one permutation of the source after another, across their borders: every
    epoch shows every example once. Joined in the order of the processes, the rows are the same for any number of them.
    A batch that is larger than its set crosses a border or several, so its examples occur equally often, up to one.
    """

    source: Source
    batch_size: int  # of all processes together
    labelled: bool
    rows: range  # of each global batch, those of this process
    repeats: bool  # whether a batch may be larger than its set, and then shows examples twice
    order: grain.MapDataset = field(repr=False)  # position in the endless sequence -> number in the source

    def __getitem__(self, step: int) -> Example:
        numbers = [int(self.order[step * self.batch_size + row]) for row in self.rows]
        batch = stacked([self.source[number] for number in numbers])
        return batch if self.labelled else strip_labels(batch)


def _rows(batch_size: int, process_index: int, process_count: int, name: str) -> range:
    if batch_size % process_count:
        raise InputError(f"{name}: a batch of {batch_size} cannot be divided among {process_count} processes; "
                         f"use a multiple of {process_count}")
    share = batch_size // process_count
    return range(process_index * share, (process_index + 1) * share)


def stream(
    source: Source, *, batch_size: int, seed: int, shuffle: bool = True, labelled: bool = True,
    repeats: bool = False, process_index: int = 0, process_count: int = 1,
) -> BatchStream:
    """The batches of a source for training.

    batch_size: of all processes together. seed: of the shuffling, 0 <= seed < 2**32. labelled: False strips the
    labels, so that no method can read them. repeats: True allows a batch larger than the source, for a handful of
    labelled images beside many others. Raises InputError for a batch larger than the source without it, or one that
    the processes cannot share equally.
    """
    count = len(source)
    if count == 0:
        raise InputError(f"{source.name}: there is no example in it")
    if batch_size < 1:
        raise InputError(f"{source.name}: the batch size is {batch_size}; give at least 1")
    if batch_size > count and not repeats:
        raise InputError(f"{source.name}: the batch size is {batch_size}, but there are {count} examples; "
                         f"choose 1 to {count}")
    rows = _rows(batch_size, process_index, process_count, source.name)
    order = grain.MapDataset.range(count)
    if shuffle:
        order = order.seed(seed).shuffle()
    return BatchStream(source, batch_size, labelled, rows, repeats, order.repeat())
