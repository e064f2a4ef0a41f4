"""Ready models: found by path or registered name, stored in half precision, computing in float32."""

from __future__ import annotations

import importlib
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

import m
from m import load
from m.checkpoint import CheckpointError, save_model
from m.config import from_dict, to_dict
from m.moe import ModelConfig, MoESequenceRegressor
from m.release import registered_models, save_release

CONFIG = {"dim": 16, "n_layers": 1, "attention": {"n_heads": 2}, "experts": {"hidden_dim": 16}}


@pytest.fixture(scope="module")
def model() -> MoESequenceRegressor:
    torch.manual_seed(0)
    built = MoESequenceRegressor(from_dict(ModelConfig, CONFIG)).eval()
    with torch.no_grad():
        for parameter in built.parameters():
            parameter.add_(0.05 * torch.randn_like(parameter))
    return built


@pytest.fixture(scope="module")
def release(model, tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("release")
    save_release(folder, model)
    return folder


@pytest.fixture
def context() -> np.ndarray:
    return np.random.default_rng(0).normal(size=(20, 3)).cumsum(0)


@pytest.fixture
def install(tmp_path, monkeypatch):
    """Install a fake application that registers one name, as a package installer would."""

    def install(name: str, source: str, module: str) -> None:
        site = tmp_path / f"site_{module}"
        information = site / f"{module}-1.0.dist-info"
        information.mkdir(parents=True)
        (site / f"{module}.py").write_text(source)
        (information / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {module}\nVersion: 1.0\n")
        (information / "entry_points.txt").write_text(f"[m.models]\n{name} = {module}:weights\n")
        monkeypatch.syspath_prepend(site)
        importlib.invalidate_caches()

    return install


def assert_forecasts_alike(first, second, context, tolerance) -> None:
    pair = [each.forecast(context, 5).mean for each in (first, second)]
    np.testing.assert_allclose(*pair, rtol=0, atol=tolerance * context.std())


def test_importing_the_package_imports_no_torch():
    code = "import sys, m; assert 'torch' not in sys.modules and 'numpy' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True, timeout=120)
    assert "load" in dir(m)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_a_release_is_half_as_large_and_computes_in_float32(model, tmp_path, context, dtype):
    save_release(tmp_path, model, dtype=dtype)
    stored, state = load_file(tmp_path / "model.safetensors"), model.state_dict()
    loaded = load(tmp_path)
    assert not loaded.training
    assert loaded.config == model.config
    for name, value in loaded.state_dict().items():
        assert value.dtype == state[name].dtype == torch.float32
        expected = state[name].to(dtype).float() if value.ndim > 1 else state[name]
        assert torch.equal(value, expected), name
        assert stored[name].dtype == (dtype if value.ndim > 1 else torch.float32)
    precision = torch.finfo(dtype).eps
    assert_forecasts_alike(loaded, model, context, 50 * precision)


def test_every_kind_of_path_is_understood(model, release, context, tmp_path):
    save_model(tmp_path / "run/best_model.pt", model, config=to_dict(model.config))
    for path in (tmp_path / "run", tmp_path / "run/best_model.pt", str(tmp_path / "run")):
        assert_forecasts_alike(load(path), model, context, 0)
    rounded = load(release)
    for path in (str(release), release / "model.safetensors"):
        assert_forecasts_alike(load(path), rounded, context, 0)
    (tmp_path / "run/best_model.pt").rename(tmp_path / "run/final_model.pt")
    assert_forecasts_alike(load(tmp_path / "run", device="cpu"), model, context, 0)


def test_a_double_precision_path_far_away_comes_back_in_its_units(release, context):
    loaded = load(release)
    near, far = loaded.forecast(context, 4), loaded.forecast(context * 0.001 + 7e6, 4)
    assert far.mean.shape == (4, 3)
    assert far.mean.dtype == np.float64
    np.testing.assert_allclose((far.mean - 7e6) * 1000, near.mean, atol=2e-4 * context.std())
    assert far.quantile(0.9).shape == (4, 3)
    assert far.sample(7).shape == (7, 4, 3)
    assert loaded.forecast(np.stack([context, context]), 4).mean.shape == (2, 4, 3)


@pytest.mark.parametrize(
    "form", ["weights = {folder!r}", "import pathlib\nweights = pathlib.Path({folder!r})",
             "def weights():\n    return {folder!r}"]
)  # fmt: skip
def test_a_registered_name_is_loaded(release, install, context, form):
    module = f"fake_app_{abs(hash(form))}"
    install("fake-model", form.format(folder=str(release)), module)
    assert registered_models()["fake-model"].value == f"{module}:weights"
    assert_forecasts_alike(load("fake-model"), load(release), context, 0)


def test_a_registered_name_wins_over_a_file_of_the_working_folder(
    release, install, context, tmp_path, monkeypatch
):
    install("same-name", f"weights = {str(release)!r}", "fake_same")
    (tmp_path / "same-name").mkdir()
    monkeypatch.chdir(tmp_path)
    assert_forecasts_alike(load("same-name"), load(release), context, 0)
    for path in ("./same-name", Path("same-name")):
        with pytest.raises(CheckpointError, match="no model in this folder; expected one of"):
            load(path)


def test_a_wrong_name_lists_the_registered_and_the_nearest(install, release):
    install("walking-robot", f"weights = {str(release)!r}", "fake_robot")
    with pytest.raises(
        CheckpointError, match=r"no model 'walkin-robt'.*walking-robot.*did you mean"
    ) as error:
        load("walkin-robt")
    assert str(error.value).endswith("did you mean 'walking-robot'?")
    with pytest.raises(CheckpointError, match="the registered models are .*walking-robot") as error:
        load("no/such/thing.pt")
    assert "did you mean" not in str(error.value)


def test_without_any_registered_model_the_message_says_so(monkeypatch):
    monkeypatch.setattr("m.release.entry_points", lambda group: ())
    with pytest.raises(CheckpointError, match="no installed application registers a model"):
        load("trajectory")


def test_two_applications_with_one_name_are_refused(install, release):
    install("twice", f"weights = {str(release)!r}", "fake_one")
    install("twice", f"weights = {str(release)!r}", "fake_two")
    with pytest.raises(CheckpointError, match="two installed applications register a model called 'twice'"):
        load("twice")


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("raise ImportError('half removed')", "cannot be imported .half removed.; reinstall"),
        ("other = 1", "cannot be imported"),
        ("weights = 3", "must give the path of a model, gave a int"),
        ("weights = '/no/such/folder'", "/no/such/folder does not exist"),
    ],
)
def test_a_broken_registration_is_named(install, source, message):
    install("broken", source, f"fake_broken_{abs(hash(source))}")
    with pytest.raises(CheckpointError, match=message):
        load("broken")


