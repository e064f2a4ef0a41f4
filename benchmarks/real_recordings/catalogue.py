"""The recordings: how each is read, how to step through it, and when its motion is no more than noise."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from benchmarks.real_recordings.windows import cut_windows
from examples.trajectory_3d.arrays import Float64Array
from examples.trajectory_3d.recordings import ReadOptions, read
from examples.trajectory_3d.recordings.mending import mend
from examples.trajectory_3d.recordings.resampling import native_step, uniform_pieces

CONTEXT = 64
HORIZON = 16
MOST_WINDOWS = 100  # of one recording, so that none outweighs the others by its length
_CMU_UNIT = 0.0254 / 0.45  # metres: the CMU motion-capture unit is 1/0.45 inch
_CELLS = ReadOptions(time="3", position=("4", "5", "6"), track="2", unit="um")
_FIBRES = ReadOptions(time="9", position=("2", "3", "4"), track="1", unit="mm", rate=25.0)
_METRES = ReadOptions(unit="m")
_CRAZYFLIE = ReadOptions(unit="m", rate=100.0)


@dataclass(frozen=True)
class Recording:
    """One recording and how it is cut.

    Attributes:
        file: below the data folder.
        moves: what moves, in a few words.
        rest: metres; windows whose observed points spread less (standard deviation, one for the three
            axes) are left out. It is set where the sensor's noise or resolution would be most of the motion.
        stride: native steps in one step of a window, chosen so that a window shows motion.
        context: observed points; fewer where no track is long enough.
        horizon: points to forecast.
        options: what the file does not say.
        track: the one to use of those in the file; None for all.
        metres: in a unit of a file that does not say its unit.
    """

    file: str
    moves: str
    rest: float
    stride: int = 1
    context: int = CONTEXT
    horizon: int = HORIZON
    options: ReadOptions = field(default_factory=ReadOptions)
    track: str | None = None
    metres: float | None = None

    @property
    def name(self) -> str:
        """File name without its endings."""
        return Path(self.file).name.split(".")[0]

    def pieces(self, data: Path) -> list[Float64Array]:
        """Pieces of uniform rate, each ``[n, 3]`` metres.

        Raises:
            OSError: the file cannot be read.
            RecordingError: the file is not of its format.
        """
        found = []
        for trajectory in read(data / self.file, self.options):
            if self.track is not None and trajectory.track != self.track:
                continue
            mended = mend(trajectory).trajectory
            if len(mended) < 2:
                continue
            rate = None if self.stride == 1 else 1 / (native_step(mended.times) * self.stride)
            size = trajectory.metres if self.metres is None else self.metres
            gap = None if self.stride == 1 else max(3, self.stride) * native_step(mended.times)
            parts = uniform_pieces(mended, rate=rate, longest_gap=gap)
            found += [np.ascontiguousarray(part.points[:, :3]) * size for part in parts]
        return found

    def windows(self, data: Path, most: int = MOST_WINDOWS) -> Float64Array:
        """Its windows, ``[N, context + horizon, 3]`` metres; N is 0 when no track is long enough or moves.

        Raises:
            OSError: the file cannot be read.
            RecordingError: the file is not of its format.
        """
        length = self.context + self.horizon
        return cut_windows(self.pieces(data), length, self.context, self.rest, most)


RECORDINGS: tuple[Recording, ...] = (
    Recording("slam/tum_fr1_xyz_groundtruth.txt", "hand-held camera", 0.01, 4),
    Recording("slam/rpng_table_01.txt", "rig carried round a table", 0.01, 4),
    Recording("slam/tumvi_room4_mocap0.csv", "hand-held rig in a room", 0.01, 4),
    Recording("slam/georeferenced_utm.tum", "platform in UTM coordinates", 0.2),
    Recording("drone/qdr_vertical_01_GT.csv", "drone, waves in height", 0.5, options=_METRES),
    Recording("drone/qdr_vertical_07_GT.csv", "drone, waves in height", 0.5, options=_METRES),
    Recording("drone/qdr_horizontal_11_GT.csv", "drone, waves aside", 0.5, options=_METRES),
    Recording("drone/crazyflie_real_path_001.csv", "small drone", 0.1, 10, options=_CRAZYFLIE),
    Recording("drone/crazyflie_real_path_008.csv", "small drone", 0.1, 10, options=_CRAZYFLIE),
    Recording("mocap/wheelchair_racing_propulsion.c3d", "wheelchair markers", 0.01, 2),
    Recording("mocap/vicon_nexus_box_lift.csv", "markers, lifting a box", 0.005),
    Recording("mocap/shoulder_markers_comma.trc", "shoulder markers", 0.001),
    Recording(
        "mocap/cmu_131_01_start_walk_stop.bvh", "hips, walking", 0.01, 4, track="Hips", metres=_CMU_UNIT
    ),
    Recording("robot/kuka_3D-pick-box.mat", "robot arm by hand", 0.01, 4, options=_METRES),
    Recording("robot/kuka_3D_viapoint_2.mat", "robot arm by hand", 0.01, 4, options=_METRES),
    Recording("space/igs19362_gps.sp3", "GPS satellites", 1e6),
    Recording("space/grg21553_gps_glonass.sp3", "GPS, GLONASS", 1e6, 1, 40, 10),
    Recording("space/artemis1_orion_asflown_part1.oem", "Orion to the Moon", 1e6, 4),
    Recording("space/iss_2021-08_oem.xml", "space station", 1e6),
    Recording("space/stations_2024-05.tle", "objects near space stations", 1e6),
    Recording("aircraft/zero_gravity.json.gz", "parabolic flight", 300.0, 2),
    Recording("aircraft/franconia.json.gz", "glider", 100.0),
    Recording("aircraft/noisy_landing.json.gz", "landing, with outliers", 300.0, 2),
    Recording("aircraft/funchal.json.gz", "beacon-checking flight", 300.0),
    Recording("aircraft/opensky_state_vectors.parquet", "airliner, climb and cruise", 300.0),
    Recording("gnss/olsztyn.igc", "glider", 100.0),
    Recording("gnss/napret.igc", "paraglider", 30.0),
    Recording("gnss/new_zealand.igc", "glider", 100.0),
    Recording("gnss/ride_edge810.fit", "bicycle", 30.0),
    Recording("gnss/run_fenix2.fit", "runner", 15.0),
    Recording("gnss/hike_korita_zbevnica.gpx", "hike", 30.0, 1, 40),
    Recording("gnss/car_rtk_part1.pos", "car in a city", 5.0, 2),
    Recording("sea/glider_dfo-eva035_L0.nc", "underwater glider", 30.0),
    # Tracks of at most 39 frames.
    Recording("cells/t_cells_part1.txt", "T cells", 2e-6, 1, 20, 5, options=_CELLS),
    Recording("particles/fibres_ptv_part1.txt", "fibres in water", 0.005, options=_FIBRES),
    Recording("particles/silica_in_turbulence.h5", "grains in turbulent water", 2e-4, options=_METRES),
)

SKIPPED: dict[str, str] = {
    "animals/oystercatcher_2018_gps.csv.gz": "a fix every ten minutes: nothing moves on from fix to fix",
    "drone/px4_format_check_only.ulg": "a board that lies on a bench",
    "gnss/radiosonde_2023-01-17_1123.kmz": "its line has no times, and gaps that they would show",
    "sea/seaexplorer_sea046_gli_11.csv.gz": "latitude and longitude change at the surface only",
    "sea/seaexplorer_sea046_gli_12.csv.gz": "latitude and longitude change at the surface only",
}


def present(data: Path, recordings: Iterable[Recording] = RECORDINGS) -> list[Recording]:
    """The recordings whose files are there."""
    return [recording for recording in recordings if (data / recording.file).is_file()]
