"""What replicas tell: three servers, old and new names, percent and shares, resets, silence, clocks."""

import json
from dataclasses import replace

import pytest

from bundler.autoscaler.observe.demand import Counts, Observer
from bundler.autoscaler.observe.dialects import Reading, read_replica
from bundler.autoscaler.observe.metrics import parse_answer, parse_metrics
from bundler.autoscaler.size import Profile
from bundler.errors import HostError

VLLM = """# HELP vllm:num_requests_running Number of requests in model execution batches.
# TYPE vllm:num_requests_running gauge
vllm:num_requests_running{engine="0",model_name="m"} 3.0
vllm:num_requests_running{engine="1",model_name="m"} 2.0
vllm:num_requests_waiting{engine="0",model_name="m"} 7.0
vllm:KV{engine="0",model_name="m"} 0.25
vllm:KV{engine="1",model_name="m"} 0.75
# TYPE vllm:prompt_tokens_total counter
vllm:prompt_tokens_total{engine="0",model_name="m"} 1000.0
# TYPE vllm:generation_tokens_total counter
vllm:generation_tokens_total{engine="0",model_name="m"} 400.0
# TYPE vllm:request_success_total counter
vllm:request_success_total{finished_reason="stop",model_name="m"} 5.0
vllm:request_success_total{finished_reason="length",model_name="m"} 1.0
# TYPE vllm:time_to_first_token_seconds histogram
vllm:time_to_first_token_seconds_bucket{le="+Inf",model_name="m"} 6.0
vllm:time_to_first_token_seconds_sum{model_name="m"} 1.5
vllm:time_to_first_token_seconds_count{model_name="m"} 6.0
"""
SGLANG = """sglang:num_running_reqs{model_name="m"} 4
sglang:num_queue_reqs{model_name="m"} 1
sglang:token_usage{model_name="m"} 0.5
sglang:prompt_tokens_total{model_name="m"} 10
sglang:generation_tokens_total{model_name="m"} 20
"""
MINDIE = """# TYPE num_requests_running gauge
num_requests_running{model_name="m"} 2
num_requests_waiting{model_name="m"} 0
npu_cache_usage_perc{model_name="m"} 30
prompt_tokens_total{model_name="m"} 9564
generation_tokens_total{model_name="m"} 9
"""
PROFILE = Profile(name="card", prefill_tok_s=1000.0, decode_tok_s=100.0)


@pytest.mark.parametrize("name", ["kv_cache_usage_perc", "gpu_cache_usage_perc"])
def test_vllm_by_its_old_and_its_new_names(name: str) -> None:
    found = read_replica(parse_metrics(VLLM.replace("KV", name), place="here"))
    assert found == Reading(
        server="vllm",
        running=5,
        waiting=7,
        kv_use=0.75,
        prefill=1000,
        decode=400,
        done=6,
        ttft_s=1.5,
        ttft_count=6,
    )


def test_sglang() -> None:
    found = read_replica(parse_metrics(SGLANG, place="here"))
    assert found == Reading(server="sglang", running=4, waiting=1, kv_use=0.5, prefill=10, decode=20)


def test_mindie_tells_percent_where_it_says_a_share() -> None:
    found = read_replica(parse_metrics(MINDIE, place="here"))
    assert found is not None
    assert (found.server, found.kv_use, found.is_percent) == ("mindie", 30, True)
    observer = Observer(PROFILE)
    observer.observe(0, {"a": found}, Counts(ready=1))
    low = replace(found, kv_use=1.0, is_percent=False)
    assert observer.observe(15, {"a": low}, Counts(ready=1)).kv_use == 0.01


@pytest.mark.parametrize("text", ["<html>", "{", 'a{b="c} 1', "a b c d e"])
def test_what_is_no_exposition_is_refused(text: str) -> None:
    with pytest.raises(HostError) as refused:
        parse_metrics(text, place="http://127.0.0.1:1/metrics")
    assert str(refused.value).startswith(
        f"http://127.0.0.1:1/metrics: expected metrics as Prometheus text, got {text!r}"
    )


