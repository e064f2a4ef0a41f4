"""Small valid files of the field formats, written byte by byte from their specifications."""

import io
import json
import struct
import zipfile

import pytest

from examples.trajectory_3d.recordings import ReadOptions, RecordingError, read

TUM = b"""# a camera
1305031098.6659 1.3563 0.6305 1.6380 0.6132 0.5962 -0.3311 -0.3986
1305031098.6758 1.3543 0.6306 1.6360 0.6129 0.5966 -0.3316 -0.3980
1305031098.6858 1.3525 0.6307 1.6350 0.6127 0.5969 -0.3320 -0.3976
"""
KITTI = b"""1 0 0 0.5 0 1 0 -0.25 0 0 1 4
0 -1 0 0.75 1 0 0 -0.5 0 0 1 5
1 0 0 1.0 0 1 0 -0.75 0 0 1 6
"""
EUROC = b"""#timestamp [ns], p_RS_R_x [m], p_RS_R_y [m], p_RS_R_z [m], q_RS_w [], q_RS_x [], q_RS_y [], q_RS_z
1520531124177875537,0.8,-0.2,1.2,1,0,0,0
1520531124186208537,0.9,-0.3,1.3,1,0,0,0
"""
GPX = b"""<?xml version="1.0" encoding="UTF-8"?>
<gpx version="1.1" creator="test" xmlns="http://www.topografix.com/GPX/1/1">
<trk><name>hike</name>
<trkseg>
<trkpt lat="45.1" lon="14.1"><ele>100.5</ele><time>2010-10-03T15:03:30.123456789Z</time></trkpt>
<trkpt lat="45.2" lon="14.1"><ele>101.5</ele></trkpt>
<trkpt lat="45.3" lon="14.1"><ele>102.5</ele><time>2010-10-03T17:03:31+02:00</time></trkpt>
</trkseg>
<trkseg>
<trkpt lat="46.1" lon="15.1"><ele>1</ele><time>2010-10-03T16:00:00Z</time></trkpt>
</trkseg>
</trk></gpx>
"""
IGC = b"""AXGDabc\r
HFDTE311299\r
I023637LAD3838LOD\r
B2359584612584N01249706EA0098801046127\r
B2359594612581N01249699WV0098700000347\r
B0000014612579S01249692EA0098601044567\r
"""
KML = b"""<?xml version="1.0" encoding="UTF-8"?>
<kml xmlns="http://www.opengis.net/kml/2.2" xmlns:gx="http://www.google.com/kml/ext/2.2"><Document>
<Placemark><name>walk</name><gx:Track>
<when>2020-01-01T00:00:00Z</when><when>2020-01-01T00:00:01.5Z</when>
<gx:coord>8.5 47.3 400</gx:coord><gx:coord>8.6 47.4 410</gx:coord>
</gx:Track></Placemark>
<Placemark><name>line</name><LineString><coordinates>8.5,47.3,400 8.6,47.4,410
8.7,47.5,420</coordinates></LineString></Placemark>
</Document></kml>
"""
BVH = b"""HIERARCHY
ROOT Hips
{
  OFFSET 0 0 0
  CHANNELS 6 Xposition Yposition Zposition Zrotation Yrotation Xrotation
  JOINT Knee
  {
    OFFSET 0 -2 0
    CHANNELS 3 Zrotation Yrotation Xrotation
    End Site
    {
      OFFSET 0 -1 0
    }
  }
}
MOTION
Frames: 2
Frame Time: .0083333
1 2 3 0 0 0 0 0 0
1 2 3 90 0 0 10 20 30
"""
TRC = (
    b"PathFileType\t4\t(X/Y/Z)\ta.trc\n"
    b"DataRate\tCameraRate\tNumFrames\tNumMarkers\tUnits\tOrigDataRate\tOrigDataStartFrame\tOrigNumFrames\n"
    b"100\t100\t3\t2\tmm\t100\t1\t3\n"
    b"Frame#\tTime\tLASI\t\t\tRASI\t\t\n"
    b"\t\tX1\tY1\tZ1\tX2\tY2\tZ2\n"
    b"\n"
    b"1\t0.00\t1\t2\t3\t4\t5\t6\n"
    b"2\t0.01\t1.5\t2.5\t3.5\t\t\t\n"
    b"3\t0.02\t2\t3\t4\t5\t6\t7\n"
)
SP3 = b"""#cV2017  2 14  0  0  0.00000000       2 ORBIT IGS14 HLM  IGS
## 1936 172800.00000000   900.00000000 57798 0.0000000000000
+    2   G01R02  0  0  0  0  0  0  0  0  0  0  0  0  0  0  0
++         2  2  0  0  0  0  0  0  0  0  0  0  0  0  0  0  0
%c M  cc GPS ccc cccc cccc cccc cccc ccccc ccccc ccccc ccccc
%c cc cc ccc ccc cccc cccc cccc cccc ccccc ccccc ccccc ccccc
%f  1.2500000  1.025000000  0.00000000000  0.000000000000000
/* A COMMENT
*  2017  2 14  0  0  0.00000000
PG01   9950.635414 -20205.485937 -13973.830231     49.177035  7  6  8 122
VG01  12345.678901 -20000.000000      1.000000 999999.999999
PR02 -21716.776296  13624.376066  -5710.906483    476.234805
VR02      1.000000      2.000000      3.000000 999999.999999
*  2017  2 14  0 15  0.00000000
PG01      0.000000      0.000000      0.000000 999999.999999
VG01      0.000000      0.000000      0.000000 999999.999999
PR02 -21000.000000  13624.376066  -5710.906483    476.234805
VR02      1.000000      2.000000      3.000000 999999.999999
EOF
"""
_META = """META_START
OBJECT_NAME = {name}
OBJECT_ID = 2020-001A
CENTER_NAME = EARTH
REF_FRAME = {frame}
TIME_SYSTEM = {system}
START_TIME = {start}
USEABLE_START_TIME = {start}
USEABLE_STOP_TIME = {start}
STOP_TIME = {stop}
META_STOP
"""
OEM = (
    "CCSDS_OEM_VERS = 2.0\nCREATION_DATE = 2020-01-01T00:00:00\nORIGINATOR = TEST\n"
    + _META.format(
        name="A", frame="EME2000", system="UTC", start="2020-01-01T00:00:00", stop="2020-001T00:01:00"
    )
    + "COMMENT one\n2020-01-01T00:00:00 7000 0 0 0 7.5 0\n2020-001T00:01:00.000Z 6990 450 0 -0.5 7.4 0\n"
    + _META.format(
        name="A", frame="ITRF2000", system="TAI", start="2020-01-02T00:00:37", stop="2020-01-05T00:00:00"
    )
    + "2020-01-02T00:00:37 7000 0 0 0 7.5 0 0.1 0.2 0.3\n"
    + "COVARIANCE_START\nEPOCH = 2020-01-02T00:00:37\n1\n1 2\nCOVARIANCE_STOP\n"
).encode()
OEM_XML = b"""<?xml version="1.0"?>
<oem id="CCSDS_OEM_VERS" version="2.0"><header/><body><segment><metadata>
<OBJECT_NAME>ISS</OBJECT_NAME><OBJECT_ID>1998-067-A</OBJECT_ID><CENTER_NAME>EARTH</CENTER_NAME>
<REF_FRAME>EME2000</REF_FRAME><TIME_SYSTEM>UTC</TIME_SYSTEM>
<START_TIME>2021-225T12:40:19.983Z</START_TIME><STOP_TIME>2021-225T12:44:19.983Z</STOP_TIME>
</metadata><data>
<stateVector><EPOCH>2021-225T12:40:19.983Z</EPOCH><X units="km">1</X><Y>2</Y><Z>3</Z>
<X_DOT units="km/s">4</X_DOT><Y_DOT>5</Y_DOT><Z_DOT>6</Z_DOT></stateVector>
<stateVector><EPOCH>2021-08-13T12:44:19.983</EPOCH><X>2</X><Y>3</Y><Z>4</Z>
<X_DOT>4</X_DOT><Y_DOT>5</Y_DOT><Z_DOT>6</Z_DOT></stateVector>
</data></segment></body></oem>
"""
TLE = b"""ISS (ZARYA)
1 25544U 98067A   24130.36689744  .00016024  00000+0  27777-3 0  9992
2 25544  51.6381 147.8590 0003466 150.4670 338.5502 15.51043222452521
0 CSS (TIANHE)
1 48274U 21035A   24130.00580162  .00044782  00000+0  47178-3 0  9992
2 48274  41.4681 322.4705 0003879 310.0852  49.9647 15.63450567172966
"""
JSON = json.dumps(
    {
        "format": "trajectory-3d",
        "version": 1,
        "tracks": [
            {
                "track": "a",
                "samples": 2,
                "names": ["x", "y", "z"],
                "unit": "m",
                "frame": "enu",
                "clock": "utc",
                "start_ns": 1,
                "origin": [47.0, 8.0, 400.0],
                "notes": ["odd"],
                "source": "",
                "format": "",
                "times_ns": [0, 10],
                "points": [[1.0, 2.0, None], [1, 2, 3]],
            }
        ],
    }
).encode()
GEOJSON = json.dumps(
    {
        "type": "Feature",
        "geometry": {
            "type": "LineString",
            "coordinates": [[8.5, 47.3, 400], [8.6, 47.4, 410], [8.7, 47.5, 420]],
        },
        "properties": {"name": "walk", "coordTimes": ["2020-01-01T00:00:00Z", None, "2020-01-01T00:00:02Z"]},
    }
).encode()


