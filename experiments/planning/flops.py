"""Products of a traced step, by part: what the method asks for, whatever a compiler makes of it."""
import math
from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any

from experiments.planning.estimate import part_of
from experiments.planning.hlo import Frame


def product_flops(jaxpr: Any, platform: str) -> Mapping[str, float]:
    """Counts the operations of all convolutions and dot products of a jaxpr, two for a multiplication and addition.

    By part, see `part_of`. Zeros that a stride puts between inputs do not count. The body of a loop counts as often as
    it runs where that is known, once elsewhere. Of the branches of a condition all count, but of those by platforms
    only that of `platform`.
    """
    found: dict[str, float] = defaultdict(float)
    _add(jaxpr, platform, 1.0, "", (), found)
    return dict(found)


def _add(jaxpr: Any, platform: str, times: float, path: str, above: tuple[Frame, ...], found: dict[str, float]) -> None:
    for equation in jaxpr.eqns:
        name, info = equation.primitive.name, equation.source_info
        here = f"{path}/{info.name_stack}"
        if name in ("conv_general_dilated", "dot_general"):
            stack = above + _frames(info.traceback)
            found[part_of(here, stack) or "other"] += times * _products(equation)
        inner = times * equation.params["length"] if name == "scan" else times
        params = dict(equation.params)
        if by_platform := params.get("branches_platforms"):
            params = {"branches": _branch(params["branches"], by_platform, platform)}
        for value in params.values():
            for one in value if isinstance(value, (tuple, list)) else (value,):
                body = getattr(one, "jaxpr", one)  # closed or not
                if hasattr(body, "eqns"):
                    _add(body, platform, inner, here, above + _frames(info.traceback), found)


def _branch(branches: Sequence[Any], platforms: Sequence[Sequence[str] | None], platform: str) -> Any:
    """Returns the branch of a platform, the one without platforms where none names it."""
    return next(branch for branch, names in zip(branches, platforms, strict=True) if names is None or platform in names)


def _frames(traceback: Any) -> tuple[Frame, ...]:
    """Returns the frames of an equation, the outermost first."""
    return () if traceback is None else tuple(
        Frame(frame.file_name, frame.function_name) for frame in reversed(list(traceback.frames)))


def _products(equation: Any) -> float:
    left, right = (variable.aval for variable in equation.invars[:2])
    out = equation.outvars[0].aval
    if equation.primitive.name == "dot_general":
        (contracted, _), _ = equation.params["dimension_numbers"]
        return 2.0 * math.prod(out.shape) * math.prod(left.shape[axis] for axis in contracted)
    features = right.shape[equation.params["dimension_numbers"].rhs_spec[0]]
    return 2.0 * math.prod(out.shape) * math.prod(right.shape) / features / math.prod(equation.params["lhs_dilation"])
