"""Folders in buckets: objects written whole, nothing renamed or added to."""

import pytest

from kpjax.errors import InputError
from kpjax.files import absolute, atomic, local_copy, read_json, remove, write_json
from kpjax.training.hosts import check_folder
from kpjax.training.loggers import read_rows
from kpjax.training.logging import Log


def test_a_file_and_a_folder_are_one_put_for_each_file(bucket):
    path = absolute("gs://box/runs/results.json")
    write_json(path, {"steps": 3})
    assert read_json(path) == {"steps": 3}
    with atomic(path.parent / "model") as folder:
        folder.mkdir()
        (folder / "one").write_bytes(b"1")
        (folder / "two").write_bytes(b"2")
    assert sorted(bucket.puts[1:]) == ["gs://box/runs/model/one", "gs://box/runs/model/two"]
    with local_copy(path.parent / "model" / "two") as local:
        assert local.read_bytes() == b"2"
    with pytest.raises(ZeroDivisionError), atomic(path) as partial:
        partial.write_text(str(1 / 0))
    assert read_json(path) == {"steps": 3}
    remove(path.parent)
    assert not path.exists()


def test_a_log_is_kept_with_every_checkpoint_and_goes_on(bucket):
    folder = absolute("gs://box/runs/seed-0")
    with Log(folder, "main", 0, 4, quiet=True) as log:
        log.row(1, {"loss": 1.0})
        assert not (folder / "metrics.jsonl").exists()
        log.keep()
        log.row(2, {"loss": 2.0})
        assert len(read_rows(folder / "metrics.jsonl")) == 1  # what a killed process leaves
    with Log(folder, "main", 1, 4, quiet=True) as log:
        log.row(2, {"loss": 3.0})
    assert [row["loss"] for row in read_rows(folder / "metrics.jsonl")] == [1.0, 3.0]


@pytest.mark.parametrize(
    "fault",
    [
        OSError("Forbidden: box\nno permission"),
        FileNotFoundError("box"),
        RuntimeError("429"),
        RuntimeError("503, Service Unavailable"),
        ImportError("Please install gcsfs"),
    ],
)
def test_a_bucket_that_refuses_is_named_in_one_line(bucket, fault):
    """What is worth another try (429, 503) gcsfs tries again by itself."""
    bucket.fault = fault
    with pytest.raises(InputError, match=r"^gs://box/runs/.*cannot be written: .*gcsfs.*\Z"):
        check_folder(absolute("gs://box/runs"))
