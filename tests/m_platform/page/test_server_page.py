"""The server's page: what it shows is what the server says, to whoever can see, point, type or listen."""

import asyncio
import json
import math
import re
from urllib.parse import urlsplit

import numpy as np
import pytest
from headless import headless
from page_server import KEY
from reference import small_model
from serving import running, walk

from m.inference_server import InferenceServer, RequestError
from m.inference_server.host import Host


@pytest.fixture(scope="module")
def browser():
    with headless() as found:
        yield found


@pytest.fixture
def page(browser, url):
    """Opened, with its first forecast shown; nothing may go wrong then, nor leave the server."""
    browser.open(url)
    shown(browser)
    yield browser
    assert browser.complaints == []
    assert {urlsplit(each).netloc for each in browser.requests if not each.startswith("blob:")} == {
        urlsplit(url).netloc
    }


def shown(page):
    page.wait("document.body.dataset.state === 'shown'")


def fresh(page, action):
    """Do something, and wait for the forecast that it leads to."""
    page.eval("document.body.dataset.state = 'old'")
    action()
    shown(page)


def table(page):
    """The forecast's rows as the page lists them."""
    page.eval("document.querySelector('#numbers').open = true")
    page.wait("document.querySelectorAll('#forecast tbody tr').length")
    return np.array(
        page.eval(
            "[...document.querySelectorAll('#forecast tbody tr')]"
            ".map((row) => [...row.children].map((cell) => Number(cell.innerText)))"
        )
    )


def asked(client, points, horizon, **options):
    body = {"points": points, "horizon": horizon, "quantiles": [0.1, 0.5, 0.9], "seed": 1, **options}
    answer = client.post("/v1/forecast", json=body)
    assert answer.status_code == 200, answer.text
    return answer.json()


# ---- the page in a browser ----


def test_a_motion_that_is_picked_is_forecast_as_the_server_says(page, client):
    example = client.get("/v1/examples").json()["examples"][1]
    fresh(page, lambda: page.click("#examples button:nth-child(2)"))
    rows, answer = table(page), asked(client, example["context"], 16)
    np.testing.assert_array_equal(rows[:, 0], np.arange(1, 17))
    np.testing.assert_allclose(rows[:, 1], 0.02 * np.arange(1, 17))
    np.testing.assert_allclose(rows[:, 2:5], answer["points"], atol=2e-5)
    np.testing.assert_allclose(rows[:, [5, 7, 9]], answer["quantiles"]["0.1"], atol=2e-5)
    np.testing.assert_allclose(rows[:, [6, 8, 10]], answer["quantiles"]["0.9"], atol=2e-5)
    error = np.linalg.norm(np.subtract(answer["points"], example["truth"][:16]), axis=1).mean()
    assert f"{error:.2g} m on average" in page.text("#summary")
    assert page.text("#stage-title") == "Orbit, forecast"
    assert page.eval("document.querySelector('#examples button:nth-child(2)').ariaPressed") == "true"
    assert page.text("#cost").count("ms") == 4


def test_sliders_change_what_is_asked(page, client):
    example = client.get("/v1/examples").json()["examples"][0]
    fresh(page, lambda: page.set("#horizon", 20))
    assert len(table(page)) == 20
    assert page.text("#horizon-text") == "20 points, 0.4 s; rolled on after 16"
    fresh(page, lambda: page.set("#temperature", 0.5))
    answer = asked(client, example["context"], 20, temperature=0.5)
    np.testing.assert_allclose(table(page)[:, 2:5], answer["points"], atol=2e-5)
    before = table(page)
    fresh(page, lambda: page.click("#redraw"))
    assert np.abs(table(page) - before).max() > 1e-3
    fresh(page, lambda: page.set("#now", 40))
    assert "from 40 observed points" in page.text("#summary")
    fresh(page, lambda: page.click("#show-samples"))


def test_it_shows_who_served(page, client):
    example = client.get("/v1/examples").json()["examples"][0]
    (*_, last) = asked(client, example["context"], 16, return_routing=True)["routing"]
    fired = page.eval(
        "[...document.querySelectorAll('#experts tbody tr:last-child td')].map((cell) =>"
        " cell.querySelector('.fired') ? Number(cell.querySelector('.cell').innerText) : null)"
    )
    for expert, gate in zip(last["experts"], last["weights"], strict=True):
        assert fired[expert] == round(100 * gate)
    assert sum(each is not None for each in fired) == len(last["experts"])


