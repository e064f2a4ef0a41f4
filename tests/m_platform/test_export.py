"""Graphs written to files and run by onnxruntime and torch: any batch, any length, no expert lost."""

import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from exported import graph_of
from reference import MODELS, small_model
from serving import assert_close, walk

import m
from m.attention.rope import rotate, rotation
from m.experts.experts import Experts
from m.export import export_model, make_graph, measure_parity
from m.moe.config import AttentionConfig, ExpertsConfig, RouterConfig
from m.moe.request import ForecastRequest
from m.routing.base import Router
from m.runtime.manifest import ExportedModelError, Manifest
from m.runtime.model import load_exported

# Big enough for int8 to apply to, and with every part that a graph must carry.
WIDE = {
    "dim": 128,
    "window": 16,
    "stride": 16,
    "dense_feed_forward": True,
    "experts": ExpertsConfig(hidden_dim=64, shared_hidden_dim=64),
    "router": RouterConfig(kind="topk", n_experts=8, top_k=2),
    "attention": AttentionConfig(n_heads=4, every=2),
    "anchor": MODELS["turned"]["anchor"],
    "head": MODELS["turned"]["head"],
}


@pytest.fixture(scope="module")
def model():
    return small_model(**WIDE)


@pytest.fixture(scope="module", params=["onnx", "pt2", "bf16", "int8"])
def shipped(request, model, tmp_path_factory):
    folder = tmp_path_factory.mktemp(request.param)
    export_model(model, request.param, folder)
    return request.param, folder, load_exported(folder, threads=1)


def read(exported, context):
    return exported.read(exported.begin(ForecastRequest.of(exported.manifest.config, context, 1)))


@pytest.mark.parametrize("batch", [1, 2, 7])
@pytest.mark.parametrize("length", [1, 16, 33, 90])
def test_any_batch_and_any_length(model, shipped, batch, length):
    kind, _, exported = shipped
    context = walk(length, seed=length, batch=batch)
    found, expected = read(exported, context), model.forecast(context, 4).mean
    if kind in ("onnx", "pt2"):
        assert_close(found.location, expected)
    else:  # rounded weights; that these random ones still forecast alike is all that can be said
        assert np.isfinite(found.location).all()
        assert np.abs(found.location - expected).mean() < 0.2 * (np.ptp(context, axis=1).mean() + 1)


@pytest.fixture(scope="module", params=[("onnx", "strided"), ("pt2", "points")])
def remembering(request, tmp_path_factory):
    """Graphs that take a key-value cache."""
    kind, name = request.param
    model, folder = small_model(**MODELS[name]), tmp_path_factory.mktemp(f"{kind}-{name}")
    assert export_model(model, kind, folder).cached
    return model, load_exported(folder, threads=1)


@pytest.mark.parametrize("batch", [1, 5])
@pytest.mark.parametrize("length", [1, 20, 70])
@pytest.mark.parametrize("horizon", [3, 30])
def test_any_cache_length(remembering, batch, length, horizon):
    model, exported = remembering
    context = walk(length, seed=length, batch=batch)
    parity = measure_parity(model, exported, context, walk(horizon, seed=1, batch=batch))
    assert parity.largest < 1e-3
    assert parity.error == pytest.approx(parity.model_error, rel=1e-3)


def test_a_graph_leaves_its_inputs_alone(remembering):
    _, exported = remembering
    rows = exported.begin(ForecastRequest.of(exported.manifest.config, walk(20, batch=2), 30))
    rows = rows.after(exported.read(rows)).append(walk(4, seed=1, batch=2))
    inputs = rows.inputs()
    before = {name: values.copy() for name, values in inputs.items()}
    exported._run(inputs)
    for name, values in inputs.items():
        np.testing.assert_array_equal(values, before[name])


def test_far_origins_lose_no_digits(model, shipped):
    kind, _, exported = shipped
    near = walk(40, seed=1, batch=2, origin=0.0)
    there = read(exported, near + 7e6).location - 7e6
    bound = {"onnx": 1e-4, "pt2": 1e-4, "bf16": 1e-4, "int8": 0.2}[kind]  # int8 rounds by what it sees
    assert np.abs(there - read(exported, near).location).max() < bound * np.ptp(near)


def test_no_expert_is_lost(model, shipped):
    """Each expert of each layer is chosen by some window, also those that the traced example never chose."""
    _, _, exported = shipped
    context = np.concatenate([walk(40, seed=seed, batch=16) * 10.0 ** (seed % 3) for seed in range(8)])
    block, whole = read(exported, context), model.forecast(context, 4)
    for number, layer in enumerate(whole.routing.layers):
        chosen = block.experts[:, -1, number]
        assert set(chosen.ravel()) == set(range(8))
        assert (chosen == layer.experts[:, -1].numpy()).mean() > 0.9


