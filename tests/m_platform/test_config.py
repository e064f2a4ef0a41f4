"""Configuration: round trips, overrides, and errors that say which key and what instead."""

from __future__ import annotations

import dataclasses

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from m.config import ConfigError, apply_overrides, from_dict, known_keys, load_config, to_dict, write_yaml
from m.moe import ModelConfig
from m.moe.config import AttentionConfig, HeadConfig, RouterConfig


def test_yaml_round_trip_keeps_every_value(tmp_path):
    config = ModelConfig(
        dim=128,
        router=RouterConfig(kind="topk_bias", n_experts=16, top_k=4, options={"a": [1, 2]}),
        attention=AttentionConfig(n_heads=4, n_kv_heads=1, rope_base=5e3),
        head=HeadConfig(min_scale=1e-5, distribution="student_t"),
    )
    write_yaml(tmp_path / "model.yaml", to_dict(config))
    assert load_config(ModelConfig, tmp_path / "model.yaml") == config


@settings(max_examples=15, deadline=None)
@given(
    st.integers(1, 12),
    st.floats(1e-6, 1e6),
    st.sampled_from(["topk", "sinkhorn", "dense"]),
    st.one_of(st.none(), st.sampled_from([1, 2, 4, 8])),
)
def test_mapping_round_trip_is_the_identity(layers, base, kind, kv_heads):
    config = ModelConfig(
        n_layers=layers,
        router=RouterConfig(kind=kind),
        attention=AttentionConfig(rope_base=base, n_kv_heads=kv_heads),
    )
    assert from_dict(ModelConfig, to_dict(config)) == config


def test_overrides_are_read_as_yaml_and_do_not_change_their_source():
    source = {"router": {"n_experts": 4}}
    overridden = apply_overrides(
        source, ["router.n_experts=16", "attention.n_kv_heads=null", "--head.min_scale=1e-3", "dim=64"]
    )
    config = from_dict(ModelConfig, overridden)
    assert config.router.n_experts == 16
    assert config.attention.n_kv_heads is None
    assert config.head.min_scale == 1e-3
    assert source == {"router": {"n_experts": 4}}


@pytest.mark.parametrize(
    ("mapping", "message"),
    [
        ({"router": {"n_expert": 4}}, "unknown key 'router.n_expert'; did you mean 'router.n_experts'?"),
        ({"rooter": {}}, "unknown key 'rooter'; did you mean 'router'?"),
        ({"zzz": 1}, "unknown key 'zzz'; valid: anchor, attention"),
        ({"dim": "wide"}, "dim.*int.*wide"),
        ({"dim": None}, "'dim' may not be null"),
        ({"n_layers": 2.5}, "n_layers.*int.*2.5"),
        ({"n_layers": True}, "n_layers.*int.*True"),
        ({"router": 3}, "router must be a mapping of keys, got int"),
        ({"experts": {"activation": "swigloo"}}, "experts.activation.*swigloo"),
        ({"router": {"n_experts": 0}}, "router.n_experts must be at least 1, got 0"),
        ({"router": {"n_experts": 2, "top_k": 3}}, r"router.top_k must lie in \[1, 2\], got 3"),
        ({"dim": 60}, "multiples of 8"),
        ({"attention": {"n_heads": 3}}, "dim 256 must split into attention.n_heads 3"),
        ({"attention": {"n_kv_heads": 3}}, "n_heads 8 must be a multiple of attention.n_kv_heads 3"),
        ({"target_dim": 4}, "residual needs targets that are input channels"),
    ],
)
def test_errors_name_the_key_the_value_and_the_way_out(mapping, message):
    with pytest.raises(ConfigError, match=message) as caught:
        from_dict(ModelConfig, mapping, source="my.yaml")
    assert "my.yaml" in str(caught.value)


def test_file_errors_name_file_and_place(tmp_path):
    with pytest.raises(ConfigError, match=r"absent\.yaml: no such configuration file"):
        load_config(ModelConfig, tmp_path / "absent.yaml")
    broken = tmp_path / "broken.yaml"
    broken.write_text("dim: 64\nrouter: [1, 2\n")
    with pytest.raises(ConfigError, match=r"broken\.yaml: line 3, column 1"):
        load_config(ModelConfig, broken)
    broken.write_text("- 1\n- 2\n")
    with pytest.raises(ConfigError, match="must hold a mapping of keys, got list"):
        load_config(ModelConfig, broken)
    broken.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(ConfigError, match="UTF-8"):
        load_config(ModelConfig, broken)
    with pytest.raises(ConfigError, match="is a folder, not a configuration"):
        load_config(ModelConfig, tmp_path)


def test_a_key_below_null_switches_its_section_on():
    found = apply_overrides({"data": {"noise": None}}, ["data.noise.std=0.5", "data.noise.skew=2"])
    assert found == {"data": {"noise": {"std": 0.5, "skew": 2}}}


@pytest.mark.parametrize("override", ["dim", "=3", "router..n=1", "dim.x=3"])
def test_malformed_overrides_are_refused(override):
    with pytest.raises(ConfigError, match="override"):
        apply_overrides({"dim": 64}, [override])


def test_yaml_does_not_build_objects(tmp_path):
    (tmp_path / "evil.yaml").write_text("dim: !!python/object/apply:os.getcwd []\n")
    with pytest.raises(ConfigError, match=r"evil\.yaml: line 1"):
        load_config(ModelConfig, tmp_path / "evil.yaml")


def test_known_keys_lists_every_leaf_with_its_default():
    keys = dict(known_keys(ModelConfig))
    assert keys["router.n_experts"] == RouterConfig().n_experts
    assert keys["head.distribution"] == HeadConfig().distribution
    assert not any(dataclasses.is_dataclass(default) for default in keys.values())