def kmz(document: bytes = KML, name: str = "doc.kml") -> bytes:
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(name, document)
    return content.getvalue()


def _c3d_parameter(
    order: str, group: int, name: str, kind: int, shape: tuple[int, ...], data: bytes
) -> bytes:
    body = struct.pack("bB", kind, len(shape)) + bytes(shape) + data + b"\0"
    return (
        struct.pack("bb", len(name), group) + name.encode() + struct.pack(order + "H", len(body) + 2) + body
    )


def _dec(value: float) -> bytes:
    """A number as a VAX writes it: four times the IEEE one, halves swapped."""
    low, high = struct.unpack("<HH", struct.pack("<f", value * 4))
    return struct.pack("<HH", high, low)


def c3d(processor: int = 84, *, real: bool = True, frames: int = 3, analogue: int = 1) -> bytes:
    """Two markers A and B in mm at 50 Hz, analogue samples of 7 after them; B is lost in frame 2."""
    order = ">" if processor == 86 else "<"
    number = _dec if processor == 85 else lambda value: struct.pack(order + "f", value)
    scale = -1.0 if real else 0.5
    header = (
        struct.pack("BB", 2, 0x50) + struct.pack(order + "5H", 2, analogue, 1, frames, 10) + number(scale)
    )
    header += struct.pack(order + "2H", 3, analogue) + number(50.0)
    entries = struct.pack("bb", 5, -1) + b"POINT" + struct.pack(order + "H", 3) + b"\0"
    entries += _c3d_parameter(order, 1, "RATE", 4, (), number(50.0))
    for name, value in (("USED", 2), ("FRAMES", frames), ("DATA_START", 3)):
        entries += _c3d_parameter(order, 1, name, 2, (), struct.pack(order + "H", value))
    entries += _c3d_parameter(order, 1, "SCALE", 4, (), number(scale))
    entries += _c3d_parameter(order, 1, "LABELS", -1, (4, 2), b"A   B   ")
    entries += _c3d_parameter(order, 1, "UNITS", -1, (2,), b"mm") + b"\0\0"
    parameters = struct.pack("4B", 1, 0x50, 1, processor) + entries
    data = b""
    for frame in range(frames):
        rows = [(frame, 2 * frame, 3, 0), (10, 20, frame, -1 if frame == 1 else 0)]
        for value in [each for row in rows for each in row] + [7] * analogue:
            data += number(float(value)) if real else struct.pack(order + "h", value)
    return header.ljust(512, b"\0") + parameters.ljust(512, b"\0") + data