def test_other_metrics_are_of_no_server() -> None:
    assert read_replica(parse_metrics("go_goroutines 7\nx NaN\n", place="here")) is None


def test_an_answer_of_prometheus_by_instance() -> None:
    row = {"metric": {"__name__": "sglang:num_running_reqs", "instance": "a:1"}, "value": [1, "3"]}
    text = json.dumps({"status": "success", "data": {"resultType": "vector", "result": [row]}})
    found = parse_answer(text, place="here", label="instance")
    assert {name: read_replica(one) for name, one in found.items()} == {"a:1": Reading(server="sglang", running=3)}


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("[]", "expected an answer of Prometheus, got '[]'"),
        ('{"status":"error","error":"bad query"}', "expected a vector, got bad query"),
        ('{"status":"success","data":{"resultType":"scalar"}}', "expected a vector, got scalar"),
    ],
)
def test_other_answers_are_refused(text: str, told: str) -> None:
    with pytest.raises(HostError) as refused:
        parse_answer(text, place="here", label="instance")
    assert refused.value.message == told


def reading(decode: float, *, waiting: float = 0, done: float = 0, kv_use: float = 0.5) -> Reading:
    return Reading(server="vllm", running=1, waiting=waiting, kv_use=kv_use, prefill=0, decode=decode, done=done)


def test_rates_become_replicas() -> None:
    observer = Observer(PROFILE)
    first = observer.observe(0, {"a": reading(0), "b": reading(0)}, Counts(ready=2))
    assert (first.load, first.queue) == (None, None)
    seen = observer.observe(10, {"a": reading(500), "b": reading(250)}, Counts(ready=2, starting=1))
    assert (seen.load, seen.busy, seen.queue, seen.starting) == (0.75, 0.75, 0.0, 1)


def test_a_counter_that_was_reset_counts_from_nothing() -> None:
    observer = Observer(PROFILE)
    observer.observe(0, {"a": reading(5000)}, Counts(ready=1))
    assert observer.observe(10, {"a": reading(300)}, Counts(ready=1)).load == 0.3


def test_a_queue_that_grows_is_load_that_arrives() -> None:
    observer = Observer(PROFILE, work=0.5)
    observer.observe(0, {"a": reading(0)}, Counts(ready=1))
    seen = observer.observe(10, {"a": reading(1000, waiting=20, done=20)}, Counts(ready=1))
    # It did the work of one replica, and one more request a second came in that takes half a second of one.
    assert (seen.load, seen.queue) == (pytest.approx(2.0), 10.0)


def test_silence_is_not_zero() -> None:
    observer = Observer(PROFILE)
    both = {"a": reading(0), "b": reading(0)}
    observer.observe(0, both, Counts(ready=2))
    silent = observer.observe(10, {"a": None, "b": None}, Counts(ready=2))
    assert (silent.load, silent.queue, silent.busy) == (None, None, None)
    half = observer.observe(20, {"a": reading(900), "b": None}, Counts(ready=2))
    assert half.load is None


def test_a_few_silent_replicas_are_taken_to_do_what_the_others_do() -> None:
    observer = Observer(PROFILE)
    names = ("a", "b", "c", "d")
    observer.observe(0, {name: reading(0) for name in names}, Counts(ready=4))
    told = {name: reading(500) if name != "d" else None for name in names}
    assert observer.observe(10, told, Counts(ready=4)).load == 2.0


def test_what_a_full_replica_does_is_what_the_card_can() -> None:
    observer = Observer(PROFILE)
    for second in range(0, 600, 15):
        observer.observe(second, {"a": reading(60 * second, waiting=3)}, Counts(ready=1))
    assert observer.profile.measured == pytest.approx(0.6, abs=0.01)
    seen = observer.observe(600, {"a": reading(36_000, waiting=3)}, Counts(ready=1))
    assert seen.load == pytest.approx(1.0, abs=0.02)
