"""The loop: files, exact resume, accumulation, averaging, failures."""

from __future__ import annotations

import dataclasses
import random
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn
from training_helpers import (
    DIM,
    StopAt,
    TinyBatch,
    TinyModel,
    assert_same,
    batch_at,
    config,
    evaluate,
    state_of,
    stream,
)

from m.checkpoint import CheckpointError, load_checkpoint, save_checkpoint
from m.training import (
    Callback,
    EvaluationRecord,
    NonFiniteLossError,
    StartRecord,
    StepRecord,
    Trainer,
    TrainingConfig,
    TrainingStatus,
)


class Recorder(Callback):
    def __init__(self):
        self.events: list[object] = []

    def on_start(self, record):
        self.events.append(record)

    def on_step(self, record):
        self.events.append(record)

    def on_evaluation(self, record):
        self.events.append(record)

    def on_checkpoint(self, path: Path, step: int):
        self.events.append((path.name, step))

    def on_end(self, status: TrainingStatus):
        self.events.append(status)

    def of(self, kind):
        return [event for event in self.events if isinstance(event, kind)]


def trainer(folder: Path, options: TrainingConfig | None = None, **changes):
    arguments = {"evaluate": evaluate, **changes}
    model = arguments.pop("model", None) or TinyModel()
    data = arguments.pop("data", stream)
    return Trainer(model, data, options or config(), output_dir=folder, **arguments)


def test_a_run_learns_and_leaves_its_files(tmp_path):
    recorder = Recorder()
    result = trainer(
        tmp_path,
        config(max_steps=60, eval_interval=20),
        callbacks=[recorder],
        metadata={"model_config": {"dim": DIM}, "name": "tiny"},
    ).fit()
    assert (result.status, result.step) == ("finished", 60)
    assert sorted(p.name for p in tmp_path.iterdir()) == [
        "best_model.pt",
        "final_model.pt",
        "training_state.pt",
    ]
    before = evaluate(TinyModel().eval(), 0)["loss"]
    assert result.best_value is not None
    assert result.best_value < 0.5 * before

    best = load_checkpoint(tmp_path / "best_model.pt", kind="model")
    assert best["model_config"] == {"dim": DIM}
    assert best["metadata"] == {"name": "tiny"}
    assert best["step"] == result.best_step
    model = TinyModel().eval()
    model.load_state_dict(best["model"])
    assert evaluate(model, 0)["loss"] == best["metrics"]["loss"] == result.best_value

    start = recorder.of(StartRecord)[0]
    assert (start.step, start.resumed, start.precision, start.device) == (0, False, "fp32", "cpu")
    assert start.parameters == sum(p.numel() for p in TinyModel().parameters())
    assert [record.step for record in recorder.of(StepRecord)] == list(range(5, 61, 5))
    assert [record.step for record in recorder.of(EvaluationRecord)] == [20, 40, 60]
    assert recorder.events[-1] == "finished"
    assert recorder.events[-3:-1] == [("final_model.pt", 60), ("training_state.pt", 60)]
    record = recorder.of(StepRecord)[0]
    assert set(record.metrics) == {"absolute"}
    assert record.expert_load is not None
    assert sum(record.expert_load[0]) == pytest.approx(1.0)
    assert record.sequences_per_second > 0
    assert record.tokens_per_second == pytest.approx(record.sequences_per_second * DIM)


@pytest.mark.parametrize("stop", [5, 7, 10])
@pytest.mark.parametrize("changes", [{}, {"accumulation_steps": 3, "ema_decay": 0.9}], ids=["plain", "full"])
def test_resume_is_exact(tmp_path, changes, stop):
    """20 steps straight equal `stop` steps, a fresh process's worth of new objects, and the rest."""
    options = config(log_interval=1, checkpoint_interval=6, **changes)
    trainer(tmp_path / "straight", options).fit()

    stopped = trainer(tmp_path / "split", options, callbacks=[StopAt(stop)]).fit()
    assert (stopped.status, stopped.step) == ("interrupted", stop)
    assert not (tmp_path / "split" / "final_model.pt").exists()
    torch.manual_seed(99)  # whatever state the new process is in must not matter
    random.seed(99)
    np.random.seed(99)  # noqa: NPY002
    result = trainer(tmp_path / "split", options, model=TinyModel(seed=77)).fit(resume=True)
    assert (result.status, result.step) == ("finished", 20)

    assert_same(state_of(tmp_path / "split"), state_of(tmp_path / "straight"))
    for name in ("best_model.pt", "final_model.pt"):
        assert_same(load_checkpoint(tmp_path / "split" / name), load_checkpoint(tmp_path / "straight" / name))


