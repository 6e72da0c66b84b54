"""Strictness for every test: 8 host devices, no silent promotion of ranks or dtypes, warnings as errors."""
import os
import pathlib

os.environ["XLA_FLAGS"] = "--xla_force_host_platform_device_count=8 " + os.environ.get("XLA_FLAGS", "")
os.environ.setdefault("JAX_PLATFORMS", "cpu")
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

from jaxtyping import install_import_hook

# Shapes and dtypes in the signatures of public functions are checked in tests, and cost nothing outside them.
hook = install_import_hook(["kpjax.heatmaps", "kpjax.geometry", "kpjax.metrics", "kpjax.losses"], "beartype.beartype")
hook.__enter__()

import jax

from kpjax.training.memory import keep_freed_memory

keep_freed_memory()
CACHE = pathlib.Path(__file__).parents[1] / ".cache" / "jax"
jax.config.update("jax_compilation_cache_dir", str(CACHE))
jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.2)
jax.config.update("jax_numpy_dtype_promotion", "strict")
jax.config.update("jax_numpy_rank_promotion", "raise")
