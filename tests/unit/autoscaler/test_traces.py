"""Traces in every format, and what is said of those that are wrong."""

from __future__ import annotations

import gzip
from pathlib import Path

import numpy as np
import pytest

from bundler.autoscaler.simulator.arrivals import expand, slots_of
from bundler.autoscaler.simulator.trace import RequestTrace, WindowTrace, read_trace
from bundler.errors import HostError

AZURE = (
    "TIMESTAMP,ContextTokens,GeneratedTokens\n"
    "2023-11-16 18:15:46.6805900,374,44\n2023-11-16 18:15:50.9951690,396,109\n2023-11-16 18:16:00.0000000,10,5\n"
)
MOONCAKE = (
    '{"timestamp": 0, "input_length": 6758, "output_length": 500, "hash_ids": [0, 1]}\n'
    '{"timestamp": 3000, "input_length": 7322, "output_length": 490, "hash_ids": [0]}\n'
)
AGGREGATE = (
    "t,rate_rps,covered_rate_rps,in_tok_s,out_tok_s\n"
    "0,10,5,500,50\n600,20,10,1000,100\n1200,0,0,0,0\n1800,40,20,2000,200\n"
)
RATES = (
    "client,t,rate,cv,pattern,p1,p2\n"
    "a,0,1,2,Gamma,0,0\nb,0,3,1,Weibull,0,0\na,600,2,2,Gamma,0,0\na,1800,4,1,Gamma,0,0\n"
)
TOKENS = (
    "client,t,field,mean,p50,p90,p99\n"
    "a,0,input_tokens,100,1,1,1\na,0,output_tokens,10,1,1,1\nb,0,input_tokens,300,1,1,1\nb,0,output_tokens,50,1,1,1\n"
)


def written(path: Path, text: str) -> Path:
    """Write a trace, gzipped where its name says so."""
    data = text.encode()
    path.write_bytes(gzip.compress(data) if path.suffix == ".gz" else data)
    return path


@pytest.mark.parametrize("name", ["a.csv", "a.csv.gz"])
def test_request_rows(tmp_path: Path, name: str) -> None:
    trace = read_trace(written(tmp_path / name, AZURE))
    assert isinstance(trace, RequestTrace)
    assert trace.at_s == pytest.approx([0, 4.314579, 13.31941])
    assert trace.input_tokens.tolist() == [374, 396, 10]
    assert trace.output_tokens.tolist() == [44, 109, 5]


def test_json_lines(tmp_path: Path) -> None:
    trace = read_trace(written(tmp_path / "m.jsonl.gz", MOONCAKE))
    assert isinstance(trace, RequestTrace)
    assert trace.at_s.tolist() == [0, 3]
    assert trace.input_tokens.tolist() == [6758, 7322]


def test_windows_fill_gaps_and_take_the_mean_size_for_what_is_not_covered(tmp_path: Path) -> None:
    trace = read_trace(written(tmp_path / "agg.csv", AGGREGATE))
    assert isinstance(trace, WindowTrace)
    assert (trace.window_s, trace.gaps) == (600, 1)
    assert trace.rate.tolist() == [10, 20, 30, 40]
    assert trace.input_tokens == pytest.approx([100, 100, 100, 100])


def test_rates_of_clients_take_tokens_from_the_file_beside(tmp_path: Path) -> None:
    written(tmp_path / "x_tokens.csv.gz", TOKENS)
    trace = read_trace(written(tmp_path / "x_rates.csv.gz", RATES))
    assert isinstance(trace, WindowTrace)
    assert trace.rate.tolist() == [4, 2, 3, 4]
    assert trace.input_tokens == pytest.approx([250, 100, 100, 100])
    assert trace.output_tokens == pytest.approx([40, 10, 10, 10])
    assert trace.dispersion == pytest.approx([7 / 4, 4, 2.5, 1])


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", 'expected a trace, got a file that begins with ""'),
        ("a,b\n1,2\n", 'expected a trace, got a file that begins with "a,b"'),
        (AZURE + "2023-11-16 18:16:01,1\n", "expected 3 columns, got 2"),
        (AZURE + "yesterday,1,2\n", 'expected a time such as 2023-11-16 18:17:03.979 as "TIMESTAMP", got "yesterday"'),
        (AZURE + "2023-11-16 18:16:01,-1,2\n", 'expected a number of at least 0 as "ContextTokens", got -1'),
        (AZURE + "2023-11-16 18:16:01,many,2\n", 'expected a number as "ContextTokens", got "many"'),
        (AZURE.splitlines()[0], "expected at least 2 requests, got 0"),
        (MOONCAKE + "[]\n", "expected a JSON object a line, got something else"),
        (MOONCAKE + '{"timestamp": true}\n', 'expected a number as "timestamp", got true'),
        (AGGREGATE + "600,1,1,1,1\n", "expected each window once, got t = 600 twice"),
        (AGGREGATE + "2000,1,1,1,1\n", "expected windows at multiples of 200 s within 400 days"),
        (AGGREGATE.splitlines()[0], "expected at least 3 windows, got 0"),
        (TOKENS, "expected arrivals, got a file that tells sizes of requests only"),
    ],
)
def test_what_is_wrong_is_told(tmp_path: Path, text: str, said: str) -> None:
    if said.startswith("expected windows at multiples"):
        text = text.replace("2000,1", "2100.5,1")
        said = "expected windows at multiples of 300.5 s within 400 days"
    with pytest.raises(HostError) as caught:
        read_trace(written(tmp_path / "bad.csv", text))
    assert caught.value.message == said


def test_a_cut_gzip_file_is_told(tmp_path: Path) -> None:
    path = tmp_path / "cut.csv.gz"
    path.write_bytes(gzip.compress(AZURE.encode())[:-12])
    with pytest.raises(HostError) as caught:
        read_trace(path)
    assert str(caught.value) == f"{path}: expected a whole gzip file, got a damaged one"


def test_the_same_seed_draws_the_same_requests_and_the_load_is_as_asked(tmp_path: Path) -> None:
    trace = read_trace(written(tmp_path / "agg.csv", AGGREGATE))
    one, two = (expand(trace, mean_replicas=7, seed=5, most=20_000) for _ in range(2))
    other = expand(trace, mean_replicas=7, seed=6, most=20_000)
    assert np.array_equal(one.at_s, two.at_s)
    assert np.array_equal(one.work_s, two.work_s)
    assert not np.array_equal(one.at_s[:100], other.at_s[:100])
    assert one.work_s.sum() / one.duration_s == pytest.approx(7)
    assert 19_000 < len(one.at_s) < 21_000
    assert one.group == pytest.approx(60_000 / 20_000, rel=0.02)
    assert slots_of(one) >= 4
