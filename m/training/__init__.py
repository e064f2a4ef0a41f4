"""The training loop for any model and data that keep the interfaces of `m.training.interfaces`."""

from typing import TYPE_CHECKING

from m._lazy import lazy_exports

if TYPE_CHECKING:
    from m.training.callbacks import Callback
    from m.training.config import TrainingConfig
    from m.training.ema import Ema
    from m.training.engine import STATE_NAME, Engine, LocalEngine, StateStore
    from m.training.errors import NonFiniteLossError
    from m.training.interfaces import (
        Batch,
        BatchMetrics,
        BatchSource,
        Evaluate,
        LossOutput,
        ParameterKind,
        TrainableModel,
    )
    from m.training.jsonl import JsonlLogger, encode_json, read_jsonl
    from m.training.optimizer import build_optimizer
    from m.training.precision import Precision, choose_precision
    from m.training.records import EvaluationRecord, StartRecord, StepRecord, TrainingResult, TrainingStatus
    from m.training.schedule import learning_rate_factor
    from m.training.sharded_states import SHARDED_NAME
    from m.training.tensorboard import TensorBoardLogger
    from m.training.trainer import BEST_NAME, FINAL_NAME, Trainer

_EXPORTS = {
    "BEST_NAME": "m.training.trainer",
    "FINAL_NAME": "m.training.trainer",
    "Engine": "m.training.engine",
    "LocalEngine": "m.training.engine",
    "SHARDED_NAME": "m.training.sharded_states",
    "STATE_NAME": "m.training.engine",
    "StateStore": "m.training.engine",
    "Batch": "m.training.interfaces",
    "BatchMetrics": "m.training.interfaces",
    "BatchSource": "m.training.interfaces",
    "Callback": "m.training.callbacks",
    "Ema": "m.training.ema",
    "Evaluate": "m.training.interfaces",
    "EvaluationRecord": "m.training.records",
    "JsonlLogger": "m.training.jsonl",
    "LossOutput": "m.training.interfaces",
    "NonFiniteLossError": "m.training.errors",
    "ParameterKind": "m.training.interfaces",
    "Precision": "m.training.precision",
    "StartRecord": "m.training.records",
    "StepRecord": "m.training.records",
    "TensorBoardLogger": "m.training.tensorboard",
    "TrainableModel": "m.training.interfaces",
    "Trainer": "m.training.trainer",
    "TrainingConfig": "m.training.config",
    "TrainingResult": "m.training.records",
    "TrainingStatus": "m.training.records",
    "build_optimizer": "m.training.optimizer",
    "choose_precision": "m.training.precision",
    "encode_json": "m.training.jsonl",
    "learning_rate_factor": "m.training.schedule",
    "read_jsonl": "m.training.jsonl",
}

__all__ = [
    "BEST_NAME",
    "FINAL_NAME",
    "SHARDED_NAME",
    "STATE_NAME",
    "Batch",
    "BatchMetrics",
    "BatchSource",
    "Callback",
    "Ema",
    "Engine",
    "Evaluate",
    "EvaluationRecord",
    "JsonlLogger",
    "LocalEngine",
    "LossOutput",
    "NonFiniteLossError",
    "ParameterKind",
    "Precision",
    "StartRecord",
    "StateStore",
    "StepRecord",
    "TensorBoardLogger",
    "TrainableModel",
    "Trainer",
    "TrainingConfig",
    "TrainingResult",
    "TrainingStatus",
    "build_optimizer",
    "choose_precision",
    "encode_json",
    "learning_rate_factor",
    "read_jsonl",
]

__getattr__, __dir__, _ = lazy_exports(__name__, _EXPORTS)
