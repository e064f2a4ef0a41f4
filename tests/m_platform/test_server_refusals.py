"""What is wrong is refused with what, where and what to do; nothing breaks the server."""

import json
import re
import urllib.error
import urllib.request

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from serving import GOOD, walk

WRONG = [
    ({"points": [[1, 2], [3, 4]]}, "shape"),
    ({"points": [[1, 2, 3], [4, 5]]}, "as many numbers"),
    ({"points": []}, "at least one"),
    ({"points": [[]]}, "numbers in|at least"),
    ({"points": "text"}, "numbers in"),
    ({"points": [["1", "2", "3"]]}, "points"),
    ({"points": [[True, False, True]]}, "points"),
    ({"points": {"a": 1}}, "numbers in"),
    ({"points": walk(61).tolist()}, "61 points of a context .* 60"),
    ({"points": walk(4, 0, 5).tolist()}, "5 contexts .* 4"),
    ({"horizon": 41}, "41 points of the horizon .* 40"),
    ({"horizon": 0}, "horizon"),
    ({"horizon": 2.5}, "horizon"),
    ({"horizon": "3"}, "horizon"),
    ({"temperature": -1}, "temperature"),
    ({"num_samples": 9}, "9 samples .* 8"),
    ({"num_samples": 0}, "num_samples"),
    ({"quantiles": [0.1, 0.2, 0.3, 0.4]}, "4 quantile levels .* 3"),
    ({"quantiles": [1.0]}, "quantiles"),
    ({"seed": -1}, "seed"),
    ({"lengths": [10]}, "lengths"),
    ({"anchor_points": 0}, "anchor_points"),
    ({"dt": 0}, "dt"),
    ({"dt": 1.0, "timestamps": list(range(9))}, "dt or timestamps"),
    ({"timestamps": [1, 1, 2, 3, 4, 5, 6, 7, 8]}, "increase"),
    ({"timestamps": [1, 2]}, "timestamps"),
    ({"points": [1, 2, 3], "dt": 1.0}, "shape"),
    ({"points": [1, 2, 3], "timestamps": [1, 2, 3]}, "shape"),
    ({"dt": 1e308}, "times of the forecast go beyond"),
    ({"points": walk(2).tolist(), "timestamps": [-1.7e308, 1.7e308], "resample": True}, "finite"),
    ({"points": walk(4).tolist(), "timestamps": [0, 5e-324, 1e-323, 1e10], "resample": True}, "interpolated"),
    (
        {"points": [[1e308] * 3, [-1e308] * 3, [0] * 3], "timestamps": [0, 1, 3], "resample": True},
        "interpolated",
    ),
    ({"lengths": [5], "timestamps": list(range(9))}, "padded"),
    ({"lengths": [5, 5], "dt": 1.0}, "lengths"),
    ({"session_id": "nobody"}, None),
    ({"session_start": True}, "session_id"),
    ({"hold_points": 3}, "session_id"),
    ({"session_id": ""}, "session_id"),
    ({"timeout": 0}, "timeout"),
    ({"unknown": 1}, "no field 'unknown'; valid: .*horizon"),
    ({"horizont": 1}, "no field 'horizont'.*did you mean 'horizon'"),
    ({"horizon": -7}, "horizon: .* got -7$"),
    ({"temperature": "warm"}, 'temperature: .* got "warm"$'),
    ({"points": [[1, 2, None]]}, r"points\.0\.2: .* got null$"),
    ({"timestamps": [5.0], "points": [[1, 2, 3]]}, "dt beside"),
    ({"points": walk(55, 0, 4).tolist()}, "220 points of all contexts .* 200"),
    ({"points": walk(9, 0, 4).tolist(), "num_samples": 8, "horizon": 30}, "1080 points of all paths .* 1000"),
    ({"anchor_points": 2**64}, "anchor_points"),
    ({"lengths": [2**63]}, "lengths"),
    ({"temperature": 1e308}, "beyond what numbers hold"),
    ({"points": (1e305 * walk(9)).tolist()}, "beyond what numbers|finite"),
]