def test_sizes(shipped, model):
    kind, folder, _ = shipped
    whole = 4 * sum(parameter.numel() for parameter in model.parameters())
    size = (folder / Manifest.read(folder).file).stat().st_size
    share = {"onnx": (0.95, 1.5), "pt2": (0.95, 1.6), "bf16": (0.45, 0.8), "int8": (0.25, 0.75)}[kind]
    assert share[0] < size / whole < share[1]


def test_onnx_holds_no_loop_and_no_einsum(shipped):
    kind, folder, _ = shipped
    if kind == "pt2":
        return
    graph = onnx.load(folder / "model.onnx")
    if kind != "int8":  # which has operators of onnxruntime's own
        onnx.checker.check_model(graph)
    kinds = {node.op_type for node in graph.graph.node}
    assert not kinds & {"Loop", "If", "Scan", "Einsum", "NonZero"}


def test_parity_is_measured(model):
    context, ahead = walk(40, seed=2, batch=100), walk(4, seed=3, batch=100)
    exact = measure_parity(model, graph_of(model), context, ahead)
    assert exact.windows == 100
    assert exact.largest < 1e-4
    assert exact.same_experts == 1.0
    distance = np.linalg.norm(model.forecast(context, 4).mean - ahead, axis=-1).mean()
    assert exact.model_error == pytest.approx(distance)
    assert exact.worse == pytest.approx(0.0, abs=1e-4)
    other = measure_parity(model, graph_of(small_model(seed=1, **WIDE)), context, ahead)
    assert other.largest > 0.1
    assert other.same_experts < 0.9


@pytest.mark.parametrize("activation", ["gelu", "swiglu"])
def test_the_export_form_of_experts_is_the_loop(activation):
    torch.manual_seed(0)
    config = ExpertsConfig(hidden_dim=24, activation=activation, kernel="loop")
    loop = Experts(16, 5, config)
    loop.reset_parameters(1.0)
    flat = Experts(16, 5, ExpertsConfig(hidden_dim=24, activation=activation, kernel="batched"))
    flat.load_state_dict(loop.state_dict())
    tokens, gates = torch.randn(9, 16), torch.rand(9, 2)
    chosen = torch.stack([torch.randperm(5)[:2] for _ in range(9)])
    torch.testing.assert_close(flat(tokens, chosen, gates), loop(tokens, chosen, gates))


def test_exported_rotations_are_the_complex_ones(monkeypatch):
    heads = torch.randn(2, 3, 7, 8)
    by = rotation(torch.arange(7)[None], 8, 1e4, torch.float32)
    plain = rotate(heads, by)
    monkeypatch.setattr(torch.compiler, "is_exporting", lambda: True)
    torch.testing.assert_close(rotate(heads, by), plain)


def test_what_cannot_be_exported_says_so(model, tmp_path, monkeypatch):
    with pytest.raises(ValueError, match="no format 'tflite'; there are onnx"):
        export_model(model, "tflite", tmp_path)
    monkeypatch.setattr(Router, "causal", False)
    with pytest.raises(ValueError, match="by other tokens"):
        make_graph(model)
    assert not list(tmp_path.iterdir())


def test_what_cannot_be_run_says_so(shipped, tmp_path):
    _, folder, _ = shipped
    manifest = Manifest.read(folder)
    manifest.write(tmp_path)
    with pytest.raises(ExportedModelError, match="no such file"):
        load_exported(tmp_path)
    (tmp_path / manifest.file).write_bytes(b"no graph")
    with pytest.raises(ExportedModelError, match="cannot open"):
        load_exported(tmp_path)
    if manifest.kind != "pt2":
        with pytest.raises(ExportedModelError, match="--device cpu"):
            load_exported(folder, device="cuda")


def test_nothing_is_reported_to_anybody():
    """onnxruntime's builds send telemetry unless this is set before they are loaded."""
    check = (
        "import os, sys; os.environ.pop('ORT_DISABLE_TELEMETRY', None);"
        "from m.runtime.onnx import onnxruntime; assert 'onnxruntime' not in sys.modules;"
        "onnxruntime(); assert os.environ['ORT_DISABLE_TELEMETRY'] == '1'"
    )
    assert subprocess.run([sys.executable, "-c", check], check=False, timeout=60).returncode == 0
    sources = Path(m.__file__).parent.rglob("*.py")
    importing = re.compile(r"^\s*(import|from) onnxruntime", re.MULTILINE)
    users = [path.name for path in sources if importing.search(path.read_text())]
    assert users == ["onnx.py"]
