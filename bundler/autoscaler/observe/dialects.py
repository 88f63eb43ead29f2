"""What servers of models call their metrics, in old and new names and in their own units.

Source: the metrics that vLLM, SGLang and MindIE document; ours, of stand-ins, have vLLM's names.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from bundler.autoscaler.observe.metrics import Sample


@dataclass(frozen=True, kw_only=True, slots=True)
class Names:
    """The metrics of one kind of server; of several names of a metric the first that is there counts."""

    server: str
    running: Sequence[str]
    waiting: Sequence[str]
    kv_use: Sequence[str]
    prefill: Sequence[str]
    decode: Sequence[str]
    done: Sequence[str]
    ttft: Sequence[str]
    tpot: Sequence[str]


NAMES = (
    Names(
        server="vllm",
        running=("vllm:num_requests_running",),
        waiting=("vllm:num_requests_waiting",),
        kv_use=("vllm:kv_cache_usage_perc", "vllm:gpu_cache_usage_perc"),
        prefill=("vllm:prompt_tokens_total",),
        decode=("vllm:generation_tokens_total",),
        done=("vllm:request_success_total",),
        ttft=("vllm:time_to_first_token_seconds",),
        tpot=(
            "vllm:request_time_per_output_token_seconds",
            "vllm:time_per_output_token_seconds",
            "vllm:inter_token_latency_seconds",
        ),
    ),
    Names(
        server="sglang",
        running=("sglang:num_running_reqs",),
        waiting=("sglang:num_queue_reqs",),
        kv_use=("sglang:token_usage",),
        prefill=("sglang:prompt_tokens_total",),
        decode=("sglang:generation_tokens_total",),
        done=("sglang:num_requests_total",),
        ttft=("sglang:time_to_first_token_seconds",),
        tpot=("sglang:time_per_output_token_seconds", "sglang:inter_token_latency_seconds"),
    ),
    # MindIE prefixes nothing: it comes last, when no other name was found.
    Names(
        server="mindie",
        running=("num_requests_running",),
        waiting=("num_requests_waiting",),
        kv_use=("npu_cache_usage_perc",),
        prefill=("prompt_tokens_total",),
        decode=("generation_tokens_total",),
        done=("request_success_total",),
        ttft=("time_to_first_token_seconds",),
        tpot=("time_per_output_token_seconds",),
    ),
)


@dataclass(frozen=True, kw_only=True, slots=True)
class Reading:
    """One replica's metrics at a moment, in one set of units; None is not told.

    `prefill`, `decode` and `done` only ever grow: tokens and requests since the server started. `ttft_s` and `tpot_s`
    are sums of seconds, the counts beside them say of how many. `kv_use` is a share, but for MindIE, which documents a
    share and is seen to tell percent: what it told stands here, and `is_percent` says that it was above 1.
    """

    server: str
    running: float | None = None
    waiting: float | None = None
    kv_use: float | None = None
    is_percent: bool = False
    prefill: float | None = None
    decode: float | None = None
    done: float | None = None
    ttft_s: float | None = None
    ttft_count: float | None = None
    tpot_s: float | None = None
    tpot_count: float | None = None


def read_replica(samples: Iterable[Sample]) -> Reading | None:
    """Return what the samples of a replica say; None when they are of no server that is known."""
    values, most = _totals(samples)
    names = next((one for one in NAMES if any(name in values for name in (*one.running, *one.decode))), None)
    if names is None:
        return None

    def total(candidates: Sequence[str], end: str = "") -> float | None:
        return next((values[f"{name}{end}"] for name in candidates if f"{name}{end}" in values), None)

    kv_use = next((most[name] for name in names.kv_use if name in most), None)
    return Reading(
        server=names.server,
        running=total(names.running),
        waiting=total(names.waiting),
        kv_use=kv_use,
        is_percent=kv_use is not None and kv_use > 1,
        prefill=total(names.prefill),
        decode=total(names.decode),
        done=total(names.done),
        ttft_s=total(names.ttft, "_sum"),
        ttft_count=total(names.ttft, "_count"),
        tpot_s=total(names.tpot, "_sum"),
        tpot_count=total(names.tpot, "_count"),
    )


def _totals(samples: Iterable[Sample]) -> tuple[Mapping[str, float], Mapping[str, float]]:
    """Return the sum and the highest of each name over all labels: engines, ranks, models, reasons to finish."""
    values: dict[str, float] = {}
    most: dict[str, float] = {}
    for one in samples:
        values[one.name] = values.get(one.name, 0.0) + one.value
        most[one.name] = max(most.get(one.name, 0.0), one.value)
    return values, most
