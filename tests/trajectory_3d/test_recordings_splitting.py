"""Parts share no point, whatever is split, and are the same each time."""

import json
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from examples.trajectory_3d.recordings import splitting
from examples.trajectory_3d.recordings.options import ReadOptions
from examples.trajectory_3d.recordings.splitting import PARTS, Split, deal, split_files
from examples.trajectory_3d.recordings.trajectory import Trajectory
from m.config import ConfigError
from tests.trajectory_3d.recordings_format import install, save_tracks


@pytest.fixture(autouse=True)
def _format(monkeypatch):
    install(monkeypatch)


def track(count, seed, step=0.5):
    return Trajectory(np.arange(count) * step, np.random.default_rng(seed).normal(size=(count, 3)), unit="m")


class Written(dict):
    """Shards in memory by part, as the splitter writes them."""

    def __call__(self, path, tracks, format_name):
        assert format_name == "parquet"
        assert path.parent.is_dir()
        self.setdefault(path.parent.name, []).extend(tracks)

    def rows(self, part):
        return {tuple(row) for each in self.get(part, []) for row in each.points.tolist()}


def split(files, out, **options):
    written = Written()
    plan = split_files([(f, "testtracks") for f in files], ReadOptions(), Split(**options), out, written)
    assert json.loads((out / "split.json").read_text()) == plan
    return written, plan


def test_by_track_each_point_is_in_one_part(tmp_path):
    tracks = {f"t{n}": track(50 + 10 * n, n) for n in range(20)}
    file = save_tracks(tmp_path / "a.tt", tracks)
    written, plan = split([file], tmp_path / "out", seed=3)
    rows = [written.rows(part) for part in PARTS]
    assert not rows[0] & rows[1]
    assert not rows[0] & rows[2]
    assert not rows[1] & rows[2]
    total = sum(len(each) for each in tracks.values())
    assert sum(map(len, rows)) == total == plan["samples"]
    shares = [plan["parts"][part]["samples"] / total for part in PARTS]
    assert shares == pytest.approx([0.8, 0.1, 0.1], abs=0.06)
    names = [each["name"] for part in PARTS for each in plan["parts"][part]["tracks"]]
    assert sorted(names) == sorted(f"a/{name}" for name in tracks)


def test_the_seed_decides_and_nothing_else(tmp_path):
    file = save_tracks(tmp_path / "a.tt", {f"t{n}": track(60, n) for n in range(12)})
    plans = [split([file], tmp_path / str(n), seed=seed)[1] for n, seed in enumerate((1, 1, 2))]
    assert plans[0] == plans[1]
    assert plans[0]["parts"] != plans[2]["parts"]


def test_copies_of_a_track_stay_together(tmp_path):
    tracks = {f"t{n}": track(60, n) for n in range(6)}
    files = [save_tracks(tmp_path / name, tracks) for name in ("a.tt", "b.tt")]
    written, _ = split(files, tmp_path / "out", fractions=(0.5, 0.25, 0.25))
    assert not written.rows("train") & written.rows("test")
    assert not written.rows("train") & written.rows("validation")


def test_by_file_tracks_of_a_file_stay_together(tmp_path):
    files = [
        save_tracks(tmp_path / f"{n}.tt", {name: track(30, 10 * n + k) for k, name in enumerate("abc")})
        for n in range(8)
    ]
    _, plan = split(files, tmp_path / "out", by="file")
    homes = {part: {each["source"] for each in plan["parts"][part]["tracks"]} for part in PARTS}
    assert sum(map(len, homes.values())) == 8
    assert all(len(plan["parts"][part]["tracks"]) == 3 * len(homes[part]) for part in PARTS)


@pytest.mark.parametrize("streamed", [False, True])
def test_by_time_the_parts_lie_an_embargo_apart(tmp_path, monkeypatch, streamed):
    if streamed:
        monkeypatch.setattr("examples.trajectory_3d.recordings.inspecting.LARGE", 0)
        monkeypatch.setattr(splitting, "CHUNK", 64)
    file = save_tracks(tmp_path / "a.tt", {"one": track(1000, 1), "two": track(401, 2, step=2.0)})
    written, plan = split([file], tmp_path / "out", by="time", embargo=20.0)
    for name, count, step in (("a/one", 1000, 0.5), ("a/two", 401, 2.0)):
        stamps = [
            np.concatenate([each.stamps_ns() for each in written[part] if each.track == name]) / 1e9
            for part in PARTS
        ]
        for earlier, later in pairwise(stamps):
            assert later.min() - earlier.max() > 20.0
        assert stamps[0].min() == 0
        assert stamps[2].max() == (count - 1) * step
        assert len(stamps[0]) == pytest.approx(0.8 * count, abs=2)
    kept = sum(plan["parts"][part]["samples"] for part in PARTS)
    assert kept + plan["dropped_by_embargo"] == 1401
    assert plan["dropped_by_embargo"] == pytest.approx(2 * (40 + 10), abs=4)


def test_a_part_of_nothing_is_left_out(tmp_path):
    file = save_tracks(tmp_path / "a.tt", {f"t{n}": track(60, n) for n in range(4)})
    written, plan = split([file], tmp_path / "out", fractions=(0.5, 0.0, 0.5))
    assert set(written) == set(plan["parts"]) == {"train", "test"}
    written, plan = split([file], tmp_path / "time", fractions=(0.75, 0.0, 0.25), by="time", embargo=1.0)
    assert plan["dropped_by_embargo"] == pytest.approx(4 * 2, abs=2)


def test_shards_hold_about_so_many_samples(tmp_path, monkeypatch):
    monkeypatch.setattr(splitting, "SHARD", 100)
    file = save_tracks(tmp_path / "a.tt", {f"t{n}": track(60, n) for n in range(10)})
    _, plan = split([file], tmp_path / "out")
    assert plan["parts"]["train"]["files"] == [f"train/{n:05d}.parquet" for n in range(4)]


def test_what_cannot_be_split_is_refused(tmp_path):
    file = save_tracks(tmp_path / "a.tt", {"one": track(60, 1), "two": track(60, 2)})
    with pytest.raises(ConfigError, match="split by time"):
        split([file], tmp_path / "x")
    with pytest.raises(ConfigError, match="nothing is left for validation and test"):
        split([file], tmp_path / "y", by="time", embargo=10.0)
    (tmp_path / "z").mkdir()
    (tmp_path / "z/old").touch()
    with pytest.raises(FileExistsError, match="not empty"):
        split([file], tmp_path / "z", by="time")


@pytest.mark.parametrize(
    "options",
    [
        {"fractions": (0.5, 0.5, 0.5)},
        {"fractions": (1.5, -0.5, 0.0)},
        {"embargo": -1.0, "by": "time"},
        {"embargo": 1.0},
    ],
)
def test_wrong_options_are_refused(options):
    with pytest.raises(ConfigError):
        Split(**options)


@settings(max_examples=100, deadline=None)
@given(
    st.lists(st.integers(1, 1000), min_size=3, max_size=40),
    st.sampled_from([(0.8, 0.1, 0.1), (0.5, 0.0, 0.5), (1.0, 0.0, 0.0), (0.34, 0.33, 0.33)]),
    st.integers(0, 100),
)
def test_dealing_leaves_no_part_empty_and_none_wrongly_filled(sizes, fractions, seed):
    homes = deal(sizes, fractions, seed)
    assert set(homes) == {part for part, share in enumerate(fractions) if share}
    assert homes == deal(sizes, fractions, seed)
