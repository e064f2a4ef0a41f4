"""A small training for launchers to start, and how far it is."""

from __future__ import annotations

from pathlib import Path

from m.training import read_jsonl

CONFIG = """\
name: together
model:
  dim: 16
  n_layers: 1
  window: 16
  stride: 16
  attention: {n_heads: 2}
  router: {n_experts: 4, top_k: 2}
  experts: {hidden_dim: 8}
  head: {prediction_steps: 4}
training:
  batch_size: 16
  max_steps: 24
  learning_rate: 0.01
  log_interval: 1
  eval_interval: 12
  checkpoint_interval: 4
  ema_decay: 0.9
  precision: fp32
  best_metric: position_error
dataset:
  sequence_length: 16
  prediction_length: 4
  windows_per_block: 64
  num_workers: 0
evaluation: {validation_windows: 10, test_windows: 10, after_training: false}
"""


def write_config(folder: Path) -> Path:
    path = folder / "together.yaml"
    path.write_text(CONFIG, encoding="utf-8")
    return path


def logged_step(run: Path) -> int:
    log = run / "training_log.jsonl"
    steps = [line["step"] for line in read_jsonl(log) if line["event"] == "step"] if log.exists() else []
    return max(steps, default=0)