def test_the_exactness_test_can_fail(tmp_path):
    """Dropout draws matter: another seed gives other weights."""
    trainer(tmp_path / "a").fit()
    trainer(tmp_path / "b", config(seed=1)).fit()
    first, second = state_of(tmp_path / "a"), state_of(tmp_path / "b")
    assert not torch.equal(first["model"]["gate"], second["model"]["gate"])


def test_evaluation_does_not_disturb_training(tmp_path):
    trainer(tmp_path / "often", config(eval_interval=1)).fit()
    trainer(tmp_path / "never", evaluate=None).fit()
    often, never = state_of(tmp_path / "often"), state_of(tmp_path / "never")
    assert_same(often["model"], never["model"])
    assert_same(often["random"], never["random"])
    assert not (tmp_path / "never" / "best_model.pt").exists()


def test_killed_run_resumes_from_its_last_checkpoint(tmp_path):
    """No signal handler runs: the exception stands for a power cut at step 13."""

    class Dies(Callback):
        def on_step(self, record):
            if record.step == 13:
                raise ConnectionError("power cut")

    options = config(log_interval=1)
    trainer(tmp_path / "straight", options).fit()
    recorder = Recorder()
    with pytest.raises(ConnectionError):
        trainer(tmp_path / "killed", options, callbacks=[recorder, Dies()]).fit()
    assert recorder.events[-1] == "failed"
    assert load_checkpoint(tmp_path / "killed" / "training_state.pt")["progress"]["step"] == 10
    trainer(tmp_path / "killed", options).fit(resume=True)
    assert_same(state_of(tmp_path / "killed"), state_of(tmp_path / "straight"))


def test_a_run_killed_before_its_first_step_resumes_exactly(tmp_path):
    """A state is there before the data are opened; the exception stands for a power cut."""

    def dead(first: int):
        raise ConnectionError("power cut")
        yield

    options = config(ema_decay=0.9)
    trainer(tmp_path / "straight", options).fit()
    recorder = Recorder()
    with pytest.raises(ConnectionError):
        trainer(tmp_path / "killed", options, data=dead, callbacks=[recorder]).fit()
    assert isinstance(recorder.events[0], StartRecord)
    assert recorder.events[1:] == [("training_state.pt", 0), "failed"]
    torch.manual_seed(99)
    with pytest.raises(FileExistsError, match="resume"):
        trainer(tmp_path / "killed", options).fit()
    recorder = Recorder()
    trainer(tmp_path / "killed", options, model=TinyModel(seed=77), callbacks=[recorder]).fit(resume=True)
    assert (recorder.of(StartRecord)[0].step, recorder.of(StartRecord)[0].resumed) == (0, True)
    assert ("training_state.pt", 0) not in recorder.events  # it is there already
    assert_same(state_of(tmp_path / "killed"), state_of(tmp_path / "straight"))


def test_data_is_asked_for_the_right_position(tmp_path):
    asked: list[int] = []
    closed: list[bool] = []

    def data(first: int):
        asked.append(first)
        try:
            yield from stream(first)
        finally:
            closed.append(True)

    options = config(accumulation_steps=3, log_interval=1)
    trainer(tmp_path, options, data=data, callbacks=[StopAt(7)]).fit()
    trainer(tmp_path, options, data=data).fit(resume=True)
    assert asked == [0, 21]
    assert closed == [True, True]
    assert load_checkpoint(tmp_path / "training_state.pt")["data_position"] == 60