def fit(rows: list[tuple[int, int | None, int | None, int | None]] | None = None) -> bytes:
    """Records of stamp, latitude and longitude in semicircles and altitude in steps of 0.2 m above -500 m."""
    from fitdecode.utils import compute_crc

    if rows is None:
        rows = [
            (1000000000, 568210171, -630113287, 3161),
            (1000000001, None, None, 3161),
            (1000000003, 568210271, -630113287, 3166),
        ]
    definition = struct.pack("<BBBHB", 0x40, 0, 0, 20, 4)
    definition += bytes([253, 4, 0x86, 0, 4, 0x85, 1, 4, 0x85, 2, 2, 0x84])
    body = definition
    for stamp, latitude, longitude, altitude in rows:
        lost = 0x7FFFFFFF
        body += struct.pack(
            "<BIiiH",
            0,
            stamp,
            lost if latitude is None else latitude,
            lost if longitude is None else longitude,
            0xFFFF if altitude is None else altitude,
        )
    header = struct.pack("<BBHI4s", 14, 0x10, 2132, len(body), b".FIT")
    content = header + struct.pack("<H", compute_crc(header)) + body
    return content + struct.pack("<H", compute_crc(content))


def ulog(instances: int = 2, samples: int = 3) -> bytes:
    def message(kind: str, body: bytes) -> bytes:
        return struct.pack("<HB", len(body), ord(kind)) + body

    layout = b"vehicle_local_position:uint64_t timestamp;float x;float y;float z;float vx;float vy;float vz;"
    layout += b"bool xy_valid;bool z_valid;uint8_t[2] _padding0;"
    content = (
        b"ULog\x01\x12\x35\x01" + struct.pack("<Q", 1000) + message("B", bytes(40)) + message("F", layout)
    )
    for instance in range(instances):
        content += message("A", struct.pack("<BH", instance, instance) + b"vehicle_local_position")
    for index in range(samples):
        for instance in range(instances):
            values = (index, 2 * index, -3 - instance, 1, 2, 3, True, index != 1)
            content += message("D", struct.pack("<HQ6f2?", instance, 5_000_000 + 100_000 * index, *values))
    return content


