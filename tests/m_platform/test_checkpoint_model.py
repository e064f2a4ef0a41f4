"""A whole model in a file and back."""

from __future__ import annotations

import pytest
import torch

from m.checkpoint import CheckpointError, load_checkpoint, load_model, save_checkpoint, save_model
from m.config import from_dict, to_dict
from m.moe import ModelConfig, MoESequenceRegressor

CONFIG = {"dim": 32, "n_layers": 2, "router": {"n_experts": 4}}


@pytest.fixture
def model():
    torch.manual_seed(0)
    built = MoESequenceRegressor(from_dict(ModelConfig, CONFIG)).eval()
    with torch.no_grad():
        for parameter in built.parameters():
            parameter.add_(0.01 * torch.randn_like(parameter))
    return built


@pytest.fixture
def path(model, tmp_path):
    file = tmp_path / "best_model.pt"
    save_model(
        file, model, config=to_dict(model.config), metadata={"name": "x"}, step=7, metrics={"loss": 1.5}
    )
    return file


def test_loaded_model_gives_identical_outputs(model, path):
    points = torch.randn(2, 16, model.config.input_dim)
    loaded = load_model(path)
    assert not loaded.training
    assert loaded.config == model.config
    with torch.no_grad():
        assert torch.equal(loaded(points).distribution.location, model(points).distribution.location)
    payload = load_checkpoint(path)
    assert set(payload) == {
        "format",
        "version",
        "kind",
        "model_config",
        "model",
        "step",
        "metrics",
        "metadata",
    }
    assert (payload["step"], payload["metrics"], payload["metadata"]) == (7, {"loss": 1.5}, {"name": "x"})


def test_queries_and_keys_that_nothing_sees_are_left_out_of_earlier_checkpoints(tmp_path):
    # A reach of one token compares nothing; versions before this stored what would be compared.
    torch.manual_seed(0)
    config = from_dict(ModelConfig, CONFIG | {"attention": {"n_heads": 4, "n_kv_heads": 2, "reach": 1}})
    model = MoESequenceRegressor(config).eval()
    name = "blocks.1.attention.qkv.weight"
    weights = dict(model.state_dict())
    for key in [key for key in weights if key.endswith("qkv.weight")]:
        unseen = torch.randn(6 * 8, 32)  # four query heads and two key heads of eight channels
        weights[key] = torch.cat((unseen, weights[key]))
    earlier = MoESequenceRegressor(config)
    earlier.state_dict = lambda: weights  # type: ignore[method-assign]
    save_model(tmp_path / "earlier.pt", earlier, config=to_dict(config))
    loaded = load_model(tmp_path / "earlier.pt")
    assert loaded.state_dict()[name].shape == (2 * 8, 32)
    points = torch.randn(2, 16, config.input_dim)
    with torch.no_grad():
        assert torch.equal(loaded(points).distribution.location, model(points).distribution.location)
    weights[name] = weights[name][1:]
    save_model(tmp_path / "cut.pt", earlier, config=to_dict(config))
    with pytest.raises(CheckpointError, match=r"blocks\.1\.attention\.qkv\.weight has shape \[63, 32\]"):
        load_model(tmp_path / "cut.pt")


def test_loading_leaves_the_random_generator_alone(path):
    torch.manual_seed(3)
    expected = torch.rand(4)
    torch.manual_seed(3)
    load_model(path)
    assert torch.equal(torch.rand(4), expected)


def rewrite(path, **changes):
    payload = {k: v for k, v in load_checkpoint(path).items() if k not in ("format", "version")}
    payload.update(changes)
    save_checkpoint(path, payload)


def test_weights_that_do_not_fit_are_named(path):
    weights = dict(load_checkpoint(path)["model"])
    first, second, *_ = weights
    rewrite(path, model={**{k: v for k, v in weights.items() if k != first}, "stranger": torch.zeros(1)})
    with pytest.raises(CheckpointError, match="is missing") as caught:
        load_model(path)
    assert first in str(caught.value)
    assert "stranger is unknown" in str(caught.value)
    rewrite(path, model={**weights, second: torch.zeros(1, 2, 3, 4)})
    with pytest.raises(CheckpointError, match=r"has shape \[1, 2, 3, 4\], expected"):
        load_model(path)
    rewrite(path, model={**weights, second: [1.0]})
    with pytest.raises(CheckpointError, match="is no tensor"):
        load_model(path)


def test_configurations_that_do_not_fit_are_refused(path, model):
    good = to_dict(model.config)
    rewrite(path, model_config={**good, "dmi": 32})
    with pytest.raises(CheckpointError, match="dim"):
        load_model(path)
    for huge in ({"dim": 2**30}, {"n_layers": 10**9}):  # refused before anything is allocated
        rewrite(path, model_config={**good, **huge})
        with pytest.raises(CheckpointError, match="parameters, the file stores"):
            load_model(path)
    rewrite(path, model_config={**good, "dim": 48})
    with pytest.raises(CheckpointError, match=r"do not fit the model_config.*has shape"):
        load_model(path)
    rewrite(path, model_config=None)
    with pytest.raises(CheckpointError, match="no model_config"):
        load_model(path)
    rewrite(path, model=None, model_config=good)
    with pytest.raises(CheckpointError, match="no weights"):
        load_model(path)


@pytest.mark.parametrize(
    ("part", "message"),
    [
        ({"router": {"kind": "oracle"}}, "oracle"),
        ({"head": {"prediction_steps": 10**9}}, "prediction_steps"),
        ({"window": 10**9}, "window"),
    ],
    ids=["router", "horizon", "window"],
)
def test_configurations_that_cannot_be_built_are_refused_as_checkpoints(path, model, part, message):
    good = to_dict(model.config)
    (name, value), *_ = part.items()
    rewrite(path, model_config={**good, name: {**good[name], **value} if isinstance(value, dict) else value})
    with pytest.raises(CheckpointError, match=message) as caught:
        load_model(path)
    assert str(path) in str(caught.value)


def test_an_error_while_building_the_layers_is_a_checkpoint_error(path, monkeypatch):
    def refuse(config):
        raise ValueError(f"no layers of width {config.dim}")

    monkeypatch.setattr("m.checkpoint.model.MoESequenceRegressor", refuse)
    with pytest.raises(CheckpointError, match=r"best_model\.pt.*no layers of width 32"):
        load_model(path)


def test_numbers_stored_once_count_once_against_a_huge_configuration(path, model):
    """Many names for one storage must not buy a larger model than the file pays for."""
    one = torch.zeros(2**16)
    weights = {f"w{i}": one for i in range(2**10)}  # 2^26 numbers by name, 2^16 in the file
    rewrite(path, model=weights, model_config={**to_dict(model.config), "dim": 1024})
    with pytest.raises(CheckpointError, match=r"parameters, the file stores 65,536 numbers"):
        load_model(path)


def test_a_training_state_is_not_a_model(tmp_path):
    save_checkpoint(tmp_path / "training_state.pt", {"kind": "training_state"})
    with pytest.raises(CheckpointError, match="expected a 'model'"):
        load_model(tmp_path / "training_state.pt")
