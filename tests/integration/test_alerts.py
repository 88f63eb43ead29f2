"""Every alert, held against figures that must raise it and figures that must not, by promtool."""

from __future__ import annotations

import json
import shutil
import subprocess
from dataclasses import dataclass
from importlib import resources
from pathlib import Path

import pytest
import yaml

PACKS = {
    path.name.removesuffix(".rules.yml"): yaml.safe_load(path.read_text(encoding="utf-8"))
    for path in (resources.files("bundler.installer.escort") / "alerts").iterdir()
}
RULES = [(pack, rule) for pack, document in sorted(PACKS.items()) for rule in document["groups"][0]["rules"]]
MODEL = 'model_name="qwen"'
MIB = 1024 * 1024


@dataclass(frozen=True)
class Case:
    """Series by name with labels, as promtool writes them: what raises an alert at a minute, and what does not."""

    pack: str
    alert: str
    at_m: int
    raises: dict[str, str]
    calm: dict[str, str]


def series(name: str, *labels: str) -> str:
    return name + "{" + ",".join(['job="agent"', *labels]) + "}"


def code(name: str, number: str) -> str:
    return series(name, 'proxy="agent"', f'code="{number}"')


def front(name: str, *labels: str) -> str:
    return series(name, 'proxy="gateway"', *labels)


def back(name: str) -> str:
    return series(name, 'proxy="agent"')


def bucket(name: str, bound: str, *labels: str) -> str:
    return series(f"{name}_bucket", f'le="{bound}"', *labels)


def outcome(name: str) -> str:
    return series("agent_conversations_total", f'outcome="{name}"')


