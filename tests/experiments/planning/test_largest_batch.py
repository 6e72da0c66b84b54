"""The search for the largest batch that fits, with made memory in place of a compiler."""
import math

import pytest

from experiments.planning.report import GUESSES, LARGEST, Tried, largest_batch, largest_text

AVAILABLE = 1000.0


def found(memory, start, unit=1, refused=None):
    """The largest batch, and images of those that were compiled for it. refused: the memory of one that is refused."""
    def compiled(images):
        counts.append(images)
        needed = memory(images)
        return Tried(images, refused or needed if needed > AVAILABLE else needed, needed <= AVAILABLE)

    counts: list[float] = []
    first = compiled(start)
    return largest_batch(compiled, first, AVAILABLE, unit), counts[1:]


@pytest.mark.parametrize("start", [1, 8, 32, 61, 62, 200, 700])
def test_a_line_is_followed_to_its_end(start):
    largest, tried = found(lambda images: 70 + 15 * images, start)
    assert largest == Tried(62, 70 + 15 * 62, True)
    assert len(tried) <= 1 + GUESSES


def test_where_two_batches_fit_one_more_is_compiled():
    assert found(lambda images: 70 + 15 * images, 8)[1] == [16, 62]


@pytest.mark.parametrize("unit", [2, 3, 12])
def test_streams_stay_alike(unit):
    largest, tried = found(lambda images: 70 + 15 * images, 12, unit)
    assert largest.images == 62 // unit * unit
    assert all(images % unit == 0 for images in tried)


@pytest.mark.parametrize(("memory", "best"), [
    (lambda images: 100 + 20 * 8 * math.ceil(images / 8), 40),  # padded to 8
    (lambda images: 100 + 9 * images + 0.1 * images**2, 60)])
def test_what_is_no_line_is_found_nearly_and_fits(memory, best):
    largest, tried = found(memory, 16)
    assert largest.fits
    assert 0.8 * best <= largest.images <= best
    assert len(set(tried)) == len(tried) <= 1 + GUESSES


@pytest.mark.parametrize("start", [32, 100])
def test_a_refusal_without_a_number_halves_the_interval(start):
    largest, _ = found(lambda images: 300 + 15 * images, start, refused=AVAILABLE)
    assert largest.fits
    assert 0.8 * 46 <= largest.images <= 46


def test_nothing_fits():
    assert found(lambda images: 2000.0, 16)[0].images == 0


def test_no_batch_above_the_largest_is_tried():
    largest, tried = found(lambda images: 100 + 0.01 * images, 64)
    assert largest.images == LARGEST == max(tried)
    assert found(lambda images: 100.0, 2 * LARGEST) == (Tried(2 * LARGEST, 100.0, True), [])


def test_a_batch_at_the_end_of_the_search_says_so():
    assert largest_text(96.0) == "96"
    assert largest_text(float(LARGEST)) == f"{LARGEST} or more"
