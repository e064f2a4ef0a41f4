"""What the server's page is made of, without a browser: its files, and the paths that it offers to try."""

import http.client
import json
import logging
import math
import re
from urllib.parse import urlsplit

import httpx
import numpy as np
import pytest
from page_server import KEY, entry_point

from m.inference_server.page import examples as example_paths
from m.inference_server.page.examples import ExamplePath, generic_examples, offered_examples
from m.inference_server.page.files import page_files

# ---- routes ----


@pytest.mark.parametrize(
    ("path", "kind"),
    [
        ("/", "text/html; charset=utf-8"),
        ("/docs", "text/html; charset=utf-8"),
        ("/static/page.js", "text/javascript; charset=utf-8"),
        ("/static/page.css", "text/css; charset=utf-8"),
        ("/static/icon.svg", "image/svg+xml"),
    ],
)
def test_files_come_with_their_type_a_policy_and_a_tag(client, path, kind):
    answer = client.get(path)
    assert answer.status_code == 200
    assert answer.headers["content-type"] == kind
    policy = answer.headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "frame-ancestors 'none'" in policy
    assert "unsafe" not in policy
    assert answer.headers["x-content-type-options"] == "nosniff"
    again = client.get(path, headers={"If-None-Match": answer.headers["etag"]})
    assert (again.status_code, again.content) == (304, b"")
    assert client.head(path).status_code == 200


@pytest.mark.parametrize(
    "path",
    ["/static/../routes.py", "/static/..%2froutes.py", "/static/%2e%2e/routes.py", "/static/", "/static/.",
     "/static/%2fetc%2fpasswd", "/static/routes.py", "/static/page.js%00.html", "/static/..%5croutes.py"],
)  # fmt: skip
def test_nothing_but_the_pages_files_is_served(url, path):
    connection = http.client.HTTPConnection(urlsplit(url).netloc, timeout=20)
    connection.request("GET", path)
    answer = connection.getresponse()
    assert answer.status == 404
    assert "error" in json.loads(answer.read())


def test_the_files_need_nothing_from_elsewhere_and_nothing_inline():
    files = {name: file.content.decode() for name, file in page_files().items()}
    assert {"index.html", "docs.html", "page.js", "page.css"} <= set(files)
    for name, text in files.items():
        addresses = set(re.findall(r"https?://[^\s\"'`<>$]+", text)) - {"http://www.w3.org/2000/svg"}
        assert not addresses, name
        for used in re.findall(r"(?:/static/|from \"\./)([\w.-]+)", text):
            assert used in files, f"{name} uses {used}"
        if name.endswith(".html"):
            assert not re.search(r"\sstyle=|\son\w+=|<style|<script(?![^>]*src=)", text), name


# ---- paths to try ----


def test_the_application_offers_its_five_motions(client):
    offered = client.get("/v1/examples").json()["examples"]
    assert [each["title"] for each in offered] == ["Helix", "Orbit", "Lissajous", "Lorenz", "Robot arm"]
    for each in offered:
        assert (each["dt"], each["unit"]) == (0.02, "m")
        assert np.shape(each["context"]) == (64, 3)
        assert np.shape(each["truth"]) == np.shape(each["ahead"]) == (256, 3)
        noise = np.subtract(each["ahead"], each["truth"])
        assert noise.std() == pytest.approx(0.02, rel=0.15)
        step = np.abs(np.diff(np.vstack([each["context"], each["truth"]]), axis=0)).max(1)
        assert step[63] < 0.1 + 2 * step[64:].max()  # it goes on where the context ends
    assert client.get("/v1/examples?seed=0").json()["examples"] == offered
    assert client.get("/v1/examples?seed=7").json()["examples"] != offered


@pytest.mark.parametrize("seed", ["-1", "x", "4294967296"])
def test_a_seed_that_is_none_is_refused(client, seed):
    answer = client.get(f"/v1/examples?seed={seed}")
    assert answer.status_code == 400
    assert "seed" in answer.json()["error"]


def flat(seed):
    return [{"name": "flat", "title": "Flat", "context": [[0, seed], [1, 1]], "truth": [[2, 2]], "dt": 0.1}]


def wrong(seed):
    return [{"name": "wrong", "title": "Wrong", "context": [[math.nan, 0]], "truth": [[0, 0]], "dt": 0.1}]


def test_broken_applications_are_left_out_and_the_log_says_why(monkeypatch, caplog):
    values = {"broken": "no_such_package:paths", "flat": f"{__name__}:flat", "wrong": f"{__name__}:wrong"}
    points = [entry_point(value, name) for name, value in values.items()]
    monkeypatch.setattr(example_paths, "entry_points", lambda group: points)
    with caplog.at_level(logging.WARNING):
        (found,) = offered_examples(3, input_dim=2, target_dim=2)
    assert found.context.tolist() == [[0, 3], [1, 1]]
    assert found.ahead.tolist() == [[2, 2]]
    told = [record.getMessage() for record in caplog.records]
    assert len(told) == 2
    assert "no_such_package" in told[0]
    assert "wrong" in told[1]
    assert "finite" in told[1]


def test_without_applications_generic_curves_of_the_models_dimension_are_offered(monkeypatch):
    monkeypatch.setattr(example_paths, "entry_points", lambda group: [])
    for dims, count in ((2, 2), (3, 3), (5, 0)):
        offered = offered_examples(0, input_dim=dims, target_dim=dims)
        assert len(offered) == count
        assert all(each.context.shape[1] == dims for each in offered)
    assert offered_examples(0, input_dim=3, target_dim=2) == []
    first, again = (generic_examples(4)[0].context for _ in range(2))
    np.testing.assert_array_equal(first, again)


@pytest.mark.parametrize(
    ("change", "complaint"),
    [({"context": []}, "table"), ({"dt": 0}, "dt"), ({"truth": [1, 2]}, "truth"), ({"ahead": [[1]]}, "ahead"),
     ({"context": np.empty((0, 2))}, "no points")],
)  # fmt: skip
def test_an_example_that_is_none_is_refused(change, complaint):
    good = {"name": "a", "title": "A", "context": [[0, 0]], "truth": [[1, 1]], "dt": 0.1}
    with pytest.raises(ValueError, match=complaint):
        ExamplePath(**good | change)


def test_with_a_key_the_page_is_open_and_what_it_asks_for_is_not(guarded):
    with httpx.Client(base_url=guarded, timeout=20) as client:
        assert client.get("/").status_code == 200
        assert client.get("/static/page.js").status_code == 200
        assert client.get("/v1/examples").status_code == 401
        assert client.get("/v1/examples", headers={"Authorization": f"Bearer {KEY}"}).status_code == 200
