"""KServe's protocol for time series: the model's numbers, the calendar's dates, and its own error object."""

import json
import re
import threading
import time
from datetime import UTC, datetime, timedelta, timezone

import httpx
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import TypeAdapter
from reference import small_model
from serving import assert_close, running, walk

from m.generation import EngineWorker, QueueFullError
from m.inference_server import InferenceServer, Limits
from m.inference_server.frequency import Frequency, advance, forecast_start
from m.inference_server.guard import Access
from m.inference_server.host import Host
from m.inference_server.timeseries_messages import (
    TimeSeriesErrorReply,
    TimeSeriesReply,
    TimeSeriesRequest,
)

FORECAST, MODELS = "/v1/timeseries/forecast", "/v1/timeseries/models"
LIMITS = Limits(batch=4, context=60, horizon=40, samples=8, quantiles=3, body_bytes=20_000)


def series(points, **changes):
    flat = np.ndim(points) == 1
    return {
        "type": "univariate_time_series" if flat else "multivariate_time_series",
        "name": "walk",
        "series": np.asarray(points).tolist(),
        "frequency": "hour",
        "start_timestamp": "2024-03-01T06:00:00Z",
        **changes,
    }


def body(*inputs, horizon=5, model="small", **options):
    return {"model": model, "inputs": list(inputs), "options": {"horizon": horizon, **options}}


@pytest.fixture(scope="module")
def limits():
    return LIMITS


@pytest.fixture(scope="module")
def scalar_model():
    return small_model(input_dim=1, target_dim=1)


@pytest.fixture(scope="module")
def scalar_client(scalar_model):
    server = InferenceServer(model=scalar_model, name="scalar", device="cpu")
    with running(server) as url, httpx.Client(base_url=url, timeout=20) as found:
        yield found


def asked(client, content):
    """The answer's content, which is as documented."""
    answer = client.post(FORECAST, json=content)
    assert answer.status_code == 200, answer.text
    TimeSeriesReply.model_validate(answer.json(), strict=True)
    return answer.json()


def refused(answer, status, param):
    """The message of a refusal, which is as documented."""
    assert answer.status_code == status, answer.text
    content = answer.json()
    TimeSeriesErrorReply.model_validate(content, strict=True)
    assert set(content["error"]) == {"code", "message", "param", "type"}
    assert content["error"]["code"] == str(status)
    assert content["error"]["param"] == param
    return content["error"]["message"]


# ---- the same numbers ----


@pytest.mark.parametrize("horizon", [3, 11])
def test_forecasts_are_those_of_the_model(client, model, horizon):
    paths = [walk(20, 1), walk(33, 2), walk(7, 3)]
    inputs = [series(path, name=f"series {number}") for number, path in enumerate(paths)]
    content = asked(client, body(*inputs, horizon=horizon, quantiles=[0.1, 0.5]))
    assert content["status"] == "completed"
    assert content["error"] is None
    assert content["model"] == "small"
    assert content["created_at"] == pytest.approx(time.time(), abs=60)
    observed = 20 + 33 + 7
    assert content["usage"] == {
        "prompt_tokens": observed,
        "completion_tokens": 3 * horizon,
        "total_tokens": observed + 3 * horizon,
    }
    assert len({content["id"], *(output["id"] for output in content["outputs"])}) == 4
    for number, (path, output) in enumerate(zip(paths, content["outputs"], strict=True)):
        assert (output["type"], output["status"], output["error"]) == (
            "time_series_forecast",
            "completed",
            None,
        )
        (found,) = output["content"]
        alone = model.forecast(path, horizon)
        assert found["name"] == f"series {number}"
        assert found["type"] == "multivariate_time_series"
        assert found["frequency"] == "hour"
        assert_close(found["mean_forecast"], alone.mean)
        assert set(found["quantiles"]) == {"0.1", "0.5"}
        for level in (0.1, 0.5):
            assert_close(found["quantiles"][str(level)], alone.quantile(level))
        assert not {"points", "samples"} & set(found)


