"""SOAP against AdamW, against its definition on a small case, and through a saved state."""

import copy

import pytest
import torch
from torch.optim import AdamW

from m.training import TrainingConfig, build_optimizer
from m.training.optimizer import load_optimizer_state, optimizer_state
from m.training.soap import Soap, _refresh


def ill_conditioned(seed=0):
    """Inputs whose directions differ a thousandfold in size, and the targets of a linear map of them."""
    generator = torch.Generator().manual_seed(seed)
    turn = torch.linalg.qr(torch.randn(48, 48, generator=generator))[0]
    inputs = torch.randn(400, 48, generator=generator) * torch.logspace(0, -3, 48) @ turn
    return inputs, inputs @ torch.randn(48, 24, generator=generator)


def fit(make, steps=300, rate=0.1):
    inputs, targets = ill_conditioned()
    weight = torch.nn.Parameter(torch.zeros(48, 24))
    optimizer = make([weight])
    for step in range(steps):
        for group in optimizer.param_groups:
            group["lr"] = rate * (1 - step / steps)
        loss = (inputs @ weight - targets).square().mean()
        weight.grad = None
        loss.backward()
        optimizer.step()
    return float(loss.detach())


def test_learns_badly_scaled_directions_that_adamw_leaves():
    adam = fit(lambda p: AdamW(p, lr=0.1, betas=(0.9, 0.98), weight_decay=0.0))
    soap = fit(lambda p: Soap(p, lr=0.1, weight_decay=0.0))
    assert soap < adam / 100


@pytest.mark.parametrize("products", [None, torch.bfloat16])
def test_a_step_is_adams_in_the_eigenvectors_of_the_gradients_before(products):
    """Worked out by hand: the first gradient begins the bases; Adam's first step is the sign of the next."""
    torch.manual_seed(1)
    weight = torch.nn.Parameter(torch.randn(6, 6))
    optimizer = Soap([weight], lr=0.01, weight_decay=0.1, eps=1e-12, product_type=products)
    before = weight.detach().clone()
    first, second = torch.randn(2, 6, 6)
    weight.grad = first.clone()
    optimizer.step()
    assert torch.equal(weight, before)
    weight.grad = second.clone()
    optimizer.step()
    # Singular vectors of G are the eigenvectors of G G^T and of G^T G; their signs cancel out.
    left, _, right = torch.linalg.svd(first)
    expected = left @ (left.T @ second @ right.T).sign() @ right
    moved = (weight.detach() - before * (1 - 0.01 * 0.1)) / -0.01
    # In bfloat16 a turned entry near zero may change its sign: two of 36 would make 0.47, chance 1.4.
    assert float((moved - expected).norm() / expected.norm()) < (1e-3 if products is None else 0.5)


def test_a_float64_model_is_never_turned_in_bfloat16():
    torch.manual_seed(8)
    weight = torch.nn.Parameter(torch.randn(6, 6, dtype=torch.float64))
    optimizer = Soap([weight], lr=0.01, product_type=torch.bfloat16)
    weight.grad = torch.randn_like(weight)
    optimizer.step()
    basis = optimizer.state[weight]["rows_basis"]
    torch.testing.assert_close(basis.T @ basis, torch.eye(6, dtype=torch.float64), atol=1e-12, rtol=0)


def test_refreshing_the_bases_leaves_the_mean_gradient_where_it_points():
    torch.manual_seed(7)
    weight = torch.nn.Parameter(torch.randn(6, 4))
    optimizer = Soap([weight], lr=0.01, refresh_interval=10**9)

    def mean_gradient():
        state = optimizer.state[weight]
        return state["rows_basis"] @ state["exp_avg"] @ state["columns_basis"].T

    for _ in range(12):
        weight.grad = torch.randn_like(weight)
        optimizer.step()
    before, basis = mean_gradient(), optimizer.state[weight]["rows_basis"].clone()
    for axis in (-2, -1):
        _refresh(optimizer.state[weight], axis)
    assert not torch.allclose(basis, optimizer.state[weight]["rows_basis"], atol=1e-3)
    torch.testing.assert_close(mean_gradient(), before)


