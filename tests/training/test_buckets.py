"""Folders in buckets: objects written whole, nothing renamed or added to, a run's own id instead of
a lock.
"""

from types import SimpleNamespace

import pytest

from kpjax.errors import InputError, RunError
from kpjax.files import absolute, atomic, local_copy, read_json, remove, write_json
from kpjax.training import claims
from kpjax.training.claims import InUse
from kpjax.training.hosts import check_folder
from kpjax.training.loggers import read_rows
from kpjax.training.logging import Log
from kpjax.training.run_folder import hold_folder


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


@pytest.fixture
def others(monkeypatch):
    """Returns a function that makes this process another one, of another host, at another time."""

    def others(host, process=1, later=0.0):
        monkeypatch.setattr(claims, "_here", lambda: (host, process))
        monkeypatch.setattr(claims, "time", SimpleNamespace(time=lambda: 1e9 + later))

    others("one")
    return others


RUN = absolute("gs://box/runs/seed-0")


def test_a_run_is_claimed_by_one_process(bucket, others):
    with hold_folder(RUN) as still_held:
        still_held()
        others("two", later=claims.STALE)
        with pytest.raises(InUse, match="process 1 of one is training here"), hold_folder(RUN):
            pass
        others("one")
        still_held()
    others("two")
    with hold_folder(RUN):
        assert [path.name for path in RUN.iterdir()] == [".claim-0"]
    assert not list(RUN.iterdir())


def test_the_run_of_a_host_that_is_gone_is_taken_over_once(bucket, others):
    with hold_folder(RUN) as first_still_held:
        others("two", later=claims.STALE + 1)
        with hold_folder(RUN) as second_still_held:
            with pytest.raises(RunError, match="another process has taken this run over"):
                first_still_held()
            second_still_held()
            others("three", later=claims.STALE + 1)
            with pytest.raises(InUse, match="process 1 of two"), hold_folder(RUN):
                pass
            others("two", later=claims.STALE + 1)
    with pytest.raises(RunError, match="another process"):  # also once the other is done
        first_still_held()


def test_the_container_that_starts_anew_on_a_host_waits_for_nobody(bucket, others):
    with hold_folder(RUN), hold_folder(RUN) as still_held:  # of one number
        still_held()
    others("one", process=2**30)  # no process has it
    with hold_folder(RUN):
        others("one")
        with hold_folder(RUN) as still_held:
            still_held()


def test_of_two_that_claim_at_the_same_moment_one_gets_it(bucket, others, monkeypatch):
    with hold_folder(RUN):
        others("two")
        monkeypatch.setattr(claims, "_next_number", lambda folder: 0)  # looked before it was there
        with pytest.raises(InUse), hold_folder(RUN):
            pass
        monkeypatch.setattr(claims, "_next_number", lambda folder: 1)  # found an old one then
        with pytest.raises(InUse), hold_folder(RUN):
            pass
        assert [path.name for path in RUN.iterdir()] == [".claim-0"]


def test_an_owner_says_that_it_is_there_while_it_works(bucket, others, monkeypatch):
    monkeypatch.setattr(claims, "BEAT", 0.001)
    with hold_folder(RUN):
        others("one", later=7.0)
        times = [1e9]
        while times == [1e9]:  # while it is written again, a claim may not be there
            times = [claim.time for claim in claims._claims(RUN).values()] or times
        assert times == [1e9 + 7.0]


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
