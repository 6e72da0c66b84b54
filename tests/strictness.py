"""Strictness for every test: shapes are checked, no silent promotion of ranks or dtypes; fixtures
of all files.
"""

import ctypes
import gc
import os
import pathlib
import platform
import sys
from contextlib import nullcontext

import fsspec
import jaxtyping

# Shapes and dtypes in the signatures of public functions are checked in tests, and cost nothing
# outside them.
CHECKED = ["kpjax.heatmaps", "kpjax.geometry", "kpjax.evaluation.metrics", "kpjax.losses"]
hook = jaxtyping.install_import_hook(CHECKED, "beartype.beartype")
hook.__enter__()

import jax
import numpy as np
import pytest
from etils.epath import backend, gpath

from kpjax.allocator import keep_freed_memory
from kpjax.platforms import known_platform
from kpjax.training.process import forget_programs

keep_freed_memory()
# bytes that a worker may hold when a file of tests begins; without programs it holds up to 2**30
MEMORY = 5 * 2**28
CACHE = pathlib.Path(__file__).parents[1] / ".cache" / "jax"
jax.config.update("jax_compilation_cache_dir", str(CACHE))
# Every program: to write them takes 2 % of a first run's time, and spares a next one half of it.
jax.config.update("jax_persistent_cache_min_compile_time_secs", 0)
jax.config.update("jax_numpy_dtype_promotion", "strict")
jax.config.update("jax_numpy_rank_promotion", "raise")


def pytest_collection_finish():
    """What was imported stays to the end: the garbage collector need not look at it again."""
    gc.collect()
    gc.freeze()


