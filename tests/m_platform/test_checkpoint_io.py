"""Checkpoints: round trips, refusals, atomicity, hostile files."""

from __future__ import annotations

import os
import pickle
import zipfile
from collections import OrderedDict
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from m.checkpoint import CheckpointError, load_checkpoint, save_checkpoint

PAYLOAD = {
    "kind": "model",
    "weights": {"a": torch.arange(6.0).reshape(2, 3)},
    "step": 3,
    "names": ["x", None],
}

leaves = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=8)
plain = st.recursive(
    leaves,
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5) | st.integers(), inner, max_size=3)
    ),
    max_leaves=12,
)


class Evil:
    """Pickles into a call that creates a file."""

    def __init__(self, target: Path) -> None:
        self.target = target

    def __reduce__(self) -> tuple[object, tuple[object, ...]]:
        return (Path.touch, (self.target,))


@settings(max_examples=40, deadline=None)
@given(content=plain)
def test_plain_content_round_trips(content, tmp_path_factory):
    path = tmp_path_factory.mktemp("plain") / "a.pt"
    save_checkpoint(path, {"content": content})
    assert load_checkpoint(path) == {"format": "m.checkpoint", "version": 1, "content": content}


@pytest.mark.parametrize(
    "dtype",
    [torch.float64, torch.float32, torch.bfloat16, torch.float16, torch.int64, torch.bool, torch.uint8],
)
def test_tensors_come_back_to_the_bit(dtype, tmp_path):
    tensor = (torch.randn(5, 3) * 3).to(dtype)
    save_checkpoint(tmp_path / "a.pt", {"t": tensor, "empty": tensor[:0], "scalar": tensor[0, 0]})
    loaded = load_checkpoint(tmp_path / "a.pt")
    assert loaded["t"].dtype == dtype
    assert torch.equal(loaded["t"], tensor)
    assert loaded["empty"].shape == (0, 3)
    assert loaded["scalar"].shape == ()


def test_equal_content_gives_equal_bytes_and_folders_are_made(tmp_path):
    first, second = tmp_path / "deep" / "er" / "a.pt", tmp_path / "b.pt"
    save_checkpoint(first, PAYLOAD)
    save_checkpoint(second, PAYLOAD)
    assert first.read_bytes() == second.read_bytes()


def test_a_view_does_not_drag_its_whole_storage_into_the_file(tmp_path):
    save_checkpoint(tmp_path / "a.pt", {"row": torch.zeros(1000, 1000)[0]})
    assert (tmp_path / "a.pt").stat().st_size < 20_000


def test_an_expanded_tensor_is_written_out_in_full(tmp_path):
    row = torch.arange(3.0)
    save_checkpoint(tmp_path / "a.pt", {"rows": row.expand(1000, 3), "windows": row.unfold(0, 2, 1)})
    loaded = load_checkpoint(tmp_path / "a.pt")
    assert torch.equal(loaded["rows"], torch.tensor([[0.0, 1.0, 2.0]] * 1000))
    assert torch.equal(loaded["windows"], torch.tensor([[0.0, 1.0], [1.0, 2.0]]))


@pytest.mark.parametrize(
    "tensor",
    [torch.zeros(1).expand(2**40), torch.zeros(2, 1).expand(2, 2**20), torch.arange(4.0).unfold(0, 3, 1)],
    ids=["scalar", "row", "overlapping"],
)
def test_a_tensor_that_describes_more_than_the_file_stores_is_refused(tensor, tmp_path):
    path = tmp_path / "a.pt"
    torch.save({"format": "m.checkpoint", "version": 1, "model": {"inner": [tensor]}}, path)
    with pytest.raises(CheckpointError, match=r"payload\['model'\]\['inner'\]\[0\].*stores") as caught:
        load_checkpoint(path)
    assert "a.pt" in str(caught.value)


def test_views_of_one_storage_are_not_multiplied_by_loading(tmp_path):
    path = tmp_path / "a.pt"
    whole = torch.arange(100.0)
    torch.save({"format": "m.checkpoint", "version": 1, "views": [whole[i:] for i in range(50)]}, path)
    views = load_checkpoint(path)["views"]
    assert all(torch.equal(view, whole[i:]) for i, view in enumerate(views))
    assert len({view.untyped_storage().data_ptr() for view in views}) == 1


