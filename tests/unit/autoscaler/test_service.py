"""The service without a host: what the operator writes, what is learnt and kept."""

import json
from datetime import datetime
from pathlib import Path

import pytest

from bundler.autoscaler.act.haproxy import Haproxy
from bundler.autoscaler.forecast import TICK_S
from bundler.autoscaler.service.coldstart import ColdStarts, recall_starts
from bundler.autoscaler.service.config import read_config
from bundler.autoscaler.service.learning import Learner, recall
from bundler.autoscaler.service.loop import read_status
from bundler.errors import HostError, RecipeError

POOL = """[pool.chat]
accelerator = "nvidia-h100"
maximum = 3
unit = "model@{n}.service"
first_port = 9001
haproxy_socket = "/run/haproxy.sock"
backend = "chat"
"""
DAY = 86_400 // TICK_S


def write(path: Path, text: str) -> Path:
    path.write_text(text)
    return path


def test_a_pool_as_the_operator_writes_it(tmp_path: Path) -> None:
    (pool,) = read_config(write(tmp_path / "a.toml", POOL + 'freeze = ["22:00-06:00"]\nmost_asleep = 1\n'))
    assert [(one.unit, one.server, one.port) for one in pool.slots] == [
        ("model@1.service", "r1", 9001),
        ("model@2.service", "r2", 9002),
        ("model@3.service", "r3", 9003),
    ]
    assert (pool.profile.name, pool.limits.minimum, pool.limits.cold_s) == ("nvidia-h100", 1, 120.0)
    assert pool.is_frozen(datetime(2026, 11, 23, 23, 0))
    assert pool.is_frozen(datetime(2026, 11, 23, 5, 59))
    assert not pool.is_frozen(datetime(2026, 11, 23, 6, 0))


def test_a_card_that_nobody_profiled(tmp_path: Path) -> None:
    own = POOL.replace("nvidia-h100", "new") + "[pool.chat.profile]\nprefill_tok_s = 5000\ndecode_tok_s = 700\n"
    (pool,) = read_config(write(tmp_path / "a.toml", own))
    assert (pool.profile.prefill_tok_s, pool.profile.decode_tok_s) == (5000, 700)


@pytest.mark.parametrize(
    ("old", "new", "told"),
    [
        ("[pool.chat]", "[pool.Chat]", "pool.Chat: expected small letters, digits and - in a pool's name"),
        ("[pool.chat]", "x = 1\n[pool.chat]", 'expected tables [pool.NAME] only, got "x"'),
        ("maximum = 3", "maximum = 0", "pool.chat.maximum: expected 1 to 1000, got 0"),
        ("maximum = 3", "maximum = 3\nminimum = 4", "pool.chat.minimum: expected 0 to 3, got 4"),
        ("maximum = 3", 'maximum = "3"', "pool.chat.maximum: expected a whole number, got '3'"),
        ("maximum = 3", "maximum = true", "pool.chat.maximum: expected a whole number, got True"),
        ("maximum = 3", "", 'pool.chat: expected "maximum"'),
        ("maximum = 3", "maximum = 3\nlimit = 1", 'got "limit"'),
        ("model@{n}", "model", 'expected a unit with one {n} for its number, such as "model@{n}.service"'),
        ("9001", "65535", "pool.chat.first_port: expected a port from 1 to 65533, got 65535"),
        ("nvidia-h100", "voodoo-3", 'got "voodoo-3"'),
        ("maximum = 3", 'maximum = 3\nfreeze = ["22-06"]', "expected times such as \"22:00-06:00\", got '22-06'"),
        ("maximum = 3", 'maximum = 3\nprometheus = "here"', 'expected an http or https URL, got "here"'),
        ("[pool.chat]", "[pool", "expected TOML: "),
        ("[pool.chat]", "[pool.chat]\ncluster = true", 'pool.chat: expected "prometheus"'),
        ("[pool.chat]", "[pool.chat]\ncluster = 1", "pool.chat.cluster: expected true or false, got 1"),
        ("maximum = 3", 'maximum = 3\nlabel = "a b"', 'expected the name of a label of Prometheus, got "a b"'),
    ],
)
def test_what_is_wrong_is_said(tmp_path: Path, old: str, new: str, told: str) -> None:
    with pytest.raises(RecipeError) as refused:
        read_config(write(tmp_path / "a.toml", POOL.replace(old, new)))
    assert told in str(refused.value)
    assert str(refused.value).startswith(str(tmp_path / "a.toml"))


