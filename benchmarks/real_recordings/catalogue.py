"""The recordings: which reader, how to step through them, and when their motion is no more than noise."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

from benchmarks.real_recordings import body_readers, earth_readers, space_readers, table_readers
from benchmarks.real_recordings.tracks import Array, Track, cut_windows, uniform_pieces

CONTEXT = 64
HORIZON = 16
MOST_WINDOWS = 100  # of one recording, so that none outweighs the others by its length


@dataclass(frozen=True)
class Recording:
    """One recording and how it is cut.

    Attributes:
        file: below the data folder.
        read: its reader.
        moves: what moves, in a few words.
        rest: metres; windows whose observed points spread less (standard deviation, one for the three
            axes) are left out. It is set where the sensor's noise or resolution would be most of the motion.
        stride: native steps in one step of a window, chosen so that a window shows motion.
        context: observed points; fewer where no track is long enough.
        horizon: points to forecast.
    """

    file: str
    read: Callable[[Path], list[Track]]
    moves: str
    rest: float
    stride: int = 1
    context: int = CONTEXT
    horizon: int = HORIZON

    @property
    def name(self) -> str:
        """File name without its endings."""
        return Path(self.file).name.split(".")[0]

    def windows(self, data: Path, most: int = MOST_WINDOWS) -> Array:
        """Its windows, ``[N, context + horizon, 3]`` metres; N is 0 when no track is long enough or moves.

        Raises:
            OSError: the file cannot be read.
            ValueError: the file is not of the format.
        """
        pieces = [
            piece for track in self.read(data / self.file) for piece in uniform_pieces(track, self.stride)
        ]
        return cut_windows(pieces, self.context + self.horizon, self.context, self.rest, most)


RECORDINGS: tuple[Recording, ...] = (
    Recording("slam/tum_fr1_xyz_groundtruth.txt", table_readers.read_tum, "hand-held camera", 0.01, 4),
    Recording("slam/rpng_table_01.txt", table_readers.read_tum, "rig carried round a table", 0.01, 4),
    Recording("slam/tumvi_room4_mocap0.csv", table_readers.read_euroc, "hand-held rig in a room", 0.01, 4),
    Recording("slam/georeferenced_utm.tum", table_readers.read_tum, "platform in UTM coordinates", 0.2),
    Recording(
        "drone/qdr_vertical_01_GT.csv", table_readers.read_north_east_down, "drone, waves in height", 0.5
    ),
    Recording(
        "drone/qdr_vertical_07_GT.csv", table_readers.read_north_east_down, "drone, waves in height", 0.5
    ),
    Recording(
        "drone/qdr_horizontal_11_GT.csv", table_readers.read_north_east_down, "drone, waves aside", 0.5
    ),
    Recording("drone/crazyflie_real_path_001.csv", table_readers.read_crazyflie, "small drone", 0.1, 10),
    Recording("drone/crazyflie_real_path_008.csv", table_readers.read_crazyflie, "small drone", 0.1, 10),
    Recording("mocap/wheelchair_racing_propulsion.c3d", body_readers.read_c3d, "wheelchair markers", 0.01, 2),
    Recording("mocap/vicon_nexus_box_lift.csv", body_readers.read_vicon, "markers, lifting a box", 0.005),
    Recording("mocap/shoulder_markers_comma.trc", body_readers.read_trc, "shoulder markers", 0.001),
    Recording("mocap/cmu_131_01_start_walk_stop.bvh", body_readers.read_bvh_root, "hips, walking", 0.01, 4),
    Recording("robot/kuka_3D-pick-box.mat", body_readers.read_demonstrations, "robot arm by hand", 0.01, 4),
    Recording("robot/kuka_3D_viapoint_2.mat", body_readers.read_demonstrations, "robot arm by hand", 0.01, 4),
    Recording("space/igs19362_gps.sp3", space_readers.read_sp3, "GPS satellites", 1e6),
    Recording("space/grg21553_gps_glonass.sp3", space_readers.read_sp3, "GPS, GLONASS", 1e6, 1, 40, 10),
    Recording(
        "space/artemis1_orion_asflown_part1.oem", space_readers.read_oem_text, "Orion to the Moon", 1e6, 4
    ),
    Recording("space/iss_2021-08_oem.xml", space_readers.read_oem_xml, "space station", 1e6),
    Recording("aircraft/zero_gravity.json.gz", earth_readers.read_aircraft, "parabolic flight", 300.0, 2),
    Recording("aircraft/franconia.json.gz", earth_readers.read_aircraft, "glider", 100.0),
    Recording(
        "aircraft/noisy_landing.json.gz", earth_readers.read_aircraft, "landing, with outliers", 300.0, 2
    ),
    Recording("aircraft/funchal.json.gz", earth_readers.read_aircraft, "beacon-checking flight", 300.0),
    Recording("gnss/olsztyn.igc", earth_readers.read_igc, "glider", 100.0),
    Recording("gnss/napret.igc", earth_readers.read_igc, "paraglider", 30.0),
    Recording("gnss/new_zealand.igc", earth_readers.read_igc, "glider", 100.0),
    Recording("gnss/hike_korita_zbevnica.gpx", earth_readers.read_gpx, "hike", 30.0),
    Recording("gnss/car_rtk_part1.pos", earth_readers.read_rtklib, "car in a city", 5.0, 2),
    # Tracks of at most 39 frames.
    Recording("cells/t_cells_part1.txt", table_readers.read_cells, "T cells", 2e-6, 1, 20, 5),
    Recording("particles/fibres_ptv_part1.txt", table_readers.read_particles, "fibres in water", 0.005),
)

SKIPPED: dict[str, str] = {
    "aircraft/opensky_state_vectors.parquet": "parquet needs pyarrow, which is not installed",
    "animals/oystercatcher_2018_gps.csv.gz": "a fix every ten minutes: nothing moves on from fix to fix",
    "drone/px4_format_check_only.ulg": "a board that lies on a bench",
    "gnss/radiosonde_2023-01-17_1123.kmz": "its line has no times, and gaps that they would show",
    "gnss/ride_edge810.fit": "FIT has no reader here",
    "gnss/run_fenix2.fit": "FIT has no reader here",
    "particles/silica_in_turbulence.h5": "HDF5 needs h5py, which is not installed",
    "sea/glider_dfo-eva035_L0.nc": "netCDF 4 needs h5py, which is not installed",
    "sea/seaexplorer_sea046_gli_11.csv.gz": "latitude and longitude change at the surface only",
    "sea/seaexplorer_sea046_gli_12.csv.gz": "latitude and longitude change at the surface only",
    "space/stations_2024-05.tle": "orbit elements, not positions",
}


def present(data: Path, recordings: Iterable[Recording] = RECORDINGS) -> list[Recording]:
    """The recordings whose files are there."""
    return [recording for recording in recordings if (data / recording.file).is_file()]