def test_state_dict_of_a_module_is_plain(tmp_path):
    module = nn.Linear(3, 2)
    save_checkpoint(tmp_path / "a.pt", {"model": module.state_dict()})
    other = nn.Linear(3, 2)
    other.load_state_dict(load_checkpoint(tmp_path / "a.pt")["model"])
    assert torch.equal(other.weight, module.weight)


@pytest.mark.parametrize(
    ("value", "named"),
    [
        (Path("x"), "Path"),
        ((1, 2), "tuple"),
        ({1, 2}, "set"),
        (np.float64(1.0), "numpy.float64"),
        (np.zeros(2), "ndarray"),
        (b"raw", "bytes"),
        (nn.Linear(1, 1), "Linear"),
        (torch.float32, "dtype"),
        (torch.zeros(2, device="meta"), "meta"),
        (torch.eye(2).to_sparse(), "sparse"),
    ],
)
def test_what_is_not_plain_is_refused_with_its_key_path(value, named, tmp_path):
    with pytest.raises(CheckpointError, match=r"payload\['outer'\]\[1\]\['inner'\]") as caught:
        save_checkpoint(tmp_path / "a.pt", {"outer": [0, {"inner": value}]})
    assert named in str(caught.value)
    assert list(tmp_path.iterdir()) == []


def test_bad_keys_cycles_and_marker_clashes_are_refused(tmp_path):
    with pytest.raises(CheckpointError, match="keys must be str or int"):
        save_checkpoint(tmp_path / "a.pt", {"a": {(1, 2): 3}})
    cycle: list[object] = []
    cycle.append(cycle)
    with pytest.raises(CheckpointError, match="cycle"):
        save_checkpoint(tmp_path / "a.pt", {"a": cycle})
    with pytest.raises(CheckpointError, match="format"):
        save_checkpoint(tmp_path / "a.pt", {"format": "mine"})


def test_failure_between_write_and_rename_keeps_the_old_file(tmp_path, monkeypatch):
    path = tmp_path / "a.pt"
    save_checkpoint(path, {"step": 1})
    before = path.read_bytes()

    def crash(*_: object) -> None:
        raise OSError("power cut")

    with monkeypatch.context() as patch:
        patch.setattr(os, "replace", crash)
        with pytest.raises(OSError, match="power cut"):
            save_checkpoint(path, {"step": 2})
    assert path.read_bytes() == before
    assert [p.name for p in tmp_path.iterdir()] == ["a.pt"]
    save_checkpoint(path, {"step": 2})
    assert load_checkpoint(path)["step"] == 2


def test_the_file_is_on_disk_before_it_takes_the_name(tmp_path, monkeypatch):
    calls: list[str] = []
    real_sync, real_replace = os.fsync, os.replace
    monkeypatch.setattr(os, "fsync", lambda fd: (calls.append("fsync"), real_sync(fd))[1])
    monkeypatch.setattr(os, "replace", lambda a, b: (calls.append("replace"), real_replace(a, b))[1])
    save_checkpoint(tmp_path / "a.pt", PAYLOAD)
    assert calls == ["fsync", "replace", "fsync"]  # file, rename, folder


def test_missing_folder_and_foreign_files_are_named(tmp_path):
    with pytest.raises(CheckpointError, match="no such checkpoint"):
        load_checkpoint(tmp_path / "none.pt")
    with pytest.raises(CheckpointError, match="is a folder"):
        load_checkpoint(tmp_path)
    text = tmp_path / "notes.txt"
    text.write_text("hello")
    with pytest.raises(CheckpointError, match=r"notes\.txt: not a checkpoint"):
        load_checkpoint(text)
    (tmp_path / "empty.pt").touch()
    with pytest.raises(CheckpointError, match="not a checkpoint"):
        load_checkpoint(tmp_path / "empty.pt")
    archive = tmp_path / "foreign.zip"
    with zipfile.ZipFile(archive, "w") as file:
        file.writestr("readme.txt", "hello")
    with pytest.raises(CheckpointError, match="cannot be read as a checkpoint"):
        load_checkpoint(archive)
    torch.save(OrderedDict(a=torch.zeros(2)), tmp_path / "bare.pt")
    with pytest.raises(CheckpointError, match=r"no 'm\.checkpoint' marker"):
        load_checkpoint(tmp_path / "bare.pt")