def test_what_is_learnt_outlives_a_restart(tmp_path: Path) -> None:
    learner, other = Learner(), Learner()
    for tick in range(400):
        learner.learn(tick * TICK_S, 5.0 + tick % 7, 60.0)
        other.learn(tick * TICK_S, 5.0 + tick % 7, 60.0)
    learner.keep(tmp_path / "forecast")
    back = recall(tmp_path / "forecast")
    assert back.learn(400 * TICK_S, 9.0, 60.0) == other.learn(400 * TICK_S, 9.0, 60.0)
    assert other.learn(401 * TICK_S, 9.0, 60.0).is_learnt


@pytest.mark.parametrize("spoil", [lambda data: data[:-9], lambda data: data[:200] + b"x" + data[201:], lambda _: b""])
def test_a_torn_file_is_nothing_learnt(tmp_path: Path, spoil) -> None:  # type: ignore[no-untyped-def]
    learner = Learner()
    for tick in range(300):
        learner.learn(tick * TICK_S, 5.0, 60.0)
    path = tmp_path / "forecast"
    learner.keep(path)
    path.write_bytes(spoil(path.read_bytes()))
    assert not recall(path).learn(0, 5.0, 60.0).is_learnt


def test_a_gap_is_bridged_and_a_jump_of_the_clock_begins_anew() -> None:
    learner = Learner()
    for tick in range(300):
        learner.learn(tick * TICK_S, 5.0, 60.0)
    assert learner.learn(301 * TICK_S, None, 60.0).is_learnt
    assert learner.learn(500 * TICK_S, 5.0, 60.0).is_learnt
    # A clock that is a little back says nothing new.
    assert learner.learn(490 * TICK_S, 50.0, 60.0).expected == learner.learn(500 * TICK_S, None, 60.0).expected
    assert not learner.learn((500 + 3 * DAY) * TICK_S, 5.0, 60.0).is_learnt


def test_cold_starts_are_measured(tmp_path: Path) -> None:
    starts = ColdStarts()
    assert starts.p95(120.0) == 120.0
    for seconds in (40.0, 41.0, 90.0, 0.0, 1e9):
        starts.add(seconds)
    assert (starts.p95(120.0), starts.count) == (90.0, 3)
    starts.keep(tmp_path / "starts.json")
    assert recall_starts(tmp_path / "starts.json").p95(120.0) == 90.0
    (tmp_path / "starts.json").write_text("{")
    assert recall_starts(tmp_path / "starts.json").p95(120.0) == 120.0


def test_a_status_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(HostError) as refused:
        read_status(tmp_path)
    assert str(refused.value) == f"{tmp_path}/status.json: expected the status of a running autoscaler, there is none"
    (tmp_path / "status.json").write_text(json.dumps({}))
    with pytest.raises(HostError) as refused:
        read_status(tmp_path)
    assert refused.value.message == "expected a list of pools, got something else"


def test_haproxy_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(HostError) as refused:
        Haproxy(tmp_path / "admin.sock", "chat").servers()
    assert str(refused.value) == f"{tmp_path}/admin.sock: haproxy does not answer: No such file or directory"


@pytest.mark.parametrize("name", ["a b", "a/b", "a;disable server b/c", ""])
def test_names_that_would_be_other_commands(tmp_path: Path, name: str) -> None:
    with pytest.raises(HostError, match="expected the name of"):
        Haproxy(tmp_path / "admin.sock", name)
    with pytest.raises(HostError, match="expected the name of"):
        Haproxy(tmp_path / "admin.sock", "chat").drain(name)