DURATION = "agent_conversation_duration_seconds"
DONE = 'outcome="completed"'
FIRST, EACH = "vllm:time_to_first_token_seconds", "vllm:time_per_output_token_seconds"
RESPONSES, ASKED = "haproxy_backend_http_responses_total", "haproxy_frontend_http_responses_total"
ABORTS, REQUESTS = "haproxy_backend_client_aborts_total", "haproxy_backend_http_requests_total"
TOKENS = "agent_model_tokens_total"
CASES = (
    Case("targets", "TargetDown", 5, {series("up"): "0x10"}, {series("up"): "1x2 0 1x10"}),
    Case(
        "targets",
        "TargetFlapping",
        16,
        {series("up"): "1 1 0 0 1 1 0 0 1 1 0 0 1 1 0 0 1 1"},
        {series("up"): "1 0 1x20"},
    ),
    Case(
        "targets",
        "TargetAnswersSlowly",
        10,
        {series("scrape_duration_seconds"): "6x20"},
        {series("scrape_duration_seconds"): "4.9x20"},
    ),
    Case(
        "targets",
        "TargetRestartsOften",
        30,
        {series("process_start_time_seconds"): "1x5 2x5 3x5 4x20"},
        {series("process_start_time_seconds"): "1x5 2x30"},
    ),
    Case(
        "targets",
        "TargetUsesManyFiles",
        10,
        {series("process_open_fds"): "900x20", series("process_max_fds"): "1000x20"},
        {series("process_open_fds"): "700x20", series("process_max_fds"): "1000x20"},
    ),
    Case(
        "targets",
        "TargetUsesAWholeProcessor",
        25,
        {series("process_cpu_seconds_total"): "0+60x30"},
        {series("process_cpu_seconds_total"): "0+30x30"},
    ),
    Case(
        "targets",
        "TargetGrows",
        240,
        {series("process_resident_memory_bytes"): f"{200 * MIB}+{3 * MIB}x300"},
        {series("process_resident_memory_bytes"): f"{200 * MIB}+{MIB}x300"},
    ),
    Case(
        "monitoring",
        "MonitoringConfigurationRefused",
        5,
        {series("prometheus_config_last_reload_successful"): "0x10"},
        {series("prometheus_config_last_reload_successful"): "1x10"},
    ),
    Case(
        "monitoring",
        "MonitoringRulesFail",
        5,
        {series("prometheus_rule_evaluation_failures_total", 'rule_group="agent"'): "0+1x10"},
        {series("prometheus_rule_evaluation_failures_total", 'rule_group="agent"'): "3x10"},
    ),
    Case(
        "monitoring",
        "MonitoringRulesTooSlow",
        20,
        {series("prometheus_rule_group_iterations_missed_total", 'rule_group="agent"'): "0+1x30"},
        {series("prometheus_rule_group_iterations_missed_total", 'rule_group="agent"'): "5x30"},
    ),
    Case(
        "monitoring",
        "MonitoringStorageDamaged",
        30,
        {series("prometheus_tsdb_compactions_failed_total"): "0x20 1x20"},
        {series("prometheus_tsdb_compactions_failed_total"): "1x40"},
    ),
    Case(
        "monitoring",
        "MonitoringForgetsEarly",
        60,
        {series("prometheus_tsdb_size_retentions_total"): "0x30 1x40"},
        {series("prometheus_tsdb_size_retentions_total"): "7x80"},
    ),
    Case(
        "monitoring",
        "MonitoringTakesNothing",
        20,
        {series("prometheus_tsdb_head_samples_appended_total"): "100x30"},
        {series("prometheus_tsdb_head_samples_appended_total"): "0+100x30"},
    ),
    Case(
        "gateway",
        "GatewayServiceDown",
        5,
        {back("haproxy_backend_active_servers"): "0x10"},
        {
            back("haproxy_backend_active_servers"): "1x10",
            series("haproxy_backend_active_servers", 'proxy="rates"'): "0x10",
        },
    ),
    Case(
        "gateway",
        "GatewayServiceFails",
        15,
        {code(RESPONSES, "5xx"): "0+10x30", code(RESPONSES, "2xx"): "0+90x30"},
        {code(RESPONSES, "5xx"): "0+4x30", code(RESPONSES, "2xx"): "0+96x30"},
    ),
    Case(
        "gateway",
        "GatewayServiceAnswersSlowly",
        15,
        {back("haproxy_backend_response_time_average_seconds"): "12x30"},
        {back("haproxy_backend_response_time_average_seconds"): "3x30"},
    ),
    Case(
        "gateway",
        "GatewayQueueGrows",
        10,
        {back("haproxy_backend_current_queue"): "3x20"},
        {back("haproxy_backend_current_queue"): "3 0 3 0 3 0x20"},
    ),
    Case(
        "gateway",
        "GatewayCannotConnect",
        6,
        {back("haproxy_backend_connection_errors_total"): "0+2x10"},
        {back("haproxy_backend_connection_errors_total"): "0 1 2x10"},
    ),
    Case(
        "gateway",
        "GatewayAnswersBreakOff",
        12,
        {back("haproxy_backend_response_errors_total"): "0+1x20"},
        {back("haproxy_backend_response_errors_total"): "0 3x20"},
    ),
    Case(
        "gateway",
        "GatewayRefusesMany",
        10,
        {front(ASKED, 'code="4xx"'): "0+60x20", front(ASKED, 'code="2xx"'): "0+10x20"},
        {front(ASKED, 'code="4xx"'): "0+60x20", front(ASKED, 'code="2xx"'): "0+600x20"},
    ),
    Case(
        "gateway",
        "GatewayNearlyFull",
        10,
        {front("haproxy_frontend_current_sessions"): "90x20", front("haproxy_frontend_limit_sessions"): "100x20"},
        {front("haproxy_frontend_current_sessions"): "70x20", front("haproxy_frontend_limit_sessions"): "100x20"},
    ),
    Case(
        "gateway",
        "GatewayClientsGiveUp",
        20,
        {back(ABORTS): "0+5x30", back(REQUESTS): "0+10x30"},
        {back(ABORTS): "0+5x30", back(REQUESTS): "0+100x30"},
    ),
    Case("agent", "AgentModelGone", 5, {series("agent_model_up"): "0x10"}, {series("agent_model_up"): "1x10"}),
    Case(
        "agent",
        "AgentConversationsFail",
        20,
        {outcome("failed"): "0+2x30", outcome("completed"): "0+8x30"},
        {outcome("failed"): "0+1x30", outcome("completed"): "0+20x30"},
    ),
    Case(
        "agent",
        "AgentConversationsCancelled",
        30,
        {outcome("cancelled"): "0+4x40", outcome("completed"): "0+6x40"},
        {outcome("cancelled"): "0+1x40", outcome("completed"): "0+9x40"},
    ),
    Case(
        "agent",
        "AgentConversationsSlow",
        25,
        {
            bucket(DURATION, "60", DONE): "0+5x40",
            bucket(DURATION, "120", DONE): "0+10x40",
            bucket(DURATION, "+Inf", DONE): "0+10x40",
        },
        {
            bucket(DURATION, "60", DONE): "0+10x40",
            bucket(DURATION, "120", DONE): "0+10x40",
            bucket(DURATION, "+Inf", DONE): "0+10x40",
        },
    ),
    Case(
        "agent",
        "AgentNearlyFull",
        10,
        {series("agent_conversations_in_flight"): "10x20", series("agent_conversations_limit"): "10x20"},
        {series("agent_conversations_in_flight"): "8x20", series("agent_conversations_limit"): "10x20"},
    ),
    Case(
        "agent",
        "AgentTurnsClientsAway",
        6,
        {series("agent_http_requests_total", 'route="/process"', 'status="503"'): "0+2x10"},
        {series("agent_http_requests_total", 'route="/process"', 'status="200"'): "0+2x10"},
    ),
    Case(
        "agent",
        "AgentStuck",
        40,
        {series("agent_conversations_in_flight"): "2x50", outcome("completed"): "7x50"},
        {series("agent_conversations_in_flight"): "2x50", outcome("completed"): "0+1x50"},
    ),
    Case(
        "agent",
        "AgentTokensJump",
        1500,
        {series(TOKENS, 'kind="input"'): "0+10x1440 20000+1000x80"},
        {series(TOKENS, 'kind="input"'): "0+10x1520"},
    ),
    Case(
        "model",
        "ModelQueueGrows",
        10,
        {series("vllm:num_requests_waiting", MODEL): "12x20"},
        {series("vllm:num_requests_waiting", MODEL): "9x20"},
    ),
    Case(
        "model",
        "ModelCacheFull",
        10,
        {series("vllm:kv_cache_usage_perc", MODEL): "0.97x20"},
        {series("vllm:gpu_cache_usage_perc", MODEL): "0.5x20"},
    ),
    Case(
        "model",
        "ModelPreempts",
        12,
        {series("vllm:num_preemptions_total", MODEL): "0+2x20"},
        {series("vllm:num_preemptions_total", MODEL): "50x20"},
    ),
    Case(
        "model",
        "ModelFirstTokenLate",
        15,
        {
            bucket(FIRST, "5", MODEL): "0+5x30",
            bucket(FIRST, "10", MODEL): "0+10x30",
            bucket(FIRST, "+Inf", MODEL): "0+10x30",
        },
        {
            bucket(FIRST, "5", MODEL): "0+10x30",
            bucket(FIRST, "10", MODEL): "0+10x30",
            bucket(FIRST, "+Inf", MODEL): "0+10x30",
        },
    ),
    Case(
        "model",
        "ModelWritesSlowly",
        15,
        {
            bucket(EACH, "0.2", MODEL): "0+5x30",
            bucket(EACH, "0.5", MODEL): "0+10x30",
            bucket(EACH, "+Inf", MODEL): "0+10x30",
        },
        {
            bucket(EACH, "0.2", MODEL): "0+10x30",
            bucket(EACH, "0.5", MODEL): "0+10x30",
            bucket(EACH, "+Inf", MODEL): "0+10x30",
        },
    ),
    Case(
        "model",
        "ModelStuck",
        15,
        {series("vllm:num_requests_running", MODEL): "1x30", series("vllm:generation_tokens_total", MODEL): "9x30"},
        {series("vllm:num_requests_running", MODEL): "1x30", series("vllm:generation_tokens_total", MODEL): "0+9x30"},
    ),
)