def test_foreign_and_newer_releases_are_refused(release, tmp_path):
    content = json.loads((release / "config.json").read_text())
    (tmp_path / "model.safetensors").write_bytes((release / "model.safetensors").read_bytes())
    for change, message in (
        ({"format": "other"}, "does not describe a release"),
        ({"model_config": 3}, "does not describe a release"),
        ({"version": 2}, "release version 2, this package reads version 1; update"),
        ({"model_config": {**content["model_config"], "dim": 32}}, "weights do not fit|describes"),
    ):
        (tmp_path / "config.json").write_text(json.dumps({**content, **change}))
        with pytest.raises(CheckpointError, match=message):
            load(tmp_path)
    other = tmp_path / "other.safetensors"
    other.write_bytes(b"")
    with pytest.raises(CheckpointError, match=r"weights are called model\.safetensors"):
        load(other)


def test_what_half_precision_cannot_hold_is_refused(model, tmp_path):
    huge = MoESequenceRegressor(model.config)
    huge.load_state_dict(model.state_dict())
    with torch.no_grad():
        next(each for each in huge.parameters() if each.ndim > 1).view(-1)[0] = 1e6
    with pytest.raises(CheckpointError, match=r"is not finite in torch.float16; try torch.bfloat16"):
        save_release(tmp_path / "a", huge)
    save_release(tmp_path / "b", huge, dtype=torch.bfloat16)
    with pytest.raises(ValueError, match="torch.float16 or torch.bfloat16, got torch.int8"):
        save_release(tmp_path / "c", model, dtype=torch.int8)
