"""JSON lines and TensorBoard events."""

from __future__ import annotations

import json

import pytest
from training_helpers import StopAt, TinyModel, config, evaluate, stream

from m.training import Callback, JsonlLogger, StartRecord, TensorBoardLogger, Trainer, read_jsonl


def fit(folder, callbacks, *, resume=False, **changes):
    options = config(log_interval=1, **changes)
    run = Trainer(TinyModel(), stream, options, output_dir=folder, evaluate=evaluate, callbacks=callbacks)
    return run.fit(resume=resume)


TIMES = ("elapsed", "seconds", "sequences_per_second", "tokens_per_second")


def without_times(lines, *events):
    return [{k: v for k, v in line.items() if k not in TIMES} for line in lines if line["event"] in events]


def test_lines_tell_the_run(tmp_path):
    log = tmp_path / "log.jsonl"
    fit(tmp_path / "run", [JsonlLogger(log)])
    lines = [json.loads(text) for text in log.read_text().splitlines()]
    assert lines == read_jsonl(log)
    assert [line["step"] for line in lines if line["event"] == "step"] == list(range(1, 21))
    assert [line["step"] for line in lines if line["event"] == "evaluation"] == [5, 10, 15, 20]
    assert lines[0]["event"] == "start"
    assert lines[-1] == {"event": "end", "step": 20, "status": "finished"}
    assert {"loss", "metrics", "learning_rate", "grad_norm", "expert_load", "imbalance"} <= set(lines[1])


def test_after_a_crash_repeated_steps_appear_once_and_match_a_straight_run(tmp_path):
    class Dies(Callback):
        def on_step(self, record):
            if record.step == 13:
                raise ConnectionError

    straight, split = tmp_path / "straight.jsonl", tmp_path / "split.jsonl"
    fit(tmp_path / "straight", [JsonlLogger(straight)])
    with pytest.raises(ConnectionError):
        fit(tmp_path / "split", [JsonlLogger(split), Dies()])
    with split.open("a") as file:
        file.write('{"event": "step", "step": 14, "lo')  # torn by the crash
    fit(tmp_path / "split", [JsonlLogger(split)], resume=True)  # from the state of step 10
    events = ("step", "evaluation")
    assert without_times(read_jsonl(split), *events) == without_times(read_jsonl(straight), *events)


def test_an_interrupted_run_goes_on_in_the_same_file(tmp_path):
    log = tmp_path / "log.jsonl"
    fit(tmp_path / "run", [JsonlLogger(log), StopAt(10)])
    fit(tmp_path / "run", [JsonlLogger(log)], resume=True)
    lines = read_jsonl(log)
    assert [line["step"] for line in lines if line["event"] == "step"] == list(range(1, 21))
    assert [line["step"] for line in lines if line["event"] == "evaluation"] == [5, 10, 15, 20]
    assert [line.get("status") for line in lines if line["event"] == "end"] == ["interrupted", "finished"]


def test_values_that_json_lacks_become_null_and_bad_lines_are_named(tmp_path):
    log = tmp_path / "log.jsonl"
    options = config(max_steps=5)
    run = Trainer(
        TinyModel(),
        stream,
        options,
        output_dir=tmp_path / "run",
        evaluate=lambda model, step: {"loss": float("nan")},
        callbacks=[JsonlLogger(log)],
    )
    run.fit()
    assert [line["metrics"] for line in read_jsonl(log) if line["event"] == "evaluation"] == [{"loss": None}]
    log.write_text('{"step": 1}\nnot json\n{"step": 2}\n')
    with pytest.raises(ValueError, match=r"log\.jsonl, line 2"):
        read_jsonl(log)
    assert read_jsonl(tmp_path / "none.jsonl") == []


def test_tensorboard_events_hold_the_scalars(tmp_path):
    accumulator = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    log = tmp_path / "log.jsonl"
    fit(tmp_path / "run", [TensorBoardLogger(tmp_path / "tb"), JsonlLogger(log), StopAt(8)])
    fit(tmp_path / "run", [TensorBoardLogger(tmp_path / "tb"), JsonlLogger(log)], resume=True)
    events = accumulator.EventAccumulator(str(tmp_path / "tb"))
    events.Reload()
    expected = {line["step"]: line["loss"] for line in read_jsonl(log) if line["event"] == "step"}
    written = {event.step: event.value for event in events.Scalars("train/loss")}
    assert written == pytest.approx(expected, rel=1e-6)
    assert [event.step for event in events.Scalars("evaluation/loss")] == [5, 10, 15, 20]
    assert {"train/absolute", "train/learning_rate", "experts/imbalance", "speed/tokens_per_second"} <= set(
        events.Tags()["scalars"]
    )
    loads = {line["step"]: line["expert_load"] for line in read_jsonl(log) if line["event"] == "step"}
    for layer in range(len(loads[1])):
        for event in events.Histograms(f"experts/load/layer_{layer}"):
            assert event.histogram_value.bucket == pytest.approx(loads[event.step][layer], abs=1e-6)
            assert event.histogram_value.bucket_limit == [e + 0.5 for e in range(len(loads[1][layer]))]


@pytest.mark.parametrize(
    "load", [[0.25, 0.25, 0.25, 0.25], [0.0, 0.5, 0.5, 0.0], [0.9, 0.1, 0.0, 0.0], [0.0, 0.0, 0.0, 1.0]]
)
def test_tensorboard_shows_every_expert_as_a_bar_of_its_own(tmp_path, load):
    """As its page gets them: it drops empty ends and moves the outer edges."""
    pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    from tensorboard import data_compat, dataclass_compat
    from tensorboard.backend.event_processing import event_file_loader
    from tensorboard.util import tensor_util

    logger = TensorBoardLogger(tmp_path)
    logger.on_start(start_record(tmp_path))
    logger._write_load("experts/load/layer_0", load, step=3)
    logger.on_end("finished")
    (path,) = tmp_path.iterdir()
    found = [
        tensor_util.make_ndarray(value.tensor)
        for event in event_file_loader.LegacyEventFileLoader(str(path)).Load()
        for one in dataclass_compat.migrate_event(data_compat.migrate_event(event), {})
        for value in one.summary.value
        if value.tag == "experts/load/layer_0"
    ]
    (bars,) = found  # [bars, 3]: left, right, count
    shown = {round((left + right) / 2): count for left, right, count in bars if count > 0}
    assert shown == pytest.approx({expert: share for expert, share in enumerate(load) if share > 0})
    for left, right, _ in bars:
        assert right - left == pytest.approx(1.0)


def start_record(folder):
    return StartRecord(
        step=0,
        max_steps=1,
        resumed=False,
        changed=(),
        device="cpu",
        precision="fp32",
        precision_reason="",
        parameters=1,
        output_dir=folder,
        config=config(max_steps=1),
    )