def test_univariate_series_are_lists_of_numbers(scalar_client, scalar_model):
    path = walk(25, 4, channels=1)
    flat, nested = series(path[:, 0]), series(path)
    options = {"quantiles": [0.9], "temperature": 0.5, "num_samples": 3, "seed": 7}
    content = asked(scalar_client, body(flat, nested, horizon=9, model="scalar", **options))
    alone = scalar_model.forecast(path, 9, temperature=0.5, num_samples=3, seed=7)
    first, second = (output["content"][0] for output in content["outputs"])
    for found, shaped in ((first, lambda values: values[..., 0]), (second, lambda values: values)):
        assert_close(found["mean_forecast"], shaped(alone.mean))
        assert_close(found["points"], shaped(alone.points))
        assert_close(found["samples"], shaped(alone.samples))
        assert_close(found["quantiles"]["0.9"], shaped(alone.quantile(0.9)))
    assert first["type"] == "univariate_time_series"


def test_series_of_one_request_share_the_model_s_steps(client, server):
    before = server.worker.engine.counts.steps
    asked(client, body(*(series(walk(20, seed)) for seed in range(4)), horizon=40))
    together = server.worker.engine.counts.steps - before
    for seed in range(4, 8):
        asked(client, body(series(walk(20, seed)), horizon=40))
    alone = server.worker.engine.counts.steps - before - together
    assert together < alone / 2


def test_further_keys_are_allowed_and_mean_nothing(client):
    plain = body(series(walk(9)))
    more = json.loads(json.dumps(plain)) | {"metadata": {"who": ["me"]}, "priority": 3}
    more["inputs"][0]["unit"] = "m"
    more["options"]["strategy"] = {"a": 1}
    first, second = (asked(client, content)["outputs"][0]["content"] for content in (plain, more))
    assert first == second


def test_models_are_listed_even_while_they_load(client):
    assert client.get(MODELS).json() == ["small"]

    def never():
        raise AssertionError

    with running(Host(never, name="later")) as url:
        assert httpx.get(url + MODELS).json() == ["later"]
        answer = httpx.post(url + FORECAST, json=body(series(walk(9)), model="later"))
        assert "being loaded" in refused(answer, 503, None)
        assert answer.headers["retry-after"] == "1"


# ---- the calendar ----

STEPS = {
    "second": {"seconds": 1}, "S": {"seconds": 1}, "minute": {"minutes": 1}, "T": {"minutes": 1},
    "hour": {"hours": 1}, "H": {"hours": 1}, "day": {"days": 1}, "D": {"days": 1},
    "week": {"weeks": 1}, "W": {"weeks": 1}, "month": {"months": 1}, "M": {"months": 1},
    "quarter": {"months": 3}, "Q": {"months": 3}, "year": {"years": 1}, "Y": {"years": 1},
}  # fmt: skip
FIXED = [name for name, step in STEPS.items() if not {"months", "years"} & set(step)]
moments = st.datetimes(datetime(1900, 1, 1), datetime(2200, 1, 1))


def test_every_frequency_of_the_protocol_is_known():
    assert TypeAdapter(Frequency).json_schema()["enum"] == list(STEPS)


@pytest.mark.parametrize(
    ("start", "frequency", "observed", "expected"),
    [
        ("2024-01-31T00:00:00Z", "M", 1, "2024-02-29T00:00:00Z"),
        ("2024-01-31T00:00:00Z", "M", 2, "2024-03-31T00:00:00Z"),
        ("2023-01-31T00:00:00Z", "month", 13, "2024-02-29T00:00:00Z"),
        ("2023-11-30T12:30:00+02:00", "Q", 1, "2024-02-29T12:30:00+02:00"),
        ("2023-12-31", "quarter", 6, "2025-06-30T00:00:00"),
        ("2024-02-29", "Y", 1, "2025-02-28T00:00:00"),
        ("2024-02-29", "year", 4, "2028-02-29T00:00:00"),
        ("2024-02-28T23:00:00", "H", 25, "2024-03-01T00:00:00"),
        ("2024-12-30", "W", 1, "2025-01-06T00:00:00"),
        ("1999-12-31T23:59:59.5", "S", 1, "2000-01-01T00:00:00.500000"),
        ("2024-03-10T01:59:00-05:00", "T", 2, "2024-03-10T02:01:00-05:00"),  # a fixed offset has no summer
        ("20240301T060000Z", "D", 10, "2024-03-11T06:00:00Z"),
    ],
)
def test_a_forecast_begins_one_step_after_the_last_value(start, frequency, observed, expected):
    assert forecast_start(start, frequency, observed) == expected