@pytest.mark.parametrize("share", [0.05, 0.5, 0.95, 0.999])
def test_truncated_files_are_refused(share, tmp_path):
    path = tmp_path / "a.pt"
    save_checkpoint(path, {"t": torch.randn(100)})
    content = path.read_bytes()
    path.write_bytes(content[: int(share * len(content))])
    with pytest.raises(CheckpointError, match="truncated"):
        load_checkpoint(path)


def test_an_empty_file_is_called_empty(tmp_path):
    (tmp_path / "a.pt").touch()
    with pytest.raises(CheckpointError, match="the file is empty; copy it again"):
        load_checkpoint(tmp_path / "a.pt")


def test_a_foreign_class_is_named_without_advice_to_load_it(tmp_path):
    torch.save({"a": Path("x")}, tmp_path / "a.pt")
    with pytest.raises(CheckpointError, match=r"plain content \(\w+\.[\w.]*PosixPath\); only load") as caught:
        load_checkpoint(tmp_path / "a.pt")
    assert "can still be loaded" not in str(caught.value)
    assert str(caught.value).isprintable()  # torch's own text is coloured


def test_a_flipped_bit_in_the_weights_is_found(tmp_path):
    path = tmp_path / "a.pt"
    weights = torch.randn(1000)
    save_checkpoint(path, {"t": weights})
    content = bytearray(path.read_bytes())
    start = bytes(content).index(weights.numpy().tobytes())
    content[start + 2000] ^= 1
    path.write_bytes(content)
    with pytest.raises(CheckpointError, match="checksum"):
        load_checkpoint(path)


@settings(max_examples=60, deadline=None)
@given(data=st.data())
def test_no_damage_escapes_the_error_class(data, tmp_path_factory):
    path = tmp_path_factory.mktemp("damage") / "a.pt"
    save_checkpoint(path, PAYLOAD)
    content = bytearray(path.read_bytes())
    position = data.draw(st.integers(0, len(content) - 1))
    content[position] ^= data.draw(st.integers(1, 255))
    path.write_bytes(content)
    try:
        loaded = load_checkpoint(path)
    except CheckpointError:
        return
    assert torch.equal(loaded["weights"]["a"], PAYLOAD["weights"]["a"])  # only padding was hit


@pytest.mark.parametrize("container", ["archive", "pickle", "legacy"])
def test_code_in_a_file_does_not_run(container, tmp_path):
    path, target = tmp_path / "evil.pt", tmp_path / "touched"
    payload = {"format": "m.checkpoint", "version": 1, "model": Evil(target)}
    if container == "pickle":
        path.write_bytes(pickle.dumps(payload))
    else:
        torch.save(payload, path, _use_new_zipfile_serialization=container == "archive")
    with pytest.raises(CheckpointError, match=r"refused|not a checkpoint"):
        load_checkpoint(path)
    assert not target.exists()
    if container == "archive":  # the payload is live: the unsafe reader runs it
        torch.load(path, weights_only=False)
        assert target.exists()


def test_compressed_archives_are_refused_unread(tmp_path):
    path = tmp_path / "bomb.pt"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as file:
        file.writestr("archive/data.pkl", bytes(10_000_000))
    with pytest.raises(CheckpointError, match="compressed"):
        load_checkpoint(path)


def test_kind_and_version_are_checked(tmp_path):
    path = tmp_path / "a.pt"
    save_checkpoint(path, {"kind": "training_state"})
    assert load_checkpoint(path, kind="training_state")["kind"] == "training_state"
    with pytest.raises(CheckpointError, match="'training_state', expected a 'model'"):
        load_checkpoint(path, kind="model")
    torch.save({"format": "m.checkpoint", "version": 2}, path)
    with pytest.raises(CheckpointError, match="version 2"):
        load_checkpoint(path)
