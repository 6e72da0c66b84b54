"""Configs that earlier versions stored: fields that are gone count as long as they have their former defaults."""
import importlib
import json
from dataclasses import fields, is_dataclass

import pytest

from experiments.engine.configs import config_as_json, config_from_json
from kpjax import InputError

SYSTEMS = ("supervised", "regda", "semi_supervised", "incremental", "pyramids", "adaptation")


def with_former(config, stored):
    """Returns the stored config with all fields that its parts had before."""
    added = dict(stored) | getattr(config, "former", {})
    for field in fields(config):
        if is_dataclass(part := getattr(config, field.name)):
            added[field.name] = with_former(part, stored[field.name])
    return added


@pytest.mark.parametrize("name", SYSTEMS)
def test_a_run_with_former_fields_at_their_defaults_is_read(name):
    presets = importlib.import_module(f"experiments.{name}").SYSTEM.presets
    config = list(presets.values())[-1]
    stored = json.loads(json.dumps(with_former(config, config_as_json(config))))
    assert stored != config_as_json(config)
    assert config_from_json(next(iter(presets.values())), stored) == config


def test_another_value_and_an_unknown_field_are_refused_by_name():
    config = importlib.import_module("experiments.semi_supervised").SYSTEM.presets["demo"]
    stored = config_as_json(config)
    with pytest.raises(InputError, match="flip_test is True"):
        config_from_json(config, stored | {"flip_test": True})
    with pytest.raises(InputError, match="colour"):
        config_from_json(config, stored | {"weights": stored["weights"] | {"colour": 1}})
    del stored["steps"]
    with pytest.raises(InputError, match="steps is missing"):
        config_from_json(config, stored)


@pytest.mark.parametrize(("name", "part"), [("semi_supervised", "weights"), ("regda", "teacher"),
                                            ("semi_supervised", "data"), ("pyramids", "weights")])
def test_a_run_from_before_a_field_is_read_as_it_was(name, part):
    config = importlib.import_module(f"experiments.{name}").SYSTEM.presets["demo"]
    stored, earlier = config_as_json(config), getattr(config, part).earlier
    stored[part] = {field: value for field, value in stored[part].items() if field not in earlier}
    read = getattr(config_from_json(config, stored), part)
    assert earlier
    assert {field: getattr(read, field) for field in earlier} == earlier
