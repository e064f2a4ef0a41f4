"""The history behind the live page: nothing lost, nothing unbounded, nobody waited for."""

import itertools
import json
import threading
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from examples.trajectory_3d.live.history import History


def numbers(events):
    return [event.number for event in events]


def test_events_come_in_order_and_once():
    history = History()
    history.add("start", {"name": "a"})
    history.add("step", {"step": 1})
    history.add("evaluation", {"step": 1})
    history.add("step", {"step": 2})
    events = history.after(0)
    assert [event.kind for event in events] == ["start", "step", "evaluation", "step"]
    assert numbers(events) == [1, 2, 3, 4]
    assert json.loads(events[-1].data) == {"step": 2}
    assert numbers(history.after(2)) == [3, 4]
    assert history.after(4) == []


@given(total=st.integers(1, 400), most=st.integers(2, 40))
def test_a_long_history_is_thinned_out_evenly(total, most):
    history = History(most=1000, most_of={"step": most})
    history.add("start", {})
    for place in range(total):
        history.add("step", {"place": place})
    kept = [json.loads(event.data)["place"] for event in history.after(0) if event.kind == "step"]
    assert len(kept) <= most + 1
    assert kept[-1] == total - 1
    assert kept[0] == 0
    gaps = {after - before for before, after in itertools.pairwise(kept[:-1])}
    assert len(gaps) <= 1  # evenly, but for the newest
    if total <= most:
        assert kept == list(range(total))
    else:
        assert len(kept) > most / 2 - 1  # and no more left out than needed


def test_a_reader_waits_for_news_and_no_longer():
    history = History()
    began = time.monotonic()
    assert history.after(0, timeout=0.05) == []
    assert time.monotonic() - began >= 0.05
    timer = threading.Timer(0.05, history.add, ("step", {"step": 1}))
    timer.start()
    assert numbers(history.after(0, timeout=60.0)) == [1]
    timer.join()


def test_closing_ends_the_wait_and_the_adding():
    history = History()
    timer = threading.Timer(0.05, history.close)
    timer.start()
    assert history.after(0, timeout=60.0) == []
    timer.join()
    assert history.closed
    with pytest.raises(RuntimeError, match="closed"):
        history.add("step", {})


def test_numbers_that_json_lacks_become_null():
    history = History()
    history.add("step", {"loss": float("nan"), "load": [[float("inf"), 0.5]]})
    assert json.loads(history.after(0)[0].data) == {"loss": None, "load": [[None, 0.5]]}
