"""Dataclasses to YAML and back, validated; dotted overrides; unknown keys refused by name."""

from m.config.schema import ConfigError, apply_overrides, from_dict, known_keys, nearest_hint, to_dict
from m.config.yaml_io import dump_yaml, load_config, read_yaml, write_yaml

__all__ = [
    "ConfigError",
    "apply_overrides",
    "dump_yaml",
    "from_dict",
    "known_keys",
    "load_config",
    "nearest_hint",
    "read_yaml",
    "to_dict",
    "write_yaml",
]
