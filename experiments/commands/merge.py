"""The command `merge`: labels that come back, in the project that they belong to."""
import shlex
from collections.abc import Callable
from pathlib import Path

from experiments.commands import Merge
from kpjax.annotations.merging import BACKUP, merged, write_merged
from kpjax.annotations.reading import read_project
from kpjax.annotations.writing import scorer_of
from kpjax.errors import summarise
from kpjax.reports.pixel_errors import counted


def merge(asked: Merge, *, tell: Callable[[str], None] = print) -> list[Path]:
    """Merges one project into another and returns the files of labels that changed, none if there is nothing new.

    Raises InputError as `read_project` and `merged` do, and RunError, after everything is as it was, if the result does
    not read back.
    """
    options = {"category": asked.category, "video_root": asked.video_root, "pixels_from": asked.pixels_from,
               "rescale_labels": asked.rescale_labels}
    old, new = read_project(asked.old, **options), read_project(asked.new, video_root=asked.video_root)
    found = merged(old, new, conflicts=asked.conflicts)
    labelled = len({one.frame for one in old.instances})
    tell(f"{asked.old}: {old.format}, {labelled} labelled frames; {asked.new}: {new.format}, "
         f"{len({one.frame for one in new.instances})}")
    if found.same:
        tell(f"{counted(found.same, 'frame')} with the same labels in both")
    if found.kept:
        tell(f"{counted(len(found.kept), 'frame')} with the old labels still: {summarise(found.kept)}")
    if not found.added and not found.replaced:
        tell("nothing is new; no file was changed")
        return []
    changed = write_merged(old, found, asked.old)
    scorer = f", by {name}" if (name := scorer_of(old)) else ""
    tell(f"{counted(len(found.added), 'new frame')}{scorer}; {counted(len(found.copies), 'copied image')}")
    if found.replaced:
        tell(f"{counted(len(found.replaced), 'frame')} with new labels: {summarise(found.replaced)}")
    tell(f"changed, the former files beside them end in {BACKUP}: {', '.join(str(file) for file in changed[:4])}"
         f"{f' and {len(changed) - 4} more' if len(changed) > 4 else ''}")
    tell(f"next: kpjax train --project {shlex.quote(str(asked.old))} --start RUN --workdir NEW_FOLDER goes on from "
         "an earlier run")
    return changed
