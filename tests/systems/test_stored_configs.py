"""Configs that runs have stored are read as they are, or refused by the name of a field."""
import importlib

import pytest

from kpjax import InputError
from kpjax.systems.configs import config_as_json, config_from_json


def test_an_unknown_field_and_a_missing_one_are_refused_by_name():
    config = importlib.import_module("experiments.semi_supervised").SYSTEM.presets["demo"]
    stored = config_as_json(config)
    assert config_from_json(config, stored) == config
    with pytest.raises(InputError, match="colour"):
        config_from_json(config, stored | {"weights": stored["weights"] | {"colour": 1}})
    del stored["steps"]
    with pytest.raises(InputError, match="steps is missing"):
        config_from_json(config, stored)