def test_a_side_that_is_too_long_and_vectors_are_left_as_they_are():
    torch.manual_seed(2)
    gradients = [torch.randn(40, 12), torch.randn(12)]
    moved = []
    for make in (lambda p: Soap(p, lr=0.01, weight_decay=0.01, max_side=8), lambda p: AdamW(p, lr=0.01)):
        torch.manual_seed(3)
        parameters = [torch.nn.Parameter(torch.randn_like(g)) for g in gradients]
        optimizer = make(parameters)
        for group in optimizer.param_groups:
            group["betas"] = (0.9, 0.98)
        for _ in range(3):
            for parameter, gradient in zip(parameters, gradients, strict=True):
                parameter.grad = gradient.clone()
            optimizer.step()
        moved.append(parameters)
    for ours, plain in zip(*moved, strict=True):
        torch.testing.assert_close(ours, plain)


def test_stacked_matrices_share_their_bases():
    torch.manual_seed(4)
    stack = torch.nn.Parameter(torch.randn(3, 5, 4))
    stack.grad = torch.randn(3, 5, 4)
    optimizer = Soap([stack], lr=0.01)
    optimizer.step()
    state = optimizer.state[stack]
    rows = sum(g @ g.T for g in stack.grad)
    torch.testing.assert_close(state["rows"], rows)
    assert state["rows_basis"].shape == (5, 5)
    assert state["columns_basis"].shape == (4, 4)
    torch.testing.assert_close(state["rows_basis"].T @ state["rows_basis"], torch.eye(5), atol=1e-5, rtol=0)


def test_saved_and_loaded_it_goes_on_to_the_bit():
    inputs, targets = ill_conditioned(5)
    config = TrainingConfig(optimizer="soap", learning_rate=0.05, precision="fp32")
    kinds = {"weight": "rest", "bias": "rest"}

    def run(model, optimizer, steps):
        for _ in range(steps):
            optimizer.zero_grad()
            (model(inputs) - targets).square().mean().backward()
            optimizer.step()

    torch.manual_seed(6)
    model = torch.nn.Linear(48, 24)
    optimizer = build_optimizer(model, kinds, config)
    assert isinstance(optimizer, Soap)
    run(model, optimizer, 30)
    resumed = copy.deepcopy(model)
    other = build_optimizer(resumed, kinds, config)
    load_optimizer_state(other, copy.deepcopy(optimizer_state(optimizer)))
    run(model, optimizer, 30)  # passes a refresh of the bases
    run(resumed, other, 30)
    for ours, theirs in zip(model.parameters(), resumed.parameters(), strict=True):
        assert torch.equal(ours, theirs)


def test_refuses_a_closure():
    weight = torch.nn.Parameter(torch.ones(2, 2))
    with pytest.raises(ValueError, match="closure"):
        Soap([weight], lr=0.1).step(lambda: 0.0)


def test_half_of_the_experts_move_as_among_all_of_them() -> None:
    torch.manual_seed(0)
    start = torch.randn(4, 6, 8, dtype=torch.float64)
    gradients = torch.randn(9, 4, 6, 8, dtype=torch.float64)
    whole = torch.nn.Parameter(start.clone())
    half = torch.nn.Parameter(start[:2].clone())
    settings = {"lr": 0.01, "measure_interval": 2, "refresh_interval": 3}
    over_all = Soap([("w", whole)], **settings)
    over_half = Soap([("w", half)], **settings)
    elsewhere: list[torch.Tensor] = []  # the other half's gradient of this step

    def complete(name: str, covariance: torch.Tensor) -> None:
        (other,) = elsewhere
        side = -2 if covariance.shape[0] == 6 else -1
        vectors = other.movedim(side, 0).flatten(1)
        assert name == "w"
        covariance += vectors @ vectors.mT

    over_half.complete_covariance = complete
    for gradient in gradients:
        whole.grad, half.grad, elsewhere[:] = gradient.clone(), gradient[:2].clone(), [gradient[2:]]
        over_all.step()
        over_half.step()
    assert not torch.equal(half, start[:2])
    torch.testing.assert_close(half, whole[:2], rtol=1e-9, atol=1e-12)