def resident_bytes():
    """Memory that this process holds, where the system says so."""
    pages = pathlib.Path("/proc/self/statm")
    return int(pages.read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") if pages.exists() else 0


@pytest.fixture(scope="module", autouse=True)
def room_for_programs():
    """A worker compiles and traces more programs than a process can hold: a file of tests begins
    with few.
    """
    if not forget_programs() and resident_bytes() > MEMORY:
        jax.clear_caches()
        gc.collect()
        if platform.libc_ver()[0] == "glibc":  # the allocator keeps what is freed
            ctypes.CDLL("libc.so.6").malloc_trim(0)


@pytest.fixture
def close(request):
    """close(found, expected, rtol=..., atol=...): a test that takes it is traced as one program and
    compared when that has run, so that its many small operations are compiled at once. A module may
    have a TOLERANCE."""
    usual = getattr(request.module, "TOLERANCE", {"rtol": 1e-5, "atol": 1e-6})

    def close(found, expected, **tolerance):
        close.comparisons.append(
            ((found, expected), usual | tolerance, f"line {sys._getframe(1).f_lineno}")
        )

    close.comparisons = []
    return close


@pytest.hookimpl(tryfirst=True)
def pytest_pyfunc_call(pyfuncitem):
    """Runs a test that takes `close` as one program."""
    close = pyfuncitem.funcargs.get("close")
    if close is None:
        return None

    def traced():
        pyfuncitem.obj(
            **{name: pyfuncitem.funcargs[name] for name in pyfuncitem._fixtureinfo.argnames}
        )
        return [pair for pair, _, _ in close.comparisons if has_tracers(pair)]

    def has_tracers(pair):
        return any(isinstance(leaf, jax.core.Tracer) for leaf in jax.tree.leaves(pair))

    computed = iter(jax.jit(traced)())
    for pair, tolerance, place in close.comparisons:
        np.testing.assert_allclose(
            *(next(computed) if has_tracers(pair) else pair), **tolerance, err_msg=place
        )
    return True


@pytest.fixture(autouse=True, scope="module")
def folders_in_one_form(request):
    """Programs of networks are traced in the plain form alone, which is the shortest.

    Tests of layers compare it with those of CPUs and TPUs, and programs for a mesh take that of its
    devices.
    """
    place = request.path.relative_to(pathlib.Path(__file__).parent).as_posix()
    with (
        known_platform("any")
        if place.startswith(("methods", "models", "papers", "systems", "lab/own"))
        else (nullcontext())
    ):
        yield


@pytest.fixture
def signatures_unchecked():
    """Functions get what they would outside tests, where nothing checks the shapes in signatures."""
    jaxtyping.config.update("jaxtyping_disable", True)
    yield
    jaxtyping.config.update("jaxtyping_disable", False)


@pytest.fixture(scope="module")
def symbolic_shapes_pass():
    """Shapes in signatures are checked against numbers only, and an exported function takes batches
    of any size.
    """
    jaxtyping.config.update("jaxtyping_disable", True)
    yield
    jaxtyping.config.update("jaxtyping_disable", False)


@pytest.fixture(scope="module")
def shallow_mobilenet():
    """MobileNetV2 with 8 blocks in place of 17: one of every kind, and one that is added to its
    input.
    """
    from kpjax.models import inverted_residuals  # most tests need no network

    stages = tuple(
        (*kind, 1 + (number == 1), stride)
        for number, (*kind, _, stride) in enumerate(inverted_residuals.STAGES)
    )
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(inverted_residuals, "STAGES", stages)
        yield
    jax.clear_caches()  # configs of both are equal


def below(variable):
    """Returns a function of a name: the file or folder below the folder that an environment
    variable names.

    Without the variable the test is skipped.
    """

    def path(name):
        folder = os.environ.get(variable)
        if not folder:
            pytest.skip(f"{variable} is not set: it names the folder with {name}")
        if not pathlib.Path(folder).is_dir():
            pytest.fail(f"{variable}: {folder} is not a folder")
        found = pathlib.Path(folder, name).absolute()
        if not found.exists():
            pytest.skip(f"the folder that {variable} names has no {name}")
        return found

    return path


@pytest.fixture(scope="session")
def published():
    """Published data sets stay out of the repository: most licences forbid to pass them on."""
    return below("KPJAX_TEST_DATA")


@pytest.fixture(scope="session")
def published_weights():
    """Published weights are too large for the repository."""
    return below("KPJAX_TEST_WEIGHTS")


class Bucket(type(backend.os_backend)):
    """Objects of gs:// as files of a folder, with what a bucket refuses."""

    def __init__(self, folder):
        self.folder, self.puts, self.fault = folder, [], None

    def place(self, path):
        return str(path).replace("gs://", f"{self.folder}/")

    def open(self, path, mode):
        assert "a" not in mode, "an object cannot grow"
        if "w" in mode:
            if self.fault:
                raise self.fault
            self.puts.append(path)
            (self.folder / self.place(path)).parent.mkdir(parents=True, exist_ok=True)
        return super().open(self.place(path), mode)

    def pipe_file(self, path, value, *, mode):
        """As gcsfs does it, where no generation may be there."""
        assert mode == "create"
        with (
            self.open(path, "wb") if not self.exists(path) else open(self.place(path), "xb") as file
        ):
            file.write(value)

    def exists(self, path):
        return super().exists(self.place(path))

    def isdir(self, path):
        return super().isdir(self.place(path))

    def listdir(self, path):
        return super().listdir(self.place(path))

    def glob(self, path):
        found = super().glob(self.place(path))
        return [str(place).replace(f"{self.folder}/", "gs://") for place in found]

    def rmtree(self, path):
        super().rmtree(self.place(path))

    def remove(self, path):
        super().remove(self.place(path))

    def makedirs(self, path, **options):
        pass

    def rename(self, *paths):
        raise AssertionError("nothing is renamed in a bucket")

    replace = rename


@pytest.fixture
def bucket(tmp_path, monkeypatch):
    """Makes a folder of the test stand in for the buckets of gs://."""
    made = Bucket(tmp_path)
    monkeypatch.setitem(gpath._PREFIX_TO_BACKEND, "gs", made)
    monkeypatch.setattr(fsspec.core, "url_to_fs", lambda path: (made, path))
    return made