def test_accumulated_gradient_is_that_of_the_big_batch(tmp_path):
    """Three micro-batches of 8 against one of 24, without dropout, with the same clipping."""

    def joined(first: int):
        while True:
            parts = [batch_at(3 * first + i) for i in range(3)]
            yield TinyBatch(torch.cat([p.inputs for p in parts]), torch.cat([p.targets for p in parts]))
            first += 1

    loads = []
    for folder, options, data in (
        ("micro", config(max_steps=4, accumulation_steps=3), stream),
        ("big", config(max_steps=4), joined),
    ):
        model = TinyModel(dropout=0.0)
        trainer(tmp_path / folder, options, model=model, data=data, evaluate=None).fit()
        loads.append(model.loads_seen)
    micro, big = state_of(tmp_path / "micro")["model"], state_of(tmp_path / "big")["model"]
    for name, tensor in micro.items():
        torch.testing.assert_close(tensor, big[name], rtol=1e-4, atol=1e-6)
    assert len(loads[0]) == 4  # routers move once per optimizer step, on the whole step's load
    assert all(torch.equal(a, b) for a, b in zip(*loads, strict=True))
    assert float(loads[0][0].sum()) == 24.0


def test_clipping_limits_the_update_and_zero_turns_it_off(tmp_path):
    seen = {}
    for name, norm in (("off", 0.0), ("tight", 1e-4)):
        recorder = Recorder()
        model = TinyModel(dropout=0.0)
        options = config(max_steps=1, gradient_clip_norm=norm, beta1=0.0, beta2=0.0, log_interval=1)
        trainer(tmp_path / name, options, model=model, evaluate=None, callbacks=[recorder]).fit()
        state = load_checkpoint(tmp_path / name / "training_state.pt")
        squares = [float(s["exp_avg_sq"].sum()) for s in state["optimizer"].values()]
        seen[name] = (recorder.of(StepRecord)[0].grad_norm, sum(squares) ** 0.5)
    norm, applied = seen["off"]
    assert applied == pytest.approx(norm, rel=1e-4)  # beta2 = 0: the second moment is the gradient squared
    assert seen["tight"][0] == pytest.approx(norm, rel=1e-6)  # reported before clipping
    assert seen["tight"][1] == pytest.approx(1e-4, rel=1e-2)


def test_averaged_weights_are_evaluated_and_shipped(tmp_path):
    trainer(tmp_path, config(ema_decay=0.9)).fit()
    state = load_checkpoint(tmp_path / "training_state.pt")
    final = load_checkpoint(tmp_path / "final_model.pt")
    assert set(state["ema"]["weights"]) == set(final["model"]) - {"bias"}
    for name, tensor in state["ema"]["weights"].items():
        assert torch.equal(final["model"][name], tensor)
        assert not torch.equal(state["model"][name], tensor)
    model = TinyModel().eval()
    model.load_state_dict(final["model"])
    assert evaluate(model, 0)["loss"] == final["metrics"]["loss"]


class Draws(Callback):
    """Looks at the model as a picture would, and draws from every generator."""

    def __init__(self, model: TinyModel) -> None:
        self.model = model
        self.seen: list[tuple[EvaluationRecord, dict[str, torch.Tensor]]] = []

    def on_evaluation(self, record):
        assert not self.model.training
        assert not any(module.training for module in self.model.modules())
        assert not torch.is_grad_enabled()
        weights = {name: tensor.clone() for name, tensor in self.model.state_dict().items()}
        assert evaluate(self.model, record.step)["loss"] == record.metrics["loss"]
        self.seen.append((record, weights))


def test_callbacks_see_the_weights_that_were_evaluated_and_do_not_disturb_training(tmp_path):
    options = config(ema_decay=0.9)
    model = TinyModel()
    draws = Draws(model)
    trainer(tmp_path / "drawn", options, model=model, callbacks=[draws]).fit()
    assert model.training
    trainer(tmp_path / "plain", options).fit()
    assert_same(state_of(tmp_path / "drawn"), state_of(tmp_path / "plain"))
    assert [record.step for record, _ in draws.seen] == [5, 10, 15, 20]
    state = state_of(tmp_path / "drawn")
    for name, tensor in state["ema"]["weights"].items():
        assert torch.equal(draws.seen[-1][1][name], tensor)
        assert not torch.equal(state["model"][name], tensor)


def test_a_failing_picture_leaves_the_model_and_the_best_file_in_order(tmp_path):
    class Fails(Callback):
        def on_evaluation(self, record):
            raise ConnectionError("no display")

    model = TinyModel()
    run = trainer(tmp_path, config(ema_decay=0.9), model=model, callbacks=[Fails()])
    with pytest.raises(ConnectionError):
        run.fit()
    assert model.training
    best = load_checkpoint(tmp_path / "best_model.pt")
    assert best["step"] == 5
    assert not torch.equal(best["model"]["gate"], model.gate.detach())  # the model has its own again


