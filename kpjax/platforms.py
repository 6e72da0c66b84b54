"""The one place where a computation takes another form on another platform.

CPUs, GPUs and TPUs are fast in different forms of the same sum. What counts is the devices that a
program is compiled for, which is the mesh's business: a CPU compiles programs for TPUs that it does
not have, and an exported predictor runs wherever it is loaded. So nothing here asks for the default
backend. All forms are traced, and when the program is lowered for a platform, only that platform's
form enters it. Where one program is exported for several platforms, all forms do, and the one that
runs is chosen before it is compiled.

To trace all forms, and to derive them, takes up to twice as long as one alone. So where the devices
of a program are known before it is traced, as those of a step on a mesh are, it is traced `with
known_platform(device.platform)`.
"""

import contextlib
import functools
from collections.abc import Callable, Mapping
from typing import Any

import jax
from jax.extend.core import ClosedJaxpr, Jaxpr, Literal

# A context for tracing: `by_platform` takes one form alone, and the program is compiled for that
# platform and no other.
# It is a part of the keys under which JAX keeps traces, so that no trace of a function serves
# another platform.
known_platform = jax.make_user_context(None)


def by_platform(
    *arrays: Any,
    cpu: Callable[..., Any] | None = None,
    tpu: Callable[..., Any] | None = None,
    default: Callable[..., Any],
) -> Any:
    """Computes one of several forms of a function of arrays, that of the platform which the program
    is compiled for.

    The forms take the same arrays and return the same shapes and dtypes, and the same values up to
    rounding. The result can be differentiated, vmapped and rematerialised if its forms can; in a
    program for one platform no other form leaves anything, and `with known_platform(...)` no other
    form is traced. Outside of `jax.jit` each call compiles a program of its own.

    Args:
        arrays: what every form takes, pytrees of arrays.
        cpu, tpu: the forms for CPUs and TPUs, by default that of all others.
        default: the form for all others.
    """
    forms = {
        name: form for name, form in (("cpu", cpu), ("tpu", tpu)) if form not in (None, default)
    }
    if not forms or known_platform.value:
        return forms.get(known_platform.value, default)(*arrays)
    return jax.lax.platform_dependent(*arrays, default=default, **forms)


def run_once(
    function: Callable[..., Any], *, platform: str = "", **options: Any
) -> Callable[..., Any]:
    """Returns `jax.jit` of a function that runs once, as all that draws first variables does.

    For CPUs it is not optimised: compiling takes a tenth of the time. Numbers may differ from those
    of an optimised program in the last bit, so whatever must agree goes through here.

    platform: of its devices, by default that on which JAX computes. options: of `jax.jit`.
    """
    on_cpu = (platform or jax.default_backend()) == "cpu"
    return jax.jit(function, compiler_options=_quick_options() if on_cpu else None, **options)


@functools.cache
def _quick_options() -> dict[str, Any]:
    """Returns the options of a compiler for CPUs that leave a program as it is written, as far as
    this jaxlib knows them: it refuses others."""
    known: dict[str, Any] = {}
    for name, value in (
        ("xla_backend_optimization_level", 0),
        ("xla_cpu_use_fusion_emitters", False),
    ):
        tried = known | {name: value}
        with contextlib.suppress(RuntimeError), jax.default_device(jax.devices("cpu")[0]):
            jax.jit(lambda x: x, compiler_options=tried).lower(0.0).compile()
            known = tried
    return known


def form_of(
    platform: str,
    traced: ClosedJaxpr,
    instead: Mapping[str, Callable[..., Any]] = {},
) -> Callable[..., list[Any]]:
    """Returns a traced function as it is computed on one platform, for tools that read a trace and
    know no platforms.

    platform: one that no form is for has the default ones. instead: functions that take the place of
    operations by their names, with the same arguments; each has one result. Choices inside of loops
    and of functions with rules of their own for gradients stay choices.
    """

    def evaluate(jaxpr: Jaxpr, constants, arguments):
        known = dict(zip([*jaxpr.constvars, *jaxpr.invars], [*constants, *arguments], strict=True))
        for equation in jaxpr.eqns:
            given = [
                one.val if isinstance(one, Literal) else known.get(one) for one in equation.invars
            ]
            inner = equation.params.get("jaxpr")
            platforms = equation.params.get("branches_platforms")
            if equation.primitive.name == "platform_index":
                continue
            if platforms:
                chosen = next(
                    number
                    for number, names in enumerate(platforms)
                    if names is None or platform in names
                )
                branch = equation.params["branches"][chosen]
                found = evaluate(branch.jaxpr, branch.consts, given[1:])
            elif equation.primitive.name in ("jit", "remat2", "checkpoint"):
                closed = isinstance(inner, ClosedJaxpr)
                found = evaluate(
                    inner.jaxpr if closed else inner, inner.consts if closed else (), given
                )
            elif equation.primitive.name in instead:
                found = [instead[equation.primitive.name](*given, **equation.params)]
            else:
                found = equation.primitive.bind(
                    *given, **equation.primitive.get_bind_params(equation.params)
                )
                found = found if equation.primitive.multiple_results else [found]
            known.update(zip(equation.outvars, found, strict=True))
        return [one.val if isinstance(one, Literal) else known[one] for one in jaxpr.outvars]

    return lambda *arguments: evaluate(traced.jaxpr, traced.consts, arguments)
