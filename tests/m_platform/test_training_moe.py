"""The loop with the real model: the documented example, and exact resume."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import torch
from training_helpers import StopAt, TinyModel, assert_same, config, state_of

from m.checkpoint import CheckpointError, load_checkpoint, load_model
from m.config import from_dict, to_dict
from m.moe import ModelConfig, MoESequenceRegressor, SequenceBatch
from m.training import Trainer

DOCS = Path(__file__).parents[2] / "docs" / "training.md"


def test_the_documented_example_runs_and_learns(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    snippet = re.search(r"```python\n(.*?)```", DOCS.read_text(encoding="utf-8"), re.DOTALL)
    assert snippet is not None
    names: dict[str, object] = {}
    exec(compile(snippet[1], str(DOCS), "exec"), names)
    result = names["result"]
    assert (result.status, result.step) == ("finished", 60)
    again = names["evaluate"](load_model("spirals/best_model.pt"), 0)
    assert again["loss"] == pytest.approx(result.best_value, abs=1e-5)
    untrained = MoESequenceRegressor(names["model_config"]).eval()
    assert again["position_error"] < 0.7 * names["evaluate"](untrained, 0)["position_error"]


MODEL = {
    "dim": 32,
    "n_layers": 2,
    "dropout": 0.1,
    "attention": {"n_heads": 4},
    "router": {"n_experts": 4},
    "head": {"prediction_steps": 4},
}


def stream(first: int):
    index = first
    while True:
        steps = torch.randn(4, 16, 3, generator=torch.Generator().manual_seed(index))
        path = steps.cumsum(1)
        yield SequenceBatch(path[:, :12], path)
        index += 1


def run(folder, *, kind: str, callbacks=(), resume=False, **options):
    router = {**MODEL["router"], "kind": kind}
    model_config = from_dict(ModelConfig, {**MODEL, "router": router})
    torch.manual_seed(5)
    model = MoESequenceRegressor(model_config)
    options = config(
        **{"max_steps": 8, "log_interval": 1, "accumulation_steps": 2, "ema_decay": 0.9, **options}
    )
    metadata = {"model_config": to_dict(model_config)}
    trainer = Trainer(model, stream, options, output_dir=folder, callbacks=callbacks, metadata=metadata)
    return trainer.fit(resume=resume)


@pytest.mark.parametrize("kind", ["topk", "topk_bias", "sinkhorn"])
def test_resume_is_exact_with_the_real_model(tmp_path, kind):
    run(tmp_path / "straight", kind=kind)
    assert run(tmp_path / "split", kind=kind, callbacks=[StopAt(3)]).step == 3
    run(tmp_path / "split", kind=kind, resume=True)
    assert_same(state_of(tmp_path / "split"), state_of(tmp_path / "straight"))
    final = load_checkpoint(tmp_path / "split" / "final_model.pt")
    loaded = load_model(tmp_path / "straight" / "final_model.pt")
    assert_same(dict(loaded.state_dict()), final["model"])


def test_resume_is_exact_with_soap_past_a_refresh_of_its_bases(tmp_path):
    options = {"kind": "topk_bias", "optimizer": "soap", "max_steps": 30}
    run(tmp_path / "straight", **options)
    assert run(tmp_path / "split", **options, callbacks=[StopAt(7)]).step == 7
    run(tmp_path / "split", **options, resume=True)
    assert_same(state_of(tmp_path / "split"), state_of(tmp_path / "straight"))


@pytest.mark.parametrize(("before", "after"), [("adamw", "soap"), ("soap", "adamw")])
def test_resuming_with_another_optimizer_is_refused(tmp_path, before, after):
    run(tmp_path, kind="topk", optimizer=before, callbacks=[StopAt(3)])
    with pytest.raises(CheckpointError, match=f"another optimizer.*{before} -> {after}"):
        run(tmp_path, kind="topk", optimizer=after, resume=True)


@pytest.mark.parametrize("kind", ["topk", "sinkhorn", "dense"])
def test_recomputed_activations_change_no_weight(tmp_path, kind):
    run(tmp_path / "kept", kind=kind)
    run(tmp_path / "again", kind=kind, activation_checkpointing=True)
    kept, again = (load_checkpoint(tmp_path / name / "final_model.pt")["model"] for name in ("kept", "again"))
    assert_same(again, kept)


def kept_for_gradients(model: MoESequenceRegressor) -> int:
    """Bytes that autograd holds of one loss."""
    storages: dict[int, int] = {}

    def note(tensor: torch.Tensor) -> torch.Tensor:
        storages[tensor.untyped_storage().data_ptr()] = tensor.untyped_storage().nbytes()
        return tensor

    path = torch.randn(64, 16, 3, generator=torch.Generator().manual_seed(0)).cumsum(1)
    with torch.autograd.graph.saved_tensors_hooks(note, lambda tensor: tensor):
        model.loss(SequenceBatch(path[:, :12], path))
    return sum(storages.values())


def test_recomputed_activations_are_not_kept():
    model = MoESequenceRegressor(from_dict(ModelConfig, {**MODEL, "n_layers": 6}))
    kept = kept_for_gradients(model)
    model.activation_checkpointing = True
    assert kept_for_gradients(model) < 0.35 * kept


def test_a_model_that_cannot_recompute_is_refused(tmp_path):
    with pytest.raises(ValueError, match="activation_checkpointing is on, but TinyModel has no attribute"):
        Trainer(TinyModel(), stream, config(activation_checkpointing=True), output_dir=tmp_path)


@pytest.mark.slow
def test_a_compiled_loss_trains_as_one_that_is_not_with_the_same_random_draws(tmp_path):
    for choice in ("never", "always"):
        run(tmp_path / choice, kind="topk", compile=choice, max_steps=4)
    plain, compiled = (
        load_checkpoint(tmp_path / name / "final_model.pt")["model"] for name in ("never", "always")
    )
    for name, weights in plain.items():
        # Adam makes steps of noise where gradients are next to nothing, so single weights may differ more.
        assert (compiled[name] - weights).norm() <= 1e-4 * weights.norm() + 1e-6, name
    assert any(not torch.equal(compiled[name], weights) for name, weights in plain.items())  # it was another


@pytest.mark.slow
def test_resume_of_a_compiled_run_is_exact_with_dropout(tmp_path):
    run(tmp_path / "straight", kind="topk", compile="always")
    assert run(tmp_path / "split", kind="topk", compile="always", callbacks=[StopAt(3)]).step == 3
    run(tmp_path / "split", kind="topk", compile="always", resume=True)
    assert_same(state_of(tmp_path / "split"), state_of(tmp_path / "straight"))
