"""The allocator keeps freed memory, in a process of its own."""
import platform
import subprocess
import sys

PROGRAM = """
import sys
from kpjax.training.process import keep_freed_memory
assert keep_freed_memory() == (sys.platform.startswith("linux") and sys.argv[1] == "glibc")
import jax.numpy as jnp
assert float(jnp.ones((2000, 2000)).sum()) == 4e6
"""


def test_a_computation_runs_on_kept_memory():
    library = platform.libc_ver()[0] or "none"
    subprocess.run([sys.executable, "-c", PROGRAM, library], check=True, timeout=120)