@given(start=moments, frequency=st.sampled_from(sorted(STEPS)), steps=st.integers(0, 4000))
def test_the_calendar_is_that_of_dateutil(start, frequency, steps):
    relativedelta = pytest.importorskip("dateutil.relativedelta").relativedelta
    step = {unit: count * steps for unit, count in STEPS[frequency].items()}
    assert advance(start, frequency, steps) == start + relativedelta(**step)


@given(
    start=moments,
    frequency=st.sampled_from(sorted(STEPS)),
    few=st.integers(0, 3000),
    more=st.integers(0, 3000),
)
def test_advancing_is_monotone_and_for_fixed_steps_additive(start, frequency, few, more):
    once = advance(start, frequency, few)
    both = advance(start, frequency, few + more)
    assert start <= once <= both
    assert (once < both) == (more > 0)
    if frequency in FIXED:
        assert advance(once, frequency, more) == both
        assert both - once == more * timedelta(**STEPS[frequency])
    else:  # clipped days do not come back, so only the month is additive
        again = advance(once, frequency, more)
        assert (again.year, again.month) == (both.year, both.month)


def test_without_a_start_the_last_value_is_taken_to_lie_now(client):
    now = datetime(2024, 1, 31, 23, 30, 15, 999_999, tzinfo=timezone(timedelta(hours=-1)))
    assert forecast_start(None, "day", 50, now=now) == "2024-02-02T00:30:15Z"
    assert forecast_start(None, "month", 50, now=datetime(2024, 1, 31, tzinfo=UTC)) == "2024-02-29T00:00:00Z"
    content = asked(client, body(series(walk(9), start_timestamp=None, frequency="H")))
    begins = datetime.fromisoformat(content["outputs"][0]["content"][0]["start_timestamp"])
    assert begins - datetime.now(UTC) == pytest.approx(timedelta(hours=1), abs=timedelta(seconds=30))
    assert begins.microsecond == 0


def test_the_calendar_ends():
    with pytest.raises(OverflowError):
        advance(datetime(9999, 11, 1), "month", 2)
    with pytest.raises(OverflowError):
        advance(datetime(9999, 12, 31), "day", 1)


# ---- what fails ----

GOOD = series(walk(9))
BAD = [
    (series(walk(9)[:, 0]), "inputs.1.series", "multivariate"),
    (series(walk(9, channels=2)), "inputs.1.series", "points of 3 numbers; those of this series have 2"),
    (
        series(walk(9), series=[[1, 2, 3], [4, 5]]),
        "inputs.1.series",
        "have 2 or 3",
    ),
    (series(walk(9), type="univariate_time_series"), "inputs.1.series", "list of lists"),
    (series(walk(9)[:, 0], type="multivariate_time_series"), "inputs.1.series", "list of points"),
    (series(1e200 * walk(9)), "inputs.1", "beyond what numbers hold"),
    (series(walk(9), start_timestamp="yesterday"), "inputs.1.start_timestamp", "ISO 8601"),
    (series(walk(9), start_timestamp=""), "inputs.1.start_timestamp", "ISO 8601"),
    (series(walk(9), start_timestamp="9999-12-31T20:00:00Z"), "inputs.1.start_timestamp", "date|year|range"),
    (series(walk(9), start_timestamp="9999-12-31", frequency="Y"), "inputs.1.start_timestamp", "year"),
    (series(walk(61)), "inputs.1", "61 points of a context .* 60"),
]


