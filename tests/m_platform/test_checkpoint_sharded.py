"""States in parts: the last good one is found, whatever happened to the others; none of them runs code."""

from __future__ import annotations

import contextlib
import pickle
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from processes import Crew

from m.checkpoint import CheckpointError
from m.checkpoint.sharded import ShardedCheckpoints, _read_index
from m.parallel import ParallelConfig, joined_world

STEPS = (4, 8, 12)


def tensors(step: int) -> dict[str, torch.Tensor]:
    return {
        "model/weight": torch.full((3, 2), float(step)),
        "random/shared": torch.tensor([step % 256]).byte(),
    }


def write(folder: Path) -> None:
    with joined_world(ParallelConfig(), "cpu") as world:
        checkpoints = ShardedCheckpoints(folder, is_main=world.is_main, group=world.disk)
        for step in STEPS:
            held = tensors(step)
            checkpoints.save(step, held, {"kind": "training_state", "step": step})
            held["model/weight"].zero_()  # what training does next is no part of the state
        checkpoints.settle()


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    folder = tmp_path_factory.mktemp("written") / "training_state"
    with Crew(2) as crew:
        crew.run(2, write, folder)
    return folder


@pytest.fixture
def folder(written: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(written, tmp_path / "training_state"))


def load(folder: Path, step: int) -> dict[str, torch.Tensor]:
    room = {name: torch.zeros_like(tensor) for name, tensor in tensors(step).items()}
    ShardedCheckpoints(folder).load(step, room)
    return room


def test_two_are_kept_and_hold_what_was_there_when_they_were_saved(folder: Path) -> None:
    checkpoints = ShardedCheckpoints(folder)
    assert checkpoints.steps() == [8, 12]
    assert checkpoints.latest() == 12
    for step in (8, 12):
        assert checkpoints.plain(step)["step"] == step
        found = load(folder, step)
        assert all(torch.equal(found[name], tensor) for name, tensor in tensors(step).items())


@pytest.mark.parametrize("name", [".metadata", "plain.pt", "manifest.json", "__0_0.distcp"])
@pytest.mark.parametrize("how", ["missing", "cut", "changed"])
def test_a_damaged_state_is_passed_over_for_the_one_before(folder: Path, name: str, how: str) -> None:
    path = ShardedCheckpoints(folder).place(12) / name
    content = path.read_bytes()
    if how == "missing":
        path.unlink()
    else:
        path.write_bytes(content[: len(content) // 2] if how == "cut" else b"?" + content[1:])
    assert ShardedCheckpoints(folder).latest() == 8


def test_without_a_whole_state_it_is_said_what_is_wrong_with_each(folder: Path) -> None:
    checkpoints = ShardedCheckpoints(folder)
    for step in checkpoints.steps():
        (checkpoints.place(step) / "plain.pt").unlink()
    with pytest.raises(CheckpointError, match=r"no whole state: .*12/plain\.pt is missing; .*08/plain\.pt"):
        checkpoints.latest()
    with pytest.raises(CheckpointError, match="it is empty"):
        ShardedCheckpoints(folder / "nowhere").latest()


def test_what_was_being_written_when_all_died_is_no_state(folder: Path) -> None:
    (folder / ".step-0000000016.writing").mkdir()
    assert ShardedCheckpoints(folder).latest() == 12


class Evil:
    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> Any:
        return Path.touch, (self.path,)


def test_an_index_cannot_run_code(folder: Path, tmp_path: Path) -> None:
    index = ShardedCheckpoints(folder).place(12) / ".metadata"
    index.write_bytes(pickle.dumps(Evil(tmp_path / "ran")))
    with pytest.raises(CheckpointError, match="refused, it names"):
        ShardedCheckpoints(folder).shapes(12)
    assert not (tmp_path / "ran").exists()


@settings(max_examples=200, deadline=None)
@given(place=st.floats(0, 1, exclude_max=True), value=st.integers(0, 255), cut=st.booleans())
def test_no_damage_to_an_index_raises_anything_else(
    written: Path, place: float, value: int, cut: bool
) -> None:
    content = (ShardedCheckpoints(written).place(12) / ".metadata").read_bytes()
    at = int(place * len(content))
    damaged = written.parent / "damaged"
    damaged.write_bytes(content[:at] if cut else content[:at] + bytes([value]) + content[at + 1 :])
    with contextlib.suppress(CheckpointError):
        _read_index(damaged)


def test_a_tensor_that_is_not_there_is_named(folder: Path) -> None:
    with pytest.raises(CheckpointError, match="model/other"):
        ShardedCheckpoints(folder).load(12, {"model/other": torch.zeros(3)})