def test_best_keeps_the_best_by_metric_and_mode(tmp_path):
    values = {5: 3.0, 10: float("nan"), 15: 1.0, 20: 2.0}

    def scripted(model: nn.Module, step: int):
        return {"score": values[step]}

    for mode, value, step in (("min", 1.0, 15), ("max", 3.0, 5)):
        folder = tmp_path / mode
        recorder = Recorder()
        result = trainer(
            folder, config(best_metric="score", best_mode=mode), evaluate=scripted, callbacks=[recorder]
        ).fit()
        assert (result.best_value, result.best_step) == (value, step)
        assert load_checkpoint(folder / "best_model.pt")["step"] == step
        assert [r.is_best for r in recorder.of(EvaluationRecord)] == [True, False, mode == "min", False]


def test_missing_best_metric_is_named(tmp_path):
    with pytest.raises(ValueError, match=r"no 'rmse'.*it has \['loss'\]"):
        trainer(tmp_path, config(best_metric="rmse")).fit()


@pytest.mark.parametrize("poison", ["loss", "gradient norm"])
def test_non_finite_values_stop_the_run_and_harm_nothing(tmp_path, poison):
    fails = False

    def data(first: int):
        nonlocal fails
        for index, batch in enumerate(stream(first), start=first):
            fails = index == 12
            yield (
                TinyBatch(batch.inputs, batch.targets * float("nan")) if fails and poison == "loss" else batch
            )

    good = TinyModel()
    if poison == "gradient norm":
        good.gate.register_hook(lambda gradient: gradient * float("inf") if fails else gradient)
    folder = tmp_path / poison
    before = None

    class Watch(Callback):
        def on_step(self, record):
            nonlocal before
            before = {p.name: p.read_bytes() for p in folder.glob("*")}

    run = trainer(
        folder, config(log_interval=1, gradient_clip_norm=0.0), data=data, model=good, callbacks=[Watch()]
    )
    with pytest.raises(NonFiniteLossError) as caught:
        run.fit()
    error = caught.value
    assert (error.step, error.saved_step) == (13, 10)
    assert error.learning_rate > 0
    assert any(found.startswith(poison) for found in error.found)
    assert "training_state.pt" in str(error)
    assert "lower training.learning_rate" in str(error)
    assert before == {p.name: p.read_bytes() for p in folder.iterdir()}
    assert all(bool(torch.isfinite(p).all()) for p in good.parameters())
    result = trainer(folder, config(learning_rate=0.01)).fit(resume=True)  # the advice works
    assert (result.status, result.step) == ("finished", 20)


def test_non_finite_at_the_first_step_leaves_the_state_before_it(tmp_path):
    def data(first: int):
        while True:
            yield TinyBatch(torch.full((2, DIM), float("inf")), torch.zeros(2))

    with pytest.raises(NonFiniteLossError, match=r"The last good state, of step 0, .*: resume") as caught:
        trainer(tmp_path, data=data).fit()
    assert (caught.value.step, caught.value.saved_step) == (1, 0)
    assert [p.name for p in tmp_path.iterdir()] == ["training_state.pt"]
    result = trainer(tmp_path, config(learning_rate=0.01)).fit(resume=True)  # the advice works
    assert (result.status, result.step) == ("finished", 20)


def test_folders_with_a_run_are_not_overwritten(tmp_path):
    trainer(tmp_path).fit()
    content = (tmp_path / "final_model.pt").read_bytes()
    with pytest.raises(FileExistsError, match=r"best_model\.pt, final_model\.pt, training_state\.pt.*resume"):
        trainer(tmp_path).fit()
    assert (tmp_path / "final_model.pt").read_bytes() == content


def test_resuming_a_finished_run_changes_nothing_and_can_extend_it(tmp_path):
    trainer(tmp_path).fit()
    content = {p.name: p.read_bytes() for p in tmp_path.iterdir()}
    assert trainer(tmp_path).fit(resume=True).status == "finished"
    assert content == {p.name: p.read_bytes() for p in tmp_path.iterdir()}
    recorder = Recorder()
    result = trainer(tmp_path, config(max_steps=30), callbacks=[recorder]).fit(resume=True)
    assert (result.status, result.step) == ("finished", 30)
    assert recorder.of(StartRecord)[0].changed == ("max_steps: 20 -> 30",)