@pytest.mark.filterwarnings("ignore:invalid value:RuntimeWarning", "ignore:overflow:RuntimeWarning")
@pytest.mark.parametrize(("wrong", "param", "says"), BAD)
def test_a_series_that_cannot_be_forecast_does_not_stop_the_others(client, model, wrong, param, says):
    content = asked(client, body(GOOD, wrong, GOOD))
    assert content["status"] == "partial"
    assert [output["status"] for output in content["outputs"]] == ["completed", "error", "completed"]
    for output in content["outputs"][::2]:
        assert_close(output["content"][0]["mean_forecast"], model.forecast(walk(9), 5).mean)
    failed = content["outputs"][1]
    assert failed["content"] == []
    assert (failed["error"]["code"], failed["error"]["param"]) == ("400", param)
    assert re.search(says, failed["error"]["message"])
    assert content["usage"]["total_tokens"] == 2 * (9 + 5)
    alone = refused(client.post(FORECAST, json=body(wrong)), 400, param.replace("1", "0", 1))
    assert alone == failed["error"]["message"]


def test_when_all_fail_so_does_the_request(client):
    message = refused(client.post(FORECAST, json=body(BAD[0][0], BAD[6][0])), 400, "inputs.0.series")
    assert "none of the 2 series" in message
    assert "inputs.0.series: " in message


def test_a_univariate_model_says_what_it_takes(scalar_client):
    message = refused(scalar_client.post(FORECAST, json=body(GOOD, model="scalar")), 400, "inputs.0.series")
    assert "points of 1 numbers" in message


def test_another_model_is_not_here(client):
    message = refused(client.post(FORECAST, json=body(GOOD, model="large")), 404, "model")
    assert "'large'" in message
    assert "'small'" in message


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"horizon": 41}, "41 points of the horizon .* 40"),
        ({"num_samples": 9}, "9 samples .* 8"),
        ({"quantiles": [0.1, 0.2, 0.3, 0.4]}, "4 quantile levels .* 3"),
    ],
)
def test_limits_hold(client, options, says):
    message = refused(client.post(FORECAST, json=body(GOOD, **options)), 400, "options")
    assert re.search(says, message)
    message = refused(client.post(FORECAST, json=body(*[GOOD] * 5)), 400, "inputs")
    assert "5 contexts" in message


def changed(**changes):
    return body(GOOD) | changes


WRONG = [
    (changed(inputs=[]), "inputs"),
    (changed(inputs=GOOD), "inputs"),
    (changed(inputs=[GOOD | {"series": []}]), "inputs.0.series"),
    (changed(inputs=[GOOD | {"series": [[]]}]), "inputs.0.series.0"),
    (changed(inputs=[GOOD | {"series": "text"}]), "inputs.0.series"),
    (changed(inputs=[GOOD | {"series": [[1, 2, "3"]]}]), "inputs.0.series.0.2"),
    (changed(inputs=[GOOD | {"series": [1, None]}]), "inputs.0.series.1"),
    (changed(inputs=[GOOD | {"series": [1, [2]]}]), "inputs.0.series.1"),
    (changed(inputs=[GOOD | {"series": [[True, 2, 3]]}]), "inputs.0.series.0.0"),
    (changed(inputs=[GOOD | {"type": "series"}]), "inputs.0.type"),
    (changed(inputs=[GOOD | {"frequency": "fortnight"}]), "inputs.0.frequency"),
    (changed(inputs=[GOOD | {"name": 3}]), "inputs.0.name"),
    (changed(inputs=[GOOD | {"start_timestamp": 0}]), "inputs.0.start_timestamp"),
    (changed(model=None), "model"),
    (changed(metadata=3), "metadata"),
    (changed(options={}), "options.horizon"),
    (changed(options={"horizon": 0}), "options.horizon"),
    (changed(options={"horizon": "3"}), "options.horizon"),
    (changed(options={"horizon": 3, "quantiles": [1.0]}), "options.quantiles.0"),
    (changed(options={"horizon": 3, "quantiles": 0.5}), "options.quantiles"),
    (changed(options={"horizon": 3, "temperature": -1}), "options.temperature"),
    (changed(options={"horizon": 3, "num_samples": 0}), "options.num_samples"),
    (changed(options={"horizon": 3, "seed": -1}), "options.seed"),
    ([], None),
]


@pytest.mark.parametrize(("content", "param"), WRONG)
def test_bodies_that_are_not_as_the_protocol_says(client, content, param):
    answer = client.post(FORECAST, json=content)
    message = refused(answer, 400, param)
    assert param is None or param in message
    assert answer.json()["error"]["type"] == "invalid_request_error"