def test_there_is_a_case_for_every_alert() -> None:
    assert [(case.pack, case.alert) for case in sorted(CASES, key=lambda case: case.pack)] == [
        (pack, rule["alert"]) for pack, rule in RULES
    ]
    assert len(RULES) > 30


@pytest.mark.parametrize("rule", [rule for _, rule in RULES], ids=lambda rule: rule["alert"])
def test_an_alert_says_how_bad_it_is_and_what_happened_in_both_languages(rule: dict[str, dict[str, str]]) -> None:
    assert rule["labels"]["severity"] in ("critical", "warning", "info")
    english, chinese = rule["annotations"]["summary"], rule["annotations"]["summary_zh"]
    assert english.isascii()
    assert any("\u4e00" <= one <= "\u9fff" for one in chinese)


@pytest.mark.skipif(shutil.which("promtool") is None, reason="needs promtool")
@pytest.mark.parametrize("pack", sorted(PACKS))
def test_alerts_are_raised_when_they_must_and_only_then(pack: str, tmp_path: Path) -> None:
    cases = [case for case in CASES if case.pack == pack]
    rules = resources.files("bundler.installer.escort") / "alerts" / f"{pack}.rules.yml"
    tests = [asked(case, figures, is_raised=is_raised) for case in cases for figures, is_raised in figures_of(case)]
    path = tmp_path / "test.yml"
    path.write_text(json.dumps({"rule_files": [str(rules)], "evaluation_interval": "1m", "tests": tests}))
    done = subprocess.run(["promtool", "test", "rules", path], capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 0, done.stdout + done.stderr


def figures_of(case: Case) -> tuple[tuple[dict[str, str], bool], ...]:
    return ((case.raises, True), (case.calm, False))


def asked(case: Case, figures: dict[str, str], *, is_raised: bool) -> dict[str, object]:
    """Return a test of promtool: whether an alert fires at its minute."""
    firing = f'ALERTS{{alertname="{case.alert}",alertstate="firing"}}'
    return {
        "name": f"{case.alert}, {'raised' if is_raised else 'calm'}",
        "interval": "1m",
        "input_series": [{"series": name, "values": values} for name, values in figures.items()],
        "promql_expr_test": [
            {
                "expr": f"count({firing}) > bool 0" if is_raised else firing,
                "eval_time": f"{case.at_m}m",
                "exp_samples": [{"labels": "{}", "value": 1}] if is_raised else [],
            }
        ],
    }
