"""Windows of recordings: which there are, that parts share no point, and that the stream is fixed."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from itertools import islice, pairwise
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch

from examples.trajectory_3d.dataset_config import AugmentationConfig, DatasetConfig
from examples.trajectory_3d.datasets import TrajectoryDataset, fixed_set, stream_batches, type_names
from examples.trajectory_3d.recorded.opening import open_recordings
from examples.trajectory_3d.recorded.parts import PARTS
from examples.trajectory_3d.recorded.row_groups import is_parquet
from examples.trajectory_3d.recordings.trajectory import Trajectory
from examples.trajectory_3d.recordings.writers import output_formats
from examples.trajectory_3d.recordings_config import SplitConfig
from m.config import ConfigError, from_dict, to_dict

OBSERVED, HORIZON = 6, 3
LENGTH = OBSERVED + HORIZON


def numbered(count, mark, *, missing=(), track="", step=0.5, unit="m"):
    """A track whose windows tell which samples they hold: x is i squared, y is i times the mark."""
    index = np.array([i for i in range(count) if i not in set(missing)], dtype=np.float64)
    points = np.stack([index**2, mark * index, np.zeros(len(index))], axis=1)
    return Trajectory(index * step, points, unit=unit, track=track)


def told(points):
    """What windows [K, T, 3] of `numbered` tracks hold: mark and samples of each; fails if one is missing."""
    assert np.allclose(np.diff(points[..., 0], n=2, axis=1), 2.0), "a window crosses a gap"
    first = (points[:, 1, 0] - points[:, 0, 0] - 1) / 2
    marks = points[:, 1, 1] - points[:, 0, 1]
    return [
        (round(mark), round(start) + np.arange(points.shape[1]))
        for mark, start in zip(marks, first, strict=True)
    ]


def write(path: Path, *tracks: Trajectory) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    output_formats()["json"].write(path, tracks)
    return path


def write_shard(path: Path, tracks, rows: int) -> Path:
    """A Parquet file with row groups of so many rows."""
    path.parent.mkdir(parents=True, exist_ok=True)
    output_formats()["parquet"].write(path, tracks)
    pq.write_table(pq.read_table(path), path, row_group_size=rows)
    return path


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    """Two files: one with a gap, one with two tracks."""
    root = tmp_path_factory.mktemp("recordings")
    write(root / "one.json", numbered(300, 1, missing=range(100, 110)))
    write(root / "two.json", numbered(200, 2, track="a"), numbered(200, 3, track="b"))
    (root / "README.md").write_text("# not a recording\n")
    return root


@pytest.fixture(scope="module")
def shards(tmp_path_factory) -> Path:
    """Shards with row groups of 70 samples, so that tracks go on from one to the next."""
    root = tmp_path_factory.mktemp("shards")
    write_shard(root / "p.parquet", [numbered(400, 1, track="a"), numbered(150, 2, track="b")], 70)
    write_shard(root / "q.parquet", [numbered(200, 3, track="c")], 70)
    return root


def config(path, **changes) -> DatasetConfig:
    return DatasetConfig(
        **{
            "source": "files",
            "paths": (str(path),),
            "sequence_length": OBSERVED,
            "prediction_length": HORIZON,
            "windows_per_block": 32,
            "seed": 5,
            **changes,
        }
    )


def held(store, part):
    """Of one epoch of a part: how often each window comes, as (mark, first sample)."""
    windows = told(store.shuffled(part, 0, 0, store.facts.count(part)).points)
    return Counter((mark, int(samples[0])) for mark, samples in windows)


def samples_of(windows):
    return {(mark, int(i)) for mark, samples in windows for i in samples}


def of_part(store, part):
    return told(store.shuffled(part, 0, 0, store.facts.count(part)).points)


# ---- windows of files ----


def test_recordings_that_are_there_twice_lie_in_one_part(tmp_path):
    for mark in range(1, 7):
        for copy in "ab":
            write(tmp_path / f"{copy}{mark}.json", numbered(40, mark))
    store = open_recordings(config(tmp_path, split=SplitConfig(by="track", fractions=(0.4, 0.3, 0.3))))
    marks = {part: {mark for mark, _ in of_part(store, part)} for part in PARTS}
    assert sorted(mark for part in PARTS for mark in marks[part]) == [1, 2, 3, 4, 5, 6]


@pytest.mark.parametrize("by", ["time", "track"])
@pytest.mark.parametrize("kind", ["memory", "shards"])
def test_no_point_that_is_judged_was_trained_on(folder, shards, kind, by):
    path = folder if kind == "memory" else shards
    fractions = (0.6, 0.2, 0.2) if by == "time" else (0.34, 0.33, 0.33)
    store = open_recordings(
        config(path, split=SplitConfig(by=by, fractions=fractions), stream=kind == "shards")
    )
    windows = {part: of_part(store, part) for part in PARTS}
    points = {part: samples_of(windows[part]) for part in PARTS}
    assert all(points.values())
    for one, other in (("train", "validation"), ("train", "test"), ("validation", "test")):
        assert not points[one] & points[other]
        marks = {mark for mark, _ in points[one]} & {mark for mark, _ in points[other]}
        assert bool(marks) == (by == "time")
        for mark in marks:  # with the embargo between
            latest = max(i for m, i in points[one] if m == mark)
            assert min(i for m, i in points[other] if m == mark) > latest + HORIZON


def test_every_window_of_the_files_is_there_once(folder):
    """Against a plain search: every stretch without a gap, in some part unless it touches a cut."""
    store = open_recordings(config(folder, split=SplitConfig(fractions=(1.0, 0.0, 0.0))))
    lengths = {1: [(0, 100), (110, 300)], 2: [(0, 200)], 3: [(0, 200)]}
    expected = {
        (mark, start)
        for mark, pieces in lengths.items()
        for first, end in pieces
        for start in range(first, end - LENGTH + 1)
    }
    assert held(store, "train") == Counter(expected)
    assert store.facts.count("test") == 0
    assert store.facts.groups == ("one", "two")
    assert store.facts.windows["train"].tolist() == [274, 384]


def test_every_window_inside_a_row_group_comes_once_an_epoch(shards):
    store = open_recordings(config(shards, split=SplitConfig(fractions=(1.0, 0.0, 0.0)), stream=True))
    rows = [(1, i) for i in range(400)] + [(2, i) for i in range(150)]
    files = [rows, [(3, i) for i in range(200)]]
    expected = Counter()
    for file in files:
        for begin in range(0, len(file), 70):
            group = file[begin : begin + 70]
            expected.update(
                group[s] for s in range(len(group) - LENGTH + 1) if group[s][0] == group[s + LENGTH - 1][0]
            )
    total = store.facts.count("train")
    assert held(store, "train") == expected
    second = told(store.shuffled("train", 0, total, total).points)
    assert Counter((mark, int(samples[0])) for mark, samples in second) == expected
    first = told(store.shuffled("train", 0, 0, total).points)
    assert [w[1][0] for w in first] != [w[1][0] for w in second]
    # Row groups are mixed: one after the other a window would come from where the last one came.
    near = [abs(a[1][0] - b[1][0]) < 70 and a[0] == b[0] for a, b in pairwise(first)]
    assert np.mean(near) < 0.6


def test_shards_in_memory_and_streamed_are_the_same_but_at_the_borders_of_row_groups(shards):
    fractions = SplitConfig(fractions=(1.0, 0.0, 0.0))
    whole = held(open_recordings(config(shards, split=fractions, stream=False)), "train")
    streamed = held(open_recordings(config(shards, split=fractions, stream=True)), "train")
    assert not streamed - whole
    assert sum(whole.values()) == 3 * (1 - LENGTH) + 750


def test_evaluation_windows_lie_evenly_over_each_group(folder, shards):
    batch = fixed_set(config(folder), "test", 12)
    assert batch.type_ids.tolist() == [0] * 6 + [1] * 6
    starts = [int(samples[0]) for mark, samples in told(batch.path.double().numpy()) if mark == 1]
    assert starts == sorted(starts)
    steps = np.diff(starts)
    assert max(steps) - min(steps) <= 1
    assert torch.equal(batch.context, batch.path[:, :OBSERVED])  # as measured, without noise
    assert torch.equal(batch.context[:, -1], torch.zeros(12, 3))  # counted from the last point seen
    streamed = fixed_set(config(shards, stream=True), "test", 9)
    assert streamed.type_ids.tolist() == sorted(streamed.type_ids.tolist())
    assert len({(m, int(s[0])) for m, s in told(streamed.path.double().numpy())}) == streamed.num_sequences


# ---- streams ----


def flat(batches):
    return torch.cat([torch.cat([batch.context, batch.path], 1) for batch in batches])


def sources(folder, shards):
    noisy = {"noise_fraction": (0.0, 0.1), "augmentation": AugmentationConfig(rotate=True, reverse=0.5)}
    return {
        "memory": config(folder, **noisy),
        "shards": config(shards, stream=True, **noisy),
        "mixed": config(folder, source="mixed", files_weight=0.3, type_weights={"helical": 1.0}, **noisy),
    }


@pytest.mark.parametrize("kind", ["memory", "shards", "mixed"])
def test_the_stream_is_the_same_however_it_is_cut_and_wherever_it_begins(folder, shards, kind):
    dataset = sources(folder, shards)[kind]
    whole = flat(islice(TrajectoryDataset(dataset, split="train", batch_size=100), 8))
    for size, start in ((7, 0), (50, 5), (160, 3)):
        some = flat(islice(TrajectoryDataset(dataset, split="train", batch_size=size, start_batch=start), 2))
        assert torch.equal(some, whole[start * size : (start + 2) * size])


@pytest.mark.parametrize("kind", ["memory", "shards", "mixed"])
@pytest.mark.parametrize("workers", [1, 2])
def test_the_stream_is_the_same_for_any_number_of_workers(folder, shards, kind, workers):
    dataset = sources(folder, shards)[kind]
    options = {"split": "train", "batch_size": 24, "start_batch": 3}
    alone = flat(islice(stream_batches(dataset, num_workers=0, **options), 6))
    assert torch.equal(flat(islice(stream_batches(dataset, num_workers=workers, **options), 6)), alone)


def test_a_mixture_holds_its_share_of_recordings_and_each_of_their_windows_once(folder):
    dataset = config(
        folder, source="mixed", files_weight=0.3, type_weights={"helical": 0.5, "orbital": 0.5}, noise_std=0.0
    )
    assert type_names(dataset) == ("helical", "orbital", "one", "two")
    total = open_recordings(dataset).facts.count("train")
    blocks = (
        int(total / (0.3 * 32)) + 1
    )  # so many hold an epoch of recordings and less than a block of the next
    stream = next(iter(TrajectoryDataset(dataset, split="train", batch_size=32 * blocks)))
    recorded = stream.path[stream.type_ids >= 2].double().numpy()
    assert len(recorded) == int(32 * blocks * 0.3)
    windows = Counter((mark, int(samples[0])) for mark, samples in told(recorded))
    assert len(windows) == total
    assert sum(count == 2 for count in windows.values()) == len(recorded) - total < 32
    assert set(stream.type_ids.tolist()) == {0, 1, 2, 3}
    fixed = fixed_set(dataset, "test", 20)
    assert (fixed.type_ids >= 2).sum() == 6


def test_augmentation_keeps_shapes_and_noise_falls_on_the_context_alone(folder):
    plain = config(folder)
    turned = replace(plain, augmentation=AugmentationConfig(rotate=True, mirror=True))
    one = next(iter(TrajectoryDataset(plain, split="train", batch_size=60)))
    other = next(iter(TrajectoryDataset(turned, split="train", batch_size=60)))
    torch.testing.assert_close(
        one.path.diff(dim=1).norm(dim=-1), other.path.diff(dim=1).norm(dim=-1), rtol=1e-4, atol=1e-3
    )
    assert not torch.allclose(one.path, other.path)
    noisy = next(
        iter(TrajectoryDataset(replace(plain, noise_fraction=(0.1, 0.1)), split="train", batch_size=60))
    )
    assert torch.equal(noisy.path, one.path)
    noise = (noisy.context - one.context).double()
    size = one.context.double().sub(one.context.double().mean(1, keepdim=True)).square().mean((1, 2)).sqrt()
    assert (noise.std((1, 2)) / size).mean().item() == pytest.approx(0.1, rel=0.1)
    judged = fixed_set(replace(turned, noise_fraction=(0.1, 0.1)), "test", 20)
    assert torch.equal(judged.path, fixed_set(plain, "test", 20).path)


# ---- what is opened, and how it is called ----


def test_groups_by_file_folder_and_track(tmp_path):
    write(tmp_path / "day1/run.json", numbered(60, 1, track="a"), numbered(60, 2, track="b"))
    write(tmp_path / "day2/run.json", numbered(60, 3, track="a"))
    write(tmp_path / "day2/helical.json", numbered(60, 4))
    names = {
        by: open_recordings(config(tmp_path, group_by=by)).facts.groups for by in ("file", "folder", "track")
    }
    assert names["file"] == ("day1_run", "helical_file", "day2_run")
    assert names["folder"] == ("day1", "day2")
    assert names["track"] == ("a", "b", "helical_file")


def test_parts_by_folder_are_those_of_the_folders(tmp_path):
    for mark, part in enumerate(PARTS, 1):
        write(tmp_path / part / "00000.json", numbered(50, mark, track="flight/a"))
    store = open_recordings(config(tmp_path, split=SplitConfig(by="folder")))
    for mark, part in enumerate(PARTS, 1):
        assert {m for m, _ in of_part(store, part)} == {mark}
    assert store.facts.groups == ("flight",)
    write(tmp_path / "else/x.json", numbered(50, 9))
    with pytest.raises(ConfigError, match=r"x\.json lies in none called train, validation, test"):
        open_recordings(config(tmp_path, split=SplitConfig(by="folder")))


def test_units_stay_or_become_metres(tmp_path):
    write(tmp_path / "feet.json", numbered(100, 1, unit="ft"))
    alone = open_recordings(config(tmp_path))
    assert (alone.facts.unit, alone.facts.notes) == ("ft", ())
    write(tmp_path / "km.json", numbered(100, 2, unit="km"))
    both = open_recordings(config(tmp_path, split=SplitConfig(fractions=(1.0, 0.0, 0.0))))
    assert both.facts.unit == "m"
    assert "ft, km are converted to metres" in both.facts.notes[0]
    windows = both.spread("train", 2).points
    assert windows[:, 1, 1] - windows[:, 0, 1] == pytest.approx([0.3048, 2000.0])
    mixed = config(tmp_path / "km.json", source="mixed", type_weights={"helical": 1.0})
    assert open_recordings(mixed).facts.unit == "m"
    write(tmp_path / "some.json", numbered(100, 3, unit="unknown"))
    assert open_recordings(config(tmp_path)).facts.unit == "unknown"


def test_resampling_rates_and_dimensions(tmp_path):
    write(tmp_path / "slow.json", numbered(100, 1, step=1.0))
    write(tmp_path / "fast.json", numbered(400, 2, step=0.1))
    facts = open_recordings(config(tmp_path)).facts
    assert facts.step == pytest.approx(0.1)
    assert "rates from 1 to 10 Hz" in facts.notes[0]
    same = open_recordings(config(tmp_path, resample=2.0)).facts
    assert (same.step, same.notes) == (0.5, ())
    flat_track = Trajectory(np.arange(50.0), np.arange(50.0)[:, None] ** 2, names=("x",))
    wide = np.random.default_rng(0).normal(size=(50, 5))
    write(tmp_path / "d/one.json", flat_track)
    write(tmp_path / "d/five.json", Trajectory(np.arange(50.0), wide, names=("x", "y", "z", "vx", "vy")))
    odd = open_recordings(config(tmp_path / "d", split=SplitConfig(fractions=(1.0, 0.0, 0.0))))
    assert any("one or two coordinates" in note for note in odd.facts.notes)
    assert any("first three columns" in note for note in odd.facts.notes)
    first = odd.spread("train", 2).points  # five, then one
    np.testing.assert_allclose(first[0], wide[:LENGTH, :3] - wide[OBSERVED - 1, :3])
    assert (first[1][:, 1:] == 0).all()


def test_far_positions_keep_their_digits(tmp_path):
    index = np.arange(120.0)
    points = np.stack([6.4e6 + index**2 / 1024, index, index], axis=1)
    write(tmp_path / "far.json", Trajectory(index, points, unit="m"))
    batch = fixed_set(config(tmp_path), "test", 3)
    second = batch.path[..., 0].double().diff(n=2, dim=1)
    torch.testing.assert_close(second, torch.full_like(second, 2 / 1024), rtol=0, atol=1e-6)


def test_files_that_stay_the_same_are_opened_once(folder, tmp_path):
    assert open_recordings(config(folder)) is open_recordings(config(folder))
    path = write(tmp_path / "a.json", numbered(100, 1))
    before = open_recordings(config(path)).facts.fingerprint
    write(path, numbered(120, 1))
    assert open_recordings(config(path)).facts.fingerprint != before


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"source": "files"}, "dataset.paths is empty"),
        ({"paths": ["x"]}, "dataset.source is motions; set it to files, or to mixed"),
        ({"source": "film", "paths": ["x"]}, "source"),
        ({"source": "files", "paths": ["x"], "split": {"fractions": [0.8, 0.1, 0.2]}}, "must sum to 1"),
        ({"source": "files", "paths": ["x"], "split": {"fractions": [1.2, -0.1, -0.1]}}, "three shares"),
        ({"source": "files", "paths": ["x"], "split": {"by": "file"}}, "split.by"),
        ({"source": "files", "paths": ["x"], "split": {"embargo": -1}}, "split.embargo.*-1"),
        ({"source": "files", "paths": ["x"], "stride": 0}, "stride.*0"),
        ({"source": "files", "paths": ["x"], "rest": -1.0}, "rest"),
        ({"source": "files", "paths": ["x"], "resample": 0.0}, "resample"),
        ({"source": "files", "paths": ["x"], "group_by": "day"}, "group_by"),
        ({"source": "files", "paths": ["x"], "read": {"unit": "parsec"}}, "parsec"),
        ({"source": "mixed", "paths": ["x"], "files_weight": 1.0}, "files_weight.*source to files"),
        ({"source": "files", "path": ["x"]}, "did you mean 'paths'"),
    ],
)
def test_settings_that_mean_nothing_are_refused(values, message):
    with pytest.raises(ConfigError, match=message):
        from_dict(DatasetConfig, values)


def test_settings_survive_the_way_to_yaml(folder):
    dataset = config(folder, split=SplitConfig(by="track", embargo=4), group_by="track", rest=0.5)
    again = from_dict(DatasetConfig, to_dict(dataset))
    assert again == dataset
    assert hash(again.recordings) == hash(dataset.recordings)


def test_paths_that_lead_nowhere_say_so(tmp_path, folder):
    with pytest.raises(ConfigError, match=r"nowhere: no such file or folder"):
        open_recordings(config(tmp_path / "nowhere"))
    (tmp_path / "notes.md").write_text("nothing")
    with pytest.raises(ConfigError, match="no recording of a known format"):
        open_recordings(config(tmp_path))
    with pytest.raises(ConfigError, match="dataset.stream reads Parquet"):
        open_recordings(config(folder, stream=True))
    assert open_recordings(config(folder / "*.json")).facts.groups == ("one", "two")


def test_a_part_without_windows_says_what_to_do(tmp_path):
    write(tmp_path / "short.json", numbered(40, 1))
    with pytest.raises(
        ConfigError, match=r"validation part .* holds no window of 9 points.*split.by to track"
    ):
        fixed_set(config(tmp_path), "validation", 5)


def test_damaged_shards_are_refused(tmp_path):
    path = write_shard(tmp_path / "a.parquet", [numbered(100, 1, track="a")], 50)
    assert is_parquet(path)
    content = path.read_bytes()
    for cut in (4, len(content) // 2, len(content) - 1):
        path.write_bytes(content[:cut])
        with pytest.raises(ConfigError, match=r"a\.parquet: .*Parquet"):
            open_recordings(config(path, stream=True))
    for table in ({"time": [0.0], "u": [1.0]}, {"time": ["a"], "x": [1.0]}, {"x": [1.0], "y": [2.0]}):
        pq.write_table(pa.table(table), path)
        with pytest.raises(ConfigError, match=r"dataset\.paths: .*a\.parquet.*expected"):
            open_recordings(config(path, stream=True))


def test_shards_of_other_programs_are_read_by_their_columns(tmp_path):
    path = tmp_path / "other.parquet"
    index = np.arange(80)
    table = {
        "when": index * 500.0,
        "bird": pa.array(["b"] * 80).dictionary_encode(),
        "e": index**2.0,
        "n": index * 1.0,
    }
    pq.write_table(pa.table(table), path, row_group_size=40)
    options = {"time": "when", "time_unit": "ms", "track": "bird", "position": ["e", "n"], "unit": "km"}
    dataset = from_dict(DatasetConfig, {**to_dict(config(path, stream=True)), "read": options})
    store = open_recordings(replace(dataset, split=SplitConfig(fractions=(1.0, 0.0, 0.0)), group_by="track"))
    assert (store.facts.unit, store.facts.groups, store.facts.step) == ("km", ("b",), 0.5)
    assert sum(held(store, "train").values()) == 2 * (40 - LENGTH + 1)