@pytest.mark.parametrize("content", [b"", b"{", b"[" * 10_000, b"\xff\xfe", b"null", b'{"model": NaN}'])
def test_what_is_no_json_is_refused_in_the_same_words(client, content):
    answer = client.post(FORECAST, content=content, headers={"content-type": "application/json"})
    assert answer.status_code == 400
    TimeSeriesErrorReply.model_validate(answer.json(), strict=True)


def test_bodies_that_turn_out_too_large(client):
    large = json.dumps(body(GOOD) | {"metadata": {"note": "x" * 30_000}}).encode()

    def chunks():
        for at in range(0, len(large), 1000):
            yield large[at : at + 1000]

    answer = client.post(FORECAST, content=chunks(), headers={"content-type": "application/json"})
    assert "20000 bytes" in refused(answer, 413, None)
    assert answer.json()["error"]["type"] == "request_too_large_error"
    told = client.post(FORECAST, content=large)  # the guard sees its length, before any face does
    assert told.status_code == 413
    assert isinstance(told.json()["error"], str)


def test_other_faces_keep_their_own_words(client):
    assert client.post("/v1/forecast", json={}).json().keys() == {"error"}
    assert isinstance(client.post("/v1/forecast", json={}).json()["error"], str)
    assert isinstance(client.get(FORECAST).json()["error"], str)
    assert client.get(FORECAST).status_code == 405


def test_a_full_server_says_so():
    server = InferenceServer(model=small_model(), name="small", device="cpu", limits=Limits(waiting=1))
    refused_both = threading.Event()
    worker, answers = server.worker, []

    def submit(job, *, timeout=None):
        try:
            return EngineWorker.submit(worker, job, timeout=timeout)
        except QueueFullError:
            answers.append("full")
            if len(answers) == 2:
                refused_both.set()
            raise

    worker.submit = submit
    worker.call(lambda engine: refused_both.wait(10))  # no forecast is done before both others came
    with running(server) as url:
        content = httpx.post(url + FORECAST, json=body(GOOD, GOOD, GOOD), timeout=20).json()
    assert content["status"] == "partial"
    codes = [output["error"] and output["error"]["code"] for output in content["outputs"]]
    assert codes == [None, "429", "429"]
    assert content["outputs"][1]["error"]["type"] == "rate_limit_error"


def test_a_late_forecast_is_not_waited_for():
    server = InferenceServer(
        model=small_model(), name="small", device="cpu", limits=Limits(timeout_seconds=1e-4)
    )
    with running(server) as url:
        answer = httpx.post(url + FORECAST, json=body(GOOD, BAD[0][0]), timeout=20)
    assert "none of the 2 series" in refused(answer, 504, "inputs.0")
    assert answer.json()["error"]["type"] == "timeout_error"


def test_a_key_is_needed_where_one_is_set():
    server = InferenceServer(model=small_model(), name="small", device="cpu")
    with running(server, access=Access(key="sesame")) as url:
        assert httpx.get(url + MODELS).status_code == 401
        assert httpx.get(url + MODELS, headers={"authorization": "Bearer sesame"}).json() == ["small"]


# ---- as documented ----


def test_the_document_says_what_is_sent(client):
    document = client.get("/openapi.json").json()
    operation = document["paths"][FORECAST]["post"]
    assert set(operation["responses"]) == {"200", "400", "401", "403", "404", "413", "429", "503", "504"}
    told = operation["responses"]["400"]["content"]["application/json"]["schema"]["$ref"]
    assert told.endswith("/TimeSeriesErrorReply")
    wanted = document["components"]["schemas"]["TimeSeriesRequest"]
    assert wanted["required"] == ["model", "inputs", "options"]
    assert set(document["components"]["schemas"]["TimeSeriesOptions"]["properties"]) == {
        "horizon",
        "quantiles",
        "temperature",
        "num_samples",
        "seed",
    }
    assert TimeSeriesRequest.model_validate(body(GOOD)).inputs[0].name == "walk"