def test_a_path_plays_as_a_stream(page):
    page.set("#horizon", 16)
    page.set("#pace", "0.5")
    page.set("#hold", "16")
    page.click("#play")
    first = page.wait("Number(document.body.dataset.pushed)")
    assert first >= 64
    page.wait(f"Number(document.body.dataset.pushed) > {first + 24}")
    assert "points pushed" in page.text("#live")
    assert "Anchored anew at point" in page.text("#anchors")
    assert "observed points" in page.text("#summary")
    page.click("#play")
    assert page.text("#play") == "Go on"
    held = page.eval("Number(document.body.dataset.pushed)")
    page.click("#play")
    page.wait(f"Number(document.body.dataset.pushed) > {held + 8}")
    fresh(page, lambda: page.click("#stop"))
    assert page.text("#play") == "Play"
    assert "from 64 observed points" in page.text("#summary")


def test_what_the_server_complains_of_is_shown(page, monkeypatch):
    def refuse(self, wish):
        raise RequestError(503, "the model is at lunch")

    with monkeypatch.context() as patch:
        patch.setattr(InferenceServer, "_submit", refuse)
        page.set("#horizon", 20)
        page.wait("document.body.dataset.state === 'failed'")
        assert page.text("#alert") == "the model is at lunch"
        assert page.eval("document.querySelector('#alert').role") == "alert"
        page.click("#play")
        page.wait("document.body.dataset.play === 'stopped'")
        assert page.text("#alert") == "the model is at lunch"
    fresh(page, lambda: page.set("#horizon", 24))
    assert page.eval("document.querySelector('#alert').hidden")
    (logged,) = page.complaints  # the browser's own line on the answer's status
    assert "503" in logged
    page.complaints.clear()


def test_a_table_is_pasted(page, client):
    times = 0.05 * np.arange(30)
    points = np.round(np.stack([np.cos(times), np.sin(times), 0.3 * times], 1), 4)
    rows = [";".join(f"{value:.4f}".replace(".", ",") for value in row) for row in np.c_[times, points]]
    page.click("input[value=paste]")
    page.set("#table", "\n".join(["t;x;y;z", *rows]))
    fresh(page, lambda: page.click("#use-table"))
    assert "30 points read" in page.text("#table-note")
    shown_rows = table(page)
    np.testing.assert_allclose(shown_rows[:, 1], 0.05 * np.arange(1, 17))
    np.testing.assert_allclose(shown_rows[:, 2:5], asked(client, points.tolist(), 16)["points"], atol=2e-5)
    page.set("#table", "x,y,z\n1,2,3\n4,five,6")
    page.click("#use-table")
    assert page.text("#table-complaint") == "Line 3, column 2: “five” is not a number."
    fresh(page, lambda: page.click("#sample-table"))
    assert page.eval("document.querySelector('#table-complaint').hidden")


@pytest.mark.parametrize("place", ["#table", "#view"])
def test_a_file_is_dropped_anywhere(page, client, place):
    """Beside the field too, where a browser would otherwise leave the page for the file."""
    points = np.round(walk(20), 4)
    text = "\n".join(",".join(map(str, row)) for row in points.tolist())
    drop = (
        "(() => { const held = new DataTransfer();"
        f" held.items.add(new File([{json.dumps(text)}], 'path.csv', {{ type: 'text/csv' }}));"
        " return ['dragenter', 'dragover', 'drop'].map((kind) => !document"
        f".querySelector('{place}').dispatchEvent(new DragEvent(kind,"
        " { bubbles: true, cancelable: true, dataTransfer: held }))); })()"
    )
    kept = []
    fresh(page, lambda: kept.extend(page.eval(drop)))
    assert kept == [True] * 3  # from the browser's own handling
    assert page.eval("document.querySelector('input[value=paste]').checked")
    assert "20 points read" in page.text("#table-note")
    expected = asked(client, points.tolist(), 16)["points"]
    np.testing.assert_allclose(table(page)[:, 1:4], expected, rtol=1e-3, atol=1e-3)  # no times were given


@pytest.fixture
def scripts(browser, url):
    """Some page of the server, whose modules can be called."""
    if browser.eval("location.origin") != url:
        browser.open(url)
        shown(browser)
    return browser


def read_table(page, text, channels=3):
    script = f"import('/static/paths.js').then((paths) => paths.readTable({json.dumps(text)}, {channels}))"
    return page.eval(f"{script}.catch((error) => error.message)")


