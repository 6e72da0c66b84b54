"""Trains methods that have begun elsewhere up to their last step: reads lines `name<TAB>folder`, answers each."""
import contextlib
import faulthandler
import pathlib
import runpy
import sys
import traceback

CUT, WHOLE = 2, 4  # steps before and after the change of process
TESTS = pathlib.Path(__file__).parents[1]
PATIENCE = 300  # seconds for one method


def one_device():
    """The first device alone."""
    import jax
    from jax.sharding import AxisType

    return jax.make_mesh((1,), ("data",), axis_types=(AxisType.Auto,), devices=jax.devices()[:1])


def train(method, folder, steps, streams=None):
    """A run of `fit`, which saves its last step."""
    import jax
    from tiny_parts import endless, start

    from kpjax.training.fit import FitOptions, fit

    streams = {name: endless(name) for name in method.streams} if streams is None else streams
    return fit(method, streams, steps=steps, key=jax.random.key(4), stage="contract", folder=folder, start=start(),
               config={}, options=FitOptions(mesh=one_device(), save_every=WHOLE, quiet=True))


def main():
    from tiny_parts import build, factories

    for line in sys.stdin:
        name, folder = line.rstrip("\n").split("\t")
        faulthandler.dump_traceback_later(PATIENCE, exit=True)
        answer = "done"
        try:
            with contextlib.redirect_stdout(sys.stderr):
                train(build(factories()[name]), pathlib.Path(folder), WHOLE)
        except Exception:
            answer = repr(traceback.format_exc())
        faulthandler.cancel_dump_traceback_later()
        print(answer, flush=True)


if __name__ == "__main__":
    sys.path[:0] = [str(TESTS.parent), str(TESTS / "methods")]
    runpy.run_path(str(TESTS / "conftest.py"))  # the devices and the compile cache of the tests
    main()
