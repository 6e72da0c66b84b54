"""Fixtures that prepare datasets from folders."""
import dataset_contract
import pytest


@pytest.fixture
def records(tmp_path):
    """`records(dataset, folder)` prepares a set and returns {split: {name: record}}."""
    return lambda dataset, folder, **options: dataset_contract.records(
        dataset, folder, tmp_path / "prepared", **options)