@pytest.mark.parametrize(
    ("text", "points", "dt"),
    [
        ("1,2,3\n4,5,6", [[1, 2, 3], [4, 5, 6]], None),
        ("x y z\n1 2 3\n4 5 6\n", [[1, 2, 3], [4, 5, 6]], None),
        ("\ufeff# made up\r\nTime;X;Y;Z\r\n0;1,5;2;3\r\n0,5;4;5;-6e1\r\n", [[1.5, 2, 3], [4, 5, -60]], 0.5),
        ('"t","x","y","z"\n"0","1","2","3"\n"1","4","5","6"', [[1, 2, 3], [4, 5, 6]], 1),
        ("0\t1\t2\t3\n2\t4\t5\t6", [[1, 2, 3], [4, 5, 6]], 2),
        ("1,2,3,\n4,5,6,", [[1, 2, 3], [4, 5, 6]], None),
        ("0,0,0,0\n1,1,0,0\n3,3,0,0\n4,4,0,0", [[k, 0, 0] for k in range(5)], 1),  # every second is filled in
    ],
)
def test_tables_are_read_however_they_are_written(scripts, text, points, dt):
    read = read_table(scripts, text)
    np.testing.assert_allclose(read["points"], points, atol=1e-9)
    assert read["dt"] == dt


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("", "nothing in the table"),
        ("x,y,z", "a header and no points"),
        ("1,2,3", "One point is no path"),
        ("1,2\n3,4", "has 2 columns; give columns x,y,z or t,x,y,z"),
        ("t,x,y\n1,2,3\n4,5,6", "one coordinate is missing"),
        ("1,2,3\n4,5", "Line 2 has 2 columns, the first row has 3"),
        ("1,2,3\n\n4,,6", "Line 3, column 2: a number is missing"),
        ("1,2,3\n4,inf,6", "“inf” is not a number"),
        ("0,1,2,3\n1,1,2,3\n1,4,5,6", "Line 3: the time 1 does not come after 1"),
        ("0,1,2,3\n1,1,2,3\n2,4,5,6\n1000,4,5,6", "gaps"),
    ],
)
def test_tables_that_cannot_be_read_are_explained(scripts, text, complaint):
    told = read_table(scripts, text)
    assert isinstance(told, str)
    assert complaint in told


def test_a_path_is_drawn_by_pointer_and_by_keys(page):
    page.click("input[value=draw]")
    left, top, width, height = page.box("#pad")
    spiral = [
        (left + width / 2 + 3 * k * math.cos(k / 4), top + height / 2 + 3 * k * math.sin(k / 4))
        for k in range(25)
    ]
    fresh(page, lambda: page.drag(spiral, seconds=0.6))
    assert page.text("#stage-title") == "Your drawing, forecast"
    fresh(page, lambda: page.set("#lift", "rise"))
    page.focus("#pad")
    page.press("Escape", 27)
    page.press("Enter", 13)
    assert "too short" in page.text("#alert")
    for key, code in [("ArrowRight", 39), ("ArrowUp", 38)] * 4:
        page.press(key, code)
    fresh(page, lambda: page.press("Enter", 13))
    assert page.eval("document.querySelector('#alert').hidden")
    assert "41 observed points" in page.text("#summary")  # eight presses of a tenth of a second, at 50 Hz


def test_the_view_is_turned_by_keys_and_by_pointer(page):
    def angles():
        page.eval("new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))")
        return np.array(
            page.eval(
                "['azimuth', 'elevation'].map((n) => Number(document.querySelector('#view').dataset[n]))"
            )
        )

    page.focus("#view")
    before = angles()
    page.press("ArrowLeft", 37)
    page.press("ArrowUp", 38)
    turned = angles()
    np.testing.assert_allclose(turned - before, [math.pi / 24, math.pi / 24], atol=1e-3)
    page.press("Home", 36)
    np.testing.assert_allclose(angles(), before)
    left, top, width, height = page.box("#view")
    page.drag([(left + width / 2, top + height / 2), (left + width / 2 + 60, top + height / 2)])
    assert abs(angles()[0] - before[0]) > 0.3
    page.click("#turn")
    page.wait(f"Math.abs(Number(document.querySelector('#view').dataset.azimuth) - {angles()[0]}) > 0.02")
    page.press("ArrowLeft", 37)
    page.focus("#view")
    page.press("ArrowLeft", 37)
    assert not page.eval("document.querySelector('#turn').checked")  # whoever takes hold of it has it


