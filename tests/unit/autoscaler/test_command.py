"""`ferry autoscaler` as a user meets it."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from command import ferry

from bundler.autoscaler.decide import decide
from bundler.autoscaler.log import format_entry
from bundler.autoscaler.model import Forecast, Limits, Observation


@pytest.fixture
def trace(tmp_path: Path) -> Path:
    path = tmp_path / "day.csv"
    rows = [f"{at * 300},{5 * (1.2 + np.sin(at / 6)):.3f},{5 * (1.2 + np.sin(at / 6)):.3f},400,100" for at in range(60)]
    path.write_text("\n".join(["t,rate_rps,covered_rate_rps,in_tok_s,out_tok_s", *rows]) + "\n")
    return path


def test_simulate_prints_the_table_as_json_and_a_page_that_loads_nothing(trace: Path, tmp_path: Path) -> None:
    page = tmp_path / "report.html"
    words = ("autoscaler", "simulate", "--trace", trace, "--mean-replicas", "6", "--attainment", "0.99,0.995")
    done = ferry(*words, "--requests", "20000", "--json", "--report", page)
    document = json.loads(done.stdout)
    assert list(document["attainment"]) == ["0.99", "0.995"]
    for row in document["attainment"].values():
        assert list(row) == ["static", "hpa", "kpa", "ferry", "clairvoyant", "ferry_sleeping"]
        assert row["static"] == 100.0
        assert all(0 < value <= 100 for value in row.values())
    for text, runs in document["runs"].items():
        assert all(one["attained"] >= float(text) for one in runs.values())
    text = page.read_text()
    assert text.count("<svg") == 6
    assert "src=" not in text
    assert "href=" not in text


def test_wrong_words_and_wrong_traces_are_told(trace: Path) -> None:
    done = ferry("autoscaler", "simulate", "--trace", trace, "--attainment", "0.99,2", code=2)
    assert 'expected shares from 0.5 to below 1, got "2"' in done.stderr
    trace.write_text("hello\n")
    done = ferry("autoscaler", "simulate", "--trace", trace, code=8)
    assert done.stderr.startswith(f'error: {trace}: expected a trace, got a file that begins with "hello"\nhint: ')


def test_explain_says_why(tmp_path: Path) -> None:
    log = tmp_path / "log.jsonl"
    seen = Observation(at_s=60.0, ready=4, load=5.2, queue=0.0)
    forecast, limits = Forecast(expected=6.0), Limits()
    log.write_text(format_entry(seen, forecast, limits, (), decide(seen, forecast, limits)))
    assert ferry("autoscaler", "explain", log).stdout == (
        "60  grow from 4 to 8: a load of up to 6.0 replicas is expected within 120 s\n"
    )
    log.write_text('{"seen": 1, "needs": [], "replicas": 1}\n')
    done = ferry("autoscaler", "explain", log, code=8)
    assert done.stderr == (
        f"error: {log}:1: expected an object with at_s, busy, draining, kv_use, load, occupied, queue, ready, "
        'sleeping, starting as "seen"\n'
    )


def test_backtest_compares_with_naive(trace: Path) -> None:
    document = json.loads(ferry("autoscaler", "backtest", "--trace", trace, "--json").stdout)
    assert set(document) == {"forecast", "naive", "trusted"}


def test_the_step_test_holds_what_it_promises() -> None:
    cards = json.loads(ferry("autoscaler", "step", "--json").stdout)
    best = cards["nvidia-h100"]["utilisation"]
    assert all(each["utilisation"] >= 0.78 for each in cards.values())
    assert all(abs(each["utilisation"] - best) <= 0.03 for each in cards.values())