def samples() -> dict[str, tuple[str, bytes, ReadOptions]]:
    """Name of the format, then name, content and options of a valid file."""
    plain, rate = ReadOptions(), ReadOptions(rate=10.0)
    return {
        "tum": ("a.txt", TUM, plain),
        "kitti": ("a.txt", KITTI, rate),
        "euroc": ("data.csv", EUROC, plain),
        "gpx": ("a.gpx", GPX, plain),
        "igc": ("a.igc", IGC, plain),
        "kml": ("a.kml", KML, rate),
        "bvh": ("a.bvh", BVH, plain),
        "trc": ("a.trc", TRC, plain),
        "sp3": ("a.sp3", SP3, plain),
        "oem": ("a.oem", OEM, plain),
        "oem-xml": ("a.xml", OEM_XML, plain),
        "tle": ("a.tle", TLE, plain),
        "c3d": ("a.c3d", c3d(), plain),
        "fit": ("a.fit", fit(), plain),
        "ulog": ("a.ulg", ulog(), plain),
        "trajectory-json": ("a.json", JSON, plain),
        "geojson": ("a.geojson", GEOJSON, plain),
    }


def read_bytes(tmp_path, content: bytes, name: str = "a.dat", **options):
    """Tracks of a file of this content."""
    path = tmp_path / name
    path.write_bytes(content)
    return read(path, ReadOptions(**options))


def fault_of(tmp_path, content: bytes, **options) -> RecordingError:
    """Why a file of this content is refused."""
    with pytest.raises(RecordingError) as caught:
        read_bytes(tmp_path, content, **options)
    return caught.value
