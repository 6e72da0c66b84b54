"""Images of a project that do not fit into memory: decoded once, and the same examples."""

import importlib

import numpy as np
import pytest
from own_projects import synthetic_project

from kpjax.errors import InputError
from kpjax.formats import decoded
from kpjax.images.transforms import Letterbox
from kpjax.input.source import stack_examples, subset

# the package has a function of that name
sources = importlib.import_module("kpjax.formats.project_source")
FEW = 8 * 3 * 16**2  # bytes of eight images


@pytest.fixture
def small_memory(tmp_path, monkeypatch):
    """Where eight images of 16 px are too many for memory, in a cache of its own."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr(decoded, "IN_MEMORY", FEW)
    monkeypatch.setattr(decoded, "SPARE", 0)
    return tmp_path / "cache" / "kpjax" / "decoded"


def test_examples_on_the_disc_are_those_in_memory_and_are_decoded_once(
    small_memory, tmp_path, monkeypatch, capsys
):
    project = synthetic_project(tmp_path / "P")
    monkeypatch.setattr(decoded, "IN_MEMORY", 2**30)
    known = sources.project_source(project, Letterbox(16))
    assert not small_memory.exists()
    monkeypatch.setattr(decoded, "IN_MEMORY", FEW)
    found = sources.project_source(project, Letterbox(16))
    assert isinstance(found.examples.image, np.memmap)
    assert "are decoded once" in capsys.readouterr().out
    for mine, theirs in zip(found.examples, known.examples, strict=True):
        np.testing.assert_array_equal(mine, theirs)
    assert found.names == known.names

    monkeypatch.setattr(sources, "images_of", lambda frames: pytest.fail("decoded again"))
    again = sources.project_source(project, Letterbox(16))
    assert (again.digest, again.names) == (found.digest, found.names)
    some = stack_examples([subset(again, [3, 1])[number] for number in range(2)])
    np.testing.assert_array_equal(some.image, known.examples.image[[3, 1]])


def test_another_label_size_or_pixel_is_decoded_anew(small_memory, tmp_path):
    project = synthetic_project(tmp_path / "P")
    first = sources.project_source(project, Letterbox(16)).digest
    moved = project.instances[0]._replace(keypoints=project.instances[0].keypoints + 1)
    others = [
        sources.project_source(
            project._replace(instances=(moved, *project.instances[1:])), Letterbox(16)
        ),
        sources.project_source(project, Letterbox(20)),
    ]
    path = project.frames[0].path
    path.write_bytes(project.frames[1].path.read_bytes())
    others.append(sources.project_source(project, Letterbox(16)))
    assert len({first, *(one.digest for one in others)}) == 4
    assert len(list(small_memory.glob("[!.]*"))) == 4


def test_frames_that_cannot_be_read_leave_no_gap(small_memory, tmp_path, capsys):
    project = synthetic_project(tmp_path / "P")
    whole = sources.project_source(project, Letterbox(16))
    project.frames[2].path.write_bytes(b"")
    with pytest.raises(InputError, match="1 of 12 frames cannot be read"):
        sources.project_source(project, Letterbox(16))
    found = sources.project_source(project, Letterbox(16), on_bad_frame="skip")
    assert "left out 1 of 12 frames" in capsys.readouterr().err
    kept = np.delete(np.arange(12), 2)
    np.testing.assert_array_equal(found.examples.image, whole.examples.image[kept])
    assert found.names == tuple(whole.names[number] for number in kept)


def test_a_disc_without_room_is_said_before_anything_is_decoded(
    small_memory, tmp_path, monkeypatch
):
    monkeypatch.setattr(decoded, "SPARE", 2**60)
    with pytest.raises(InputError, match="GB are free; name another place with XDG_CACHE_HOME"):
        sources.project_source(synthetic_project(tmp_path / "P"), Letterbox(16))
    assert not small_memory.exists()
