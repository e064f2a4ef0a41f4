"""The mixture-of-experts layer, the transformer block and the sequence regressor."""

from typing import TYPE_CHECKING

from m._lazy import lazy_exports

if TYPE_CHECKING:
    from m.moe.anchor import Anchor, compute_anchor
    from m.moe.batch import LossOutput, SequenceBatch
    from m.moe.block import TransformerBlock
    from m.moe.config import AnchorConfig, ModelConfig
    from m.moe.derived import ModelSize, model_size
    from m.moe.forecast import Forecast
    from m.moe.layer import MoELayer
    from m.moe.lesion import switched_off
    from m.moe.model import MoESequenceRegressor, SequenceOutput

__all__ = [
    "Anchor",
    "AnchorConfig",
    "Forecast",
    "LossOutput",
    "MoELayer",
    "MoESequenceRegressor",
    "ModelConfig",
    "ModelSize",
    "SequenceBatch",
    "SequenceOutput",
    "TransformerBlock",
    "compute_anchor",
    "model_size",
    "switched_off",
]

__getattr__, __dir__, _ = lazy_exports(
    __name__,
    {
        "Anchor": "m.moe.anchor",
        "AnchorConfig": "m.moe.config",
        "Forecast": "m.moe.forecast",
        "LossOutput": "m.moe.batch",
        "MoELayer": "m.moe.layer",
        "MoESequenceRegressor": "m.moe.model",
        "ModelConfig": "m.moe.config",
        "ModelSize": "m.moe.derived",
        "SequenceBatch": "m.moe.batch",
        "SequenceOutput": "m.moe.model",
        "TransformerBlock": "m.moe.block",
        "compute_anchor": "m.moe.anchor",
        "model_size": "m.moe.derived",
        "switched_off": "m.moe.lesion",
    },
)
