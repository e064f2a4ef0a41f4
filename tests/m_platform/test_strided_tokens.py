"""Strided tokens and the frame of motion: the same forecast whatever tokens are asked for."""

import numpy as np
import pytest
import torch

from m.attention.attention import causal_mask
from m.moe import MoESequenceRegressor, SequenceBatch
from m.moe.config import AnchorConfig, AttentionConfig, ContextConfig, ModelConfig


@pytest.fixture(params=["all blocks alike", "attending in turns"])
def model(request):
    torch.manual_seed(0)
    alike = request.param == "all blocks alike"
    config = ModelConfig(
        dim=32,
        n_layers=2 if alike else 4,
        attention=AttentionConfig(every=1 if alike else 3),
        dense_feed_forward=not alike,
        window=32,
        stride=16,
        anchor=AnchorConfig(orientation="motion", span=64, mirror=not alike),
        context=ContextConfig(shortened_share=0.5),
    )
    made = MoESequenceRegressor(config).double().eval()
    for parameter in made.parameters():
        if parameter.ndim > 1:
            torch.nn.init.normal_(parameter, std=0.3)
    return made


@pytest.fixture
def paths():
    generator = torch.Generator().manual_seed(1)
    return torch.randn(4, 70, 3, generator=generator, dtype=torch.float64).cumsum(1).cumsum(1)


def test_forecasts_turn_move_and_scale_with_the_path(model, paths):
    turn, _ = torch.linalg.qr(torch.randn(3, 3, dtype=torch.float64))
    turn = turn * torch.det(turn)
    before = model.forecast(paths, 40).mean @ turn.T.numpy() * 1000 + 7e6
    after = model.forecast(paths @ turn.T * 1000 + 7e6, 40).mean
    assert np.abs(before - after).max() < 1e-9 * np.abs(after - 7e6).max()


@pytest.mark.parametrize("channels", [2, 3])
def test_with_mirror_forecasts_are_reflected_with_the_path(paths, channels):
    torch.manual_seed(2)
    changes = {"input_dim": channels, "target_dim": channels, "dim": 32, "n_layers": 1}
    reflect = torch.eye(channels, dtype=torch.float64)
    reflect[0, 0] = -1
    paths = paths[..., :channels]
    for mirror in (True, False):
        anchor = AnchorConfig(orientation="motion", mirror=mirror)
        model = MoESequenceRegressor(ModelConfig(anchor=anchor, **changes)).double().eval()
        torch.nn.init.normal_(model.head.projection.weight, std=0.3)
        before = model.forecast(paths, 20).mean @ reflect.numpy()
        after = model.forecast(paths @ reflect, 20).mean
        assert np.allclose(before, after, rtol=1e-9) == mirror


@pytest.mark.parametrize("mirror", [False, True])
def test_flat_paths_turn_in_space_with_their_forecasts(mirror):
    """A path without handedness must not have one made up from rounding."""
    torch.manual_seed(4)
    anchor = AnchorConfig(orientation="motion", mirror=mirror)
    model = MoESequenceRegressor(ModelConfig(dim=32, n_layers=1, anchor=anchor)).double().eval()
    torch.nn.init.normal_(model.head.projection.weight, std=0.3)
    angle = torch.linspace(0, 2, 40, dtype=torch.float64)
    circle = torch.stack((angle.cos(), angle.sin(), torch.zeros_like(angle)), -1)
    before = model.forecast(circle, 20).mean
    for _ in range(10):
        turn = torch.linalg.qr(torch.randn(3, 3, dtype=torch.float64))[0]
        turn = turn * torch.det(turn)
        np.testing.assert_allclose(
            model.forecast(circle @ turn.T, 20).mean, before @ turn.T.numpy(), atol=1e-9
        )


def test_mirror_without_a_frame_is_refused():
    with pytest.raises(ValueError, match="needs anchor.orientation motion"):
        AnchorConfig(mirror=True)


def test_the_tokens_a_forecast_needs_give_what_all_tokens_give(model, paths):
    anchor = model(paths).anchor
    every = model(paths, anchor=anchor).distribution.location
    tokens = model.token_positions(torch.full((4,), 70))
    assert tokens.tolist() == [[5, 21, 37, 53, 69]]
    some = model(paths, anchor=anchor, tokens=tokens).distribution.location
    torch.testing.assert_close(some, every[:, tokens[0]])


def test_one_point_at_a_time_gives_what_the_whole_path_gives(model, paths):
    anchor = model(paths).anchor
    cache = model.allocate_cache(4, 70)
    steps = [
        model(paths[:, t : t + 1], anchor=anchor, positions=torch.full((4, 1), t), cache=cache)
        for t in range(70)
    ]
    together = model(paths, anchor=anchor).distribution.location
    torch.testing.assert_close(torch.cat([s.distribution.location for s in steps], 1), together)


@pytest.mark.parametrize("horizon", [16, 40])  # within the head's steps, without a cache, and beyond
def test_contexts_of_different_lengths_share_a_batch(model, paths, horizon):
    lengths = [70, 33, 64, 17]
    together = model.forecast(paths, horizon, lengths=lengths).mean
    for row, length in enumerate(lengths):
        alone = model.forecast(paths[row, :length], horizon).mean
        np.testing.assert_allclose(together[row], alone, rtol=1e-9)


def test_shortened_training_sequences_end_where_their_paths_go_on(model, paths):
    batch = SequenceBatch(paths[:, :54], paths)
    output = model.train().loss(batch)
    assert torch.isfinite(output.loss)
    torch.testing.assert_close(output.target, paths[:, 54:])


@pytest.mark.parametrize("reach", [1, 2])
def test_with_a_reach_older_points_do_not_matter(paths, reach):
    """A long context is forecast as its end alone: all that training at this length has taught."""
    torch.manual_seed(3)
    config = ModelConfig(
        dim=32,
        n_layers=1,  # what is seen grows from block to block, as with every sliding window
        window=16,
        stride=16,
        attention=AttentionConfig(reach=reach),
        anchor=AnchorConfig(orientation="motion", span=16),
    )
    model = MoESequenceRegressor(config).double().eval()
    torch.nn.init.normal_(model.head.projection.weight, std=0.3)
    seen = 16 * reach
    for horizon in (16, 40):  # from the head alone, and rolled on with a cache
        whole = model.forecast(paths, horizon).mean
        np.testing.assert_allclose(whole, model.forecast(paths[:, -seen:], horizon).mean, rtol=1e-9)
        assert not np.allclose(whole, model.forecast(paths[:, -seen + 1 :], horizon).mean, rtol=1e-3)


def test_a_mask_with_a_reach_is_the_textbook_one():
    positions = torch.arange(12)[None]
    mask = causal_mask(positions, positions, stride=3, reach=2)[0, 0]
    expected = [[q - k in (0, 3) for k in range(12)] for q in range(12)]
    assert mask.tolist() == expected