def test_all_controls_can_be_reached_by_keyboard_and_have_names(page):
    unnamed = page.eval(
        "[...document.querySelectorAll('button, input, select, textarea, canvas[tabindex]')].filter((c) =>"
        " !(c.labels && c.labels.length) && !c.textContent.trim() && !c.ariaLabel).map((c) => c.outerHTML)"
    )
    assert unnamed == []
    reached = set()
    for _ in range(30):
        page.press("Tab", 9)
        reached.add(page.eval("document.activeElement.id || document.activeElement.className"))
    assert {
        "others",
        "view",
        "now",
        "horizon",
        "temperature",
        "play",
        "pace",
        "hold",
        "show-fan",
        "turn",
    } <= reached
    page.focus("#horizon")
    assert page.eval("getComputedStyle(document.activeElement).outlineStyle") == "solid"


@pytest.mark.parametrize("path", ["/", "/docs"])
@pytest.mark.parametrize("dark", [False, True])
def test_it_fits_a_phone_light_and_dark(browser, url, path, dark):
    browser.open(url + path, width=375, height=740, dark=dark)
    shown(browser)
    browser.eval("document.querySelectorAll('details').forEach((part) => (part.open = true))")
    if path == "/":
        for source in ("draw", "paste", "pick"):
            browser.click(f"input[value={source}]")
            assert browser.eval("document.documentElement.scrollWidth") == 375
    assert browser.eval("document.documentElement.scrollWidth") == 375
    luminance = browser.eval("getComputedStyle(document.body).backgroundColor.match(/\\d+/g).map(Number)")
    assert (max(luminance) < 60) == dark
    assert browser.complaints == []


def test_the_documentation_names_every_route_and_its_examples_work(browser, url, client):
    browser.open(f"{url}/docs")
    shown(browser)
    described = client.get("/openapi.json").json()
    routes = {
        f"{method.upper()} {path}" for path, methods in described["paths"].items() for method in methods
    }
    assert (
        set(browser.eval("[...document.querySelectorAll('.route')].map((each) => each.dataset.route)"))
        == routes
    )
    browser.click("#unfold")
    text = browser.text("[data-route='POST /v1/forecast']")
    for field in described["components"]["schemas"]["ForecastRequest"]["properties"]:
        assert field in text
    assert "503" in text
    example = re.search(r"-d '(.*)'", text).group(1)
    assert client.post("/v1/forecast", json=json.loads(example)).status_code == 200
    assert browser.complaints == []


def test_a_key_is_asked_for_and_used_in_the_plane(browser, guarded):
    browser.open(guarded)
    browser.wait("!document.querySelector('#key-form').hidden")
    assert "key" in browser.text("#alert")
    browser.set("#key", KEY)
    browser.click("#key-form button")
    shown(browser)
    assert browser.eval("document.querySelector('#key-form').hidden")
    assert "Circle" in browser.text("#examples")
    assert browser.eval("document.querySelector('#turn-choice').hidden")  # a plane is not turned
    browser.click("#play")
    browser.wait("Number(document.body.dataset.pushed) > 66")
    browser.click("#stop")
    assert browser.eval("document.querySelector('#alert').hidden")
    assert browser.eval("localStorage.length + sessionStorage.length + document.cookie.length") == 0


@pytest.mark.parametrize(("channels", "targets"), [(5, 5), (4, 2)])
def test_points_that_are_no_places_are_shown_over_time(browser, channels, targets):
    model = small_model(input_dim=channels, target_dim=targets)
    with running(InferenceServer(model=model, name="channels", device="cpu")) as address:
        browser.open(address)
        browser.wait("!document.querySelector('#work').hidden")
        assert browser.eval("document.querySelector('#draw-choice').hidden")
        browser.click("#sample-table")
        shown(browser)
        assert table(browser).shape[1] == 2 + 3 * targets  # step, seconds, values, lows and highs
        drawn = (
            "document.querySelector('#view').getContext('2d').getImageData(0, 0, 400, 300).data.some(Boolean)"
        )
        browser.wait(drawn)
        assert browser.complaints == []


def test_it_waits_for_a_server_that_is_loading(browser):
    server = InferenceServer(model=small_model(), name="small", device="cpu")
    host = Host(lambda: server, name="small")
    with running(host) as address:
        browser.open(address)
        browser.wait("document.querySelector('#status').dataset.state === 'waiting'")
        assert browser.text("#status") == "not ready yet"
        asyncio.run(host.load())
        shown(browser)
        assert browser.text("#title") == "Forecasts by small"
    assert all("503" in each for each in browser.complaints)
