"""The shipping format."""

from __future__ import annotations

import json
import os

import pytest
import torch
from torch import nn

from m.checkpoint import CheckpointError, export_safetensors, load_safetensors


def test_round_trip_with_tied_and_strided_tensors(tmp_path):
    weight = torch.randn(4, 3)
    state = {
        "a": weight,
        "tied": weight,
        "turned": weight.T,
        "half": weight.bfloat16(),
        "scalar": torch.tensor(2),
    }
    export_safetensors(tmp_path / "ship", state, {"dim": 4, "names": ["x", "y"]})
    assert sorted(p.name for p in (tmp_path / "ship").iterdir()) == ["config.json", "model.safetensors"]
    loaded, config = load_safetensors(tmp_path / "ship")
    assert config == {"dim": 4, "names": ["x", "y"]}
    assert set(loaded) == set(state)
    for name, tensor in state.items():
        assert loaded[name].dtype == tensor.dtype
        assert torch.equal(loaded[name], tensor)


def test_parameters_are_detached(tmp_path):
    module = nn.Linear(2, 2)
    export_safetensors(tmp_path, dict(module.named_parameters()), {})
    loaded, _ = load_safetensors(tmp_path)
    assert not loaded["weight"].requires_grad
    assert torch.equal(loaded["weight"], module.weight.detach())


def test_bad_content_is_refused_before_anything_is_written(tmp_path):
    with pytest.raises(CheckpointError, match="not JSON"):
        export_safetensors(tmp_path, {"a": torch.zeros(1)}, {"a": object()})
    with pytest.raises(CheckpointError, match="not JSON"):
        export_safetensors(tmp_path, {"a": torch.zeros(1)}, {"a": float("nan")})
    with pytest.raises(CheckpointError, match="'a' is a list"):
        export_safetensors(tmp_path, {"a": [1.0]}, {})  # type: ignore[dict-item]
    assert list(tmp_path.iterdir()) == []


def test_failed_write_keeps_the_old_files(tmp_path, monkeypatch):
    export_safetensors(tmp_path, {"a": torch.zeros(1)}, {"version": 1})

    def crash(*_: object) -> None:
        raise OSError("disk gone")

    monkeypatch.setattr(os, "replace", crash)
    with pytest.raises(OSError, match="disk gone"):
        export_safetensors(tmp_path, {"a": torch.ones(1)}, {"version": 2})
    loaded, config = load_safetensors(tmp_path)
    assert config == {"version": 1}
    assert float(loaded["a"]) == 0.0
    assert len(list(tmp_path.iterdir())) == 2


def test_missing_truncated_and_foreign_files_are_named(tmp_path):
    with pytest.raises(CheckpointError, match=r"model\.safetensors: no such file"):
        load_safetensors(tmp_path)
    export_safetensors(tmp_path, {"a": torch.zeros(100)}, {})
    weights, config = tmp_path / "model.safetensors", tmp_path / "config.json"
    whole = weights.read_bytes()
    for broken in (whole[:50], whole[:-5], b"", b"not it" * 50):
        weights.write_bytes(broken)
        with pytest.raises(CheckpointError, match=r"model\.safetensors: truncated or not"):
            load_safetensors(tmp_path)
    weights.write_bytes(whole)
    for text, message in (("{", "not valid JSON"), (json.dumps([1]), "must hold a JSON object")):
        config.write_text(text)
        with pytest.raises(CheckpointError, match=message):
            load_safetensors(tmp_path)
    config.unlink()
    with pytest.raises(CheckpointError, match=r"config\.json: no such file"):
        load_safetensors(tmp_path)
