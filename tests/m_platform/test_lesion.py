"""An expert switched off against an expert whose weights are zero."""

import numpy as np
import pytest
import torch

from m.experts import ExpertsConfig
from m.heads.config import HeadConfig
from m.moe import ModelConfig, MoESequenceRegressor, switched_off
from m.moe.layer import MoELayer
from m.routing import RouterConfig

CONTEXT = np.cumsum(np.random.default_rng(0).normal(size=(5, 20, 3)), axis=1)


def make_model(**router) -> MoESequenceRegressor:
    torch.manual_seed(1)
    config = ModelConfig(
        dim=32,
        n_layers=2,
        router=RouterConfig(**{"n_experts": 4, "top_k": 2, **router}),
        experts=ExpertsConfig(hidden_dim=16, shared_hidden_dim=16),
        head=HeadConfig(prediction_steps=4),
    )
    model = MoESequenceRegressor(config)
    for parameter in model.head.parameters():
        torch.nn.init.normal_(parameter, std=0.3)  # an untrained head hardly listens
    return model.eval()


@pytest.mark.parametrize(("layer", "expert"), [(0, 1), (1, 3)])
def test_an_expert_switched_off_is_one_without_weights(layer, expert):
    model = make_model()
    whole = model.forecast(CONTEXT, 4).mean
    with switched_off(model, layer, expert):
        without = model.forecast(CONTEXT, 4)
    np.testing.assert_array_equal(model.forecast(CONTEXT, 4).mean, whole)
    layers = [module for module in model.modules() if isinstance(module, MoELayer)]
    with torch.no_grad():
        layers[layer].experts.w_out[expert] = 0.0
    np.testing.assert_allclose(without.mean, model.forecast(CONTEXT, 4).mean, rtol=1e-6, atol=1e-7)
    assert np.abs(without.mean - whole).max() > 1e-4
    assert (without.routing.layers[layer].experts == expert).any()  # tokens keep their choice


def test_the_model_is_whole_again_after_an_error_inside():
    model = make_model()
    whole = model.forecast(CONTEXT, 4).mean
    with pytest.raises(RuntimeError, match="inside"), switched_off(model, 0, 0):
        raise RuntimeError("inside")
    np.testing.assert_array_equal(model.forecast(CONTEXT, 4).mean, whole)


@pytest.mark.parametrize(
    ("layer", "expert", "message"), [(2, 0, "2 layers"), (-1, 0, "2 layers"), (0, 4, "4 experts")]
)
def test_what_is_not_there_cannot_be_switched_off(layer, expert, message):
    with pytest.raises(ValueError, match=message), switched_off(make_model(), layer, expert):
        pass


def test_a_dense_model_has_no_layer_with_experts():
    with pytest.raises(ValueError, match="0 layers"), switched_off(make_model(kind="dense"), 0, 0):
        pass
