"""When the loss is compiled, and that those who demand it where it cannot be are told."""

from __future__ import annotations

import pytest
import torch
from training_helpers import TinyModel, config, stream

from m.config import ConfigError
from m.parallel.engine import ParallelEngine
from m.training import Trainer, compilation, trainer
from m.training.compilation import choose_compilation, compiler_obstacle

CPU, CUDA = torch.device("cpu"), torch.device("cuda")
LONG = {"max_steps": 20_000}


def working() -> None:
    return None


def broken() -> str:
    return "torch.compile fails here: no compiler"


@pytest.mark.parametrize(
    ("options", "device", "refusal", "probe", "on", "reason"),
    [
        ({**LONG}, CPU, None, working, True, "pays in 20000 steps"),
        ({**LONG, "compile": "never"}, CPU, None, working, False, "as configured"),
        ({**LONG}, CPU, None, broken, False, "no compiler"),
        ({**LONG}, CPU, "several processes", working, False, "several processes"),
        ({**LONG, "activation_checkpointing": True}, CPU, None, working, False, "recomputed"),
        ({**LONG}, CUDA, None, working, False, "cuda"),
        ({"max_steps": 1000}, CPU, None, working, False, "1000 steps would not pay"),
        ({"max_steps": 10, "compile": "always"}, CPU, None, working, True, "as configured"),
        ({"max_steps": 10, "compile": "always"}, CUDA, None, working, True, "as configured"),
    ],
)
def test_auto_compiles_where_it_pays(options, device, refusal, probe, on, reason):
    chosen = choose_compilation(config(**options), device, refusal, probe)
    assert chosen.on is on
    assert reason in chosen.reason


def test_short_runs_do_not_try_the_compiler():
    def tried() -> None:
        raise AssertionError("a short run waits for a compiler")

    choose_compilation(config(max_steps=10), CPU, None, tried)


@pytest.mark.parametrize(
    ("options", "refusal", "probe", "message"),
    [
        ({}, ParallelEngine.compile_refusal, working, "several processes train uncompiled; use 'auto'"),
        ({"activation_checkpointing": True}, None, working, "activations are recomputed"),
        ({}, None, broken, "fails here: no compiler"),
    ],
)
def test_compiling_that_is_demanded_in_vain_is_an_error(options, refusal, probe, message):
    with pytest.raises(ConfigError, match=message):
        choose_compilation(config(compile="always", **options), CPU, refusal, probe)


def test_the_probe_says_why_a_compiler_fails(monkeypatch):
    def fail(function):
        raise RuntimeError("no C++ compiler\nand a long story")

    monkeypatch.setattr(compilation.torch, "compile", fail)
    assert compiler_obstacle() == "torch.compile fails here: no C++ compiler"


def test_a_run_says_whether_it_is_compiled(monkeypatch, tmp_path):
    monkeypatch.setattr(trainer, "compiler_obstacle", broken)
    run = Trainer(TinyModel(), stream, config(**LONG), output_dir=tmp_path)
    record = run._start_record(False, ())
    assert not record.compiled
    assert record.compiled_reason == broken()
