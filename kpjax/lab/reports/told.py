"""What a report says first: the answer to what the user of a system asks, in sentences."""

from collections.abc import Callable, Sequence

from kpjax.training.finished_runs import FinishedRun

# (the run that is shown, those of the other variants) -> sentences
Told = Callable[[FinishedRun, Sequence[FinishedRun]], Sequence[str]]
FRAMES = 12  # frames of pictures, at equal steps


def nothing_told(run: FinishedRun, others: Sequence[FinishedRun]) -> Sequence[str]:
    """Returns that errors on labels say all there is to say."""
    return ()


def besides(
    others: Sequence[FinishedRun], metric: str, factor: float = 1.0, decimals: int = 0
) -> str:
    """Returns " (untrained 3, keynet 12)" of those that have the metric, "" if none has."""
    known = [
        f"{run.variant} {factor * run.metrics[metric]:.{decimals}f}"
        for run in others
        if metric in run.metrics
    ]
    return f" ({', '.join(known)})" if known else ""
