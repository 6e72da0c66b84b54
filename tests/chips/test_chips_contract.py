"""One method through each compiler that is installed; `tests/chips/contract.py` takes them all."""
import subprocess
import sys

import contract
import pytest

from experiments.planning.chips import slice_of
from experiments.planning.compiling import compiler_of
from kpjax import InputError

ONE = "supervised_learning.supervised"


@pytest.mark.parametrize("chips", ["v5e-4", "h100-8"])
def test_the_plainest_method_keeps_the_contract(chips):
    platform = slice_of(chips).chip.platform
    try:
        compiler_of(platform)
    except InputError as error:
        pytest.skip(str(error))
    done = subprocess.run([sys.executable, contract.__file__, chips, "--methods", ONE], capture_output=True, text=True,
                          check=False, env=contract.child_environment(platform))
    assert done.returncode == 0, done.stdout + done.stderr
    assert f"{chips} {ONE}: kept" in done.stdout


def record(**changes):
    parts = {name: {"seconds": 0.5} for name in ("forward", "terms")}
    return {"parts": parts, "gathers": [], "dearest": [], "memory": {"total": 2**20}} | changes


def test_rules_name_what_breaks_them():
    assert contract.broken_rules(record(), "tpu") == []
    pixels = {"kind": "gather", "rows": 16384, "numbers": 3, "path": "warp", "single_pixels": True}
    assert contract.broken_rules(record(gathers=[pixels]), "tpu") == ["gather of 16,384 rows of 3 numbers: warp"]
    assert contract.broken_rules(record(gathers=[pixels]), "cuda") == []
    dear = [{"seconds": 0.3, "part": part, "path": part} for part in ("forward", "terms")]
    assert contract.broken_rules(record(dearest=dear), "tpu") == [
        "30% of the step is one operation outside the network: terms, terms"]
    assert contract.broken_rules(record(memory={"total": 2**27}), "tpu") == ["128 MiB, above 64"]
    assert contract.broken_rules({"reason": "memory"}, "tpu") == ["does not fit: memory"]
