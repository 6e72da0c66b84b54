"""Projects of people under the names that a published network of human pose gives its keypoints."""
import textwrap
from collections.abc import Callable, Mapping, Sequence

from kpjax import InputError, Skeleton
from kpjax.errors import summarise
from kpjax.lab.formats.project import Project
from kpjax.lab.out.reports.pixel_errors import LINE
from kpjax.systems.person import KEYPOINTS, WITH_HEAD, WORKED_OUT, names_of_person


def renamed(project: Project, tell: Callable[[str], None], *, known: Sequence[str] = WITH_HEAD.names,
            needed: bool = True) -> Project:
    """Returns a project whose keypoints have MoveNet's names where they are among `known`, and tells which.

    Raises InputError if there is none, and one is needed.
    """
    names = project.skeleton.names
    changed = tuple(new if new in known else old for old, new in zip(names, names_of_person(names), strict=True))
    same = {new: old for old, new in zip(names, changed, strict=True) if new in known}
    if not same and needed:
        raise InputError("project", f"{project.root} labels {summarise(list(names))}; none is a person's by its name, "
                         f"such as {', '.join(KEYPOINTS[:1] + KEYPOINTS[5:9])}")
    if same:
        _tell_pairs("the same by their names", same, tell)
    if worked_out := [f"{name}, {how}" for name, how in WORKED_OUT.items() if name in same]:
        tell(_wrapped(f"worked out, since MoveNet does not find it: {'; '.join(worked_out)}"))
    return project._replace(skeleton=Skeleton(changed, project.skeleton.edges, project.skeleton.flip,
                                              project.skeleton.groups))


def _tell_pairs(words: str, same: Mapping[str, str], tell: Callable[[str], None]) -> None:
    pairs = ", ".join(name if name == theirs else f"{name} = {theirs}" for name, theirs in same.items())
    tell(_wrapped(f"{words}: {pairs}"))


def _wrapped(text: str) -> str:
    return "\n".join(textwrap.wrap(text, LINE, break_on_hyphens=False))
