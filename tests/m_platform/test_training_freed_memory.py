"""What becomes of freed memory while a large model trains, as the system counts it."""

from __future__ import annotations

import platform
import subprocess
import sys

import pytest
from torch import nn
from training_helpers import TinyModel, config, stream

from m.training import Trainer, trainer

ROUNDS, BLOCK = 8, 64  # megabytes
PAGES = ROUNDS * BLOCK * 256  # of 4 KiB that these blocks have together

COUNT = f"""
import resource, torch
from m.training.memory import keep_freed_memory, return_freed_memory
torch.ones(1)
for tell in TELL:
    assert tell()
def faults():
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(20):  # small blocks come to lie between large ones, a few times
    torch.ones({BLOCK} << 18)
before = faults()
for _ in range({ROUNDS}):
    torch.ones({BLOCK} << 18)
print(faults() - before)
"""

needs_glibc = pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="mallopt is glibc's")


def page_faults(tell: str) -> int:
    program = COUNT.replace("TELL", tell)
    done = subprocess.run(
        [sys.executable, "-c", program], check=True, capture_output=True, text=True, timeout=120
    )
    return int(done.stdout)


@needs_glibc
def test_kept_memory_is_used_again_without_a_page_fault():
    assert page_faults("(keep_freed_memory,)") < PAGES // 50


@needs_glibc
def test_returned_memory_comes_back_page_by_page_also_after_it_was_kept():
    assert page_faults("(keep_freed_memory, return_freed_memory)") > PAGES // 2


@pytest.mark.parametrize(("rows", "told"), [(1, 0), (2_200_000, 1)])
def test_memory_is_kept_for_gradients_that_would_be_returned(monkeypatch, tmp_path, rows, told):
    calls = []
    monkeypatch.setattr(trainer, "keep_freed_memory", lambda: calls.append(True))
    model = TinyModel()
    model.gate = nn.Parameter(model.gate.detach().new_zeros(rows, 4))  # of 2.2 million rows: 35 MB
    Trainer(model, stream, config(), output_dir=tmp_path)
    assert len(calls) == told


def test_recomputed_activations_ask_for_little_memory_and_never_for_kept(monkeypatch, tmp_path):
    calls = []
    monkeypatch.setattr(trainer, "keep_freed_memory", lambda: calls.append("keep"))
    monkeypatch.setattr(trainer, "return_freed_memory", lambda: calls.append("return"))
    model = TinyModel()
    model.gate = nn.Parameter(model.gate.detach().new_zeros(2_200_000, 4))
    model.activation_checkpointing = False
    Trainer(model, stream, config(activation_checkpointing=True), output_dir=tmp_path)
    assert calls == ["return"]
