"""Every real recording, as a user would: inspected, forecast by the shipped model, back-tested."""

import json
from pathlib import Path

import numpy as np
import pytest

from examples.trajectory_3d.cli.data import main as data_command
from examples.trajectory_3d.cli.predict import main as predict_command

DATA = Path(__file__).parents[2] / "../shared/data/real/free"
OPTIONS = {
    "t_cells_part1.txt": ["--time", "3", "--position", "4,5,6", "--track", "2", "--unit", "um"],
    "fibres_ptv_part1.txt": ["--time", "9", "--position", "2,3,4", "--track", "1", "--rate", "25"],
    "crazyflie_real_path_001.csv": ["--rate", "100", "--unit", "m"],
    "crazyflie_real_path_008.csv": ["--rate", "100", "--unit", "m"],
    "radiosonde_2023-01-17_1123.kmz": ["--rate", "1"],
}
FILES = sorted(path for path in DATA.rglob("*") if path.is_file())

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not FILES, reason="the recordings are not here"),
]


@pytest.mark.parametrize("path", FILES or [Path("none")], ids=lambda path: path.name)
def test_a_recording_goes_all_the_way(path, tmp_path, capsys):
    options = OPTIONS.get(path.name, [])
    assert data_command(["inspect", str(path), "--json", *options]) == 0
    (found,) = json.loads(capsys.readouterr().out)["files"]
    longest = max(track["samples"] for track in found["tracks"])
    assert longest >= 8
    out = tmp_path / "forecast.json"
    # Fixes an hour apart and marks without times leave no piece of even rate: then gaps may be bridged.
    bridged = ["--longest-gap", "1e5"] if predict_command([str(path), *options, "--out", str(out)]) else []
    if bridged:
        assert predict_command([str(path), *options, *bridged, "--out", str(out)]) == 0
    rows = json.loads(out.read_text())
    assert {row["step"] for row in rows} == set(range(1, 17))
    numbers = [value for row in rows for value in row.values() if isinstance(value, float)]
    assert np.isfinite(numbers).all()
    capsys.readouterr()
    code = predict_command(
        [str(path), *options, *bridged, "--backtest", "--windows", "40", "--baselines", "constant velocity"]
    )
    told = capsys.readouterr()
    assert code == 0, told.err
    assert "trajectory-3d-wide" in told.out