def test_states_that_do_not_fit_are_refused(tmp_path):
    with pytest.raises(CheckpointError, match="no such checkpoint"):
        trainer(tmp_path).fit(resume=True)
    trainer(tmp_path).fit()
    with pytest.raises(CheckpointError, match="batch_size: 8 -> 16"):
        trainer(tmp_path, config(batch_size=16)).fit(resume=True)
    with pytest.raises(CheckpointError, match="beyond max_steps = 10"):
        trainer(tmp_path, config(max_steps=10)).fit(resume=True)

    class Wider(TinyModel):
        def __init__(self):
            super().__init__()
            self.extra = nn.Parameter(torch.zeros(2))

        def parameter_kinds(self):
            return {**super().parameter_kinds(), "extra": "rest"}

    with pytest.raises(CheckpointError, match="does not fit this run.*extra"):
        trainer(tmp_path, model=Wider()).fit(resume=True)
    state = load_checkpoint(tmp_path / "training_state.pt")
    save_checkpoint(
        tmp_path / "training_state.pt",
        {k: v for k, v in state.items() if k not in ("optimizer", "format", "version")},
    )
    with pytest.raises(CheckpointError, match="lacks 'optimizer'"):
        trainer(tmp_path).fit(resume=True)


def test_averaging_can_be_switched_on_at_resume(tmp_path):
    trainer(tmp_path, config(log_interval=1), callbacks=[StopAt(8)]).fit()
    result = trainer(tmp_path, config(ema_decay=0.5)).fit(resume=True)
    assert result.step == 20
    assert load_checkpoint(tmp_path / "training_state.pt")["ema"]["updates"] == 12


def test_models_and_data_that_do_not_keep_the_interface_are_named(tmp_path):
    with pytest.raises(
        TypeError, match="Linear cannot be trained: it lacks loss, update_routers, parameter_kinds"
    ):
        Trainer(nn.Linear(1, 1), stream, config(), output_dir=tmp_path)
    with pytest.raises(RuntimeError, match="data ended before max_steps"):
        trainer(tmp_path, data=lambda first: iter([batch_at(0)])).fit()


def test_batch_metrics_join_the_records_of_their_step(tmp_path):
    calls = []

    def largest(batch, output):
        assert not torch.is_grad_enabled()
        calls.append(batch)
        return {"largest": batch.targets.max()}

    recorder = Recorder()
    options = config(max_steps=12, accumulation_steps=2)
    trainer(tmp_path, options, batch_metrics=largest, callbacks=[recorder]).fit()
    records = recorder.of(StepRecord)
    assert [record.step for record in records] == [5, 10, 12]
    assert len(calls) == 6  # two micro-batches in each of the three steps with a record
    for record in records:
        parts = [float(batch_at(2 * (record.step - 1) + i).targets.max()) for i in range(2)]
        assert record.metrics["largest"] == pytest.approx(sum(parts) / 2)
    with pytest.raises(ValueError, match=r"\['absolute'\], which the model reports itself"):
        trainer(tmp_path / "b", batch_metrics=lambda b, o: {"absolute": o.loss}).fit()


def test_throughput_leaves_evaluation_out(tmp_path):
    import time

    def slow(model: nn.Module, step: int):
        time.sleep(0.1)
        return evaluate(model, step)

    recorder = Recorder()
    options = config(max_steps=4, eval_interval=1, log_interval=4)
    trainer(tmp_path, options, evaluate=slow, callbacks=[recorder]).fit()
    record = recorder.of(StepRecord)[0]
    assert record.elapsed > 0.3
    assert record.sequences_per_second > 4 * 8 / 0.3


def test_bf16_trains_with_fp32_weights(tmp_path):
    model = TinyModel()
    seen = []
    original = model.loss
    model.loss = lambda batch: (seen.append(torch.is_autocast_enabled("cpu")), original(batch))[1]  # type: ignore
    trainer(tmp_path, config(precision="bf16", max_steps=3), model=model, evaluate=None).fit()
    assert seen == [True] * 3
    assert all(p.dtype == torch.float32 for p in model.parameters())


def test_records_are_frozen(tmp_path):
    recorder = Recorder()
    trainer(tmp_path, config(max_steps=5), callbacks=[recorder]).fit()
    with pytest.raises(dataclasses.FrozenInstanceError):
        recorder.of(StepRecord)[0].loss = 0.0