@pytest.mark.parametrize(("change", "says"), WRONG)
def test_wrong_requests_are_told_what_is_wrong(client, change, says):
    answer = client.post("/v1/forecast", json=GOOD | change)
    assert answer.status_code == (404 if says is None else 400)
    assert set(answer.json()) == {"error"}
    assert says is None or re.search(says, answer.json()["error"])


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"[" * 100_00,
        b'{"points": [[NaN, 1, 2]]}',
        b'{"points": [[1e999, 1, 2]]}',
        b"\xff\xfe",
        b'{"points": ' + b"9" * 5000 + b"}",
        b"null",
        b'"points"',
    ],
)
def test_what_is_no_json_is_refused(client, body):
    answer = client.post("/infer", content=body, headers={"content-type": "application/json"})
    assert answer.status_code == 400
    assert set(answer.json()) == {"error"}


@pytest.mark.parametrize(
    ("body", "says"),
    [
        (b"", "JSON object, but there is no body; /docs"),
        (b"[]", "JSON object, .* a list; /docs"),
        (b"7", "JSON object, .* a number; /docs"),
        (b"null", "JSON object"),
        (b'{"tokens": [[1, 2, 3]', "no JSON: .* at character 21"),
    ],
)
def test_bodies_of_another_kind_are_told_what_is_wanted(client, body, says):
    answer = client.post("/infer", content=body, headers={"content-type": "application/json"})
    assert answer.status_code == 400
    assert re.search(says, answer.json()["error"])


@pytest.mark.parametrize(
    "kind", [None, "text/plain", "application/x-www-form-urlencoded", "application/json"]
)
@pytest.mark.parametrize("path", ["/v1/forecast", "/v1/timeseries/forecast"])
def test_json_is_read_whatever_a_body_is_said_to_be(client, path, kind):
    """As ``curl -d`` sends it; pages of others are kept out by their Origin."""
    series = {"type": "multivariate_time_series", "name": "a", "series": GOOD["points"], "frequency": "S"}
    bodies = {
        "/v1/forecast": GOOD,
        "/v1/timeseries/forecast": {"model": "small", "inputs": [series], "options": {"horizon": 3}},
    }
    headers = {} if kind is None else {"content-type": kind}
    answer = client.post(path, content=json.dumps(bodies[path]), headers=headers)
    assert answer.status_code == 200, answer.text


def test_who_hangs_up_after_asking_is_still_told_that_it_was_too_much(url):
    """As urllib does: it sends ``Connection: close`` and reads nothing before all is sent."""
    request = urllib.request.Request(f"{url}/v1/forecast", data=b" " * 4_000_000)
    with pytest.raises(urllib.error.HTTPError, match="413") as refused:
        urllib.request.urlopen(request, timeout=20)
    assert "50000 bytes" in json.loads(refused.value.read())["error"]


def test_bodies_are_bounded_whatever_they_say(client):
    large = json.dumps({"points": walk(9).tolist(), "request_id": "x" * 60_000}).encode()
    assert client.post("/v1/forecast", content=large).status_code == 413

    def chunks():
        for at in range(0, len(large), 1000):
            yield large[at : at + 1000]

    answer = client.post("/v1/forecast", content=chunks(), headers={"content-type": "application/json"})
    assert answer.status_code == 413
    assert "50000 bytes" in answer.json()["error"]


def test_there_is_nothing_elsewhere(client):
    assert client.get("/nowhere").status_code == 404
    assert "/docs" in client.get("/nowhere").json()["error"]
    assert client.get("/infer").status_code == 405
    assert "GET" in client.get("/infer").json()["error"]


mutations = st.lists(
    st.tuples(st.floats(0, 1), st.sampled_from(["cut", "byte", "double"]), st.integers(0, 255)),
    min_size=1,
    max_size=4,
)


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(changes=mutations)
def test_mangled_bodies_never_break_it(client, changes):
    body = json.dumps(GOOD | {"quantiles": [0.1], "seed": 3, "num_samples": 2}).encode()
    for where, how, value in changes:
        at = int(where * max(len(body) - 1, 0))
        if how == "cut":
            body = body[:at]
        elif how == "byte":
            body = body[:at] + bytes([value]) + body[at + 1 :]
        else:
            body = body[:at] + body[at : at + value] + body[at:]
    answer = client.post("/v1/forecast", content=body, headers={"content-type": "application/json"})
    assert answer.status_code in (200, 400), answer.text
    assert client.get("/readyz").status_code == 200
