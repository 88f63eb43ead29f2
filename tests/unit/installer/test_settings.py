"""The operator's settings: what is refused, what a file looks like, what systemd reads."""

from __future__ import annotations

import pytest
from hosts import service

from bundler.errors import HostError
from bundler.installer.settings import edit_settings, parse_changes, read_settings

AGENT = service("agent", 8090, settings=("MODEL_BASE_URL", "PROMPT"))
PLAIN = service("plain", 8091)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("agent.PROMPT", "--set agent.PROMPT: expected SERVICE.NAME=VALUE"),
        ("PROMPT=x", "--set PROMPT: expected SERVICE.NAME=VALUE"),
        ("other.PROMPT=x", '--set other.PROMPT: expected one of "agent", "plain", got "other"'),
        ("agent.KEY=x", '--set agent.KEY: expected one of "MODEL_BASE_URL", "PROMPT", got "KEY"'),
        ("plain.KEY=x", '--set plain.KEY: expected one of none: it has no settings, got "KEY"'),
        ("agent.PROMPT=a\nEVIL=b", "--set agent.PROMPT: expected one line of text, got a control character"),
    ],
)
def test_a_bad_change_is_refused(text: str, message: str) -> None:
    with pytest.raises(HostError) as caught:
        parse_changes([text], [AGENT, PLAIN])
    assert str(caught.value) == message


def test_changes_are_sorted_by_service() -> None:
    changes = parse_changes(["agent.PROMPT=a=b", "agent.MODEL_BASE_URL="], [AGENT])
    assert changes == {"agent": {"PROMPT": "a=b", "MODEL_BASE_URL": ""}}


def test_the_template_names_every_setting() -> None:
    assert edit_settings("", AGENT, {}) == (
        "# Settings of agent: The agent. They last through upgrades.\n"
        "# After a change by hand: systemctl restart ferry-agent. Keys and passwords do not belong here.\n"
        "#MODEL_BASE_URL=\n"
        "#PROMPT=\n"
    )
    assert edit_settings("", PLAIN, {}) == ""


def test_one_line_changes_and_the_others_stay() -> None:
    text = "# mine\nPROMPT=old\nEXTRA=1\n#MODEL_BASE_URL=\n"
    assert edit_settings(text, AGENT, {"PROMPT": 'say "hi"'}) == (
        '# mine\nPROMPT="say \\"hi\\""\nEXTRA=1\n#MODEL_BASE_URL=\n'
    )
    assert edit_settings(text, AGENT, {"PROMPT": ""}) == "# mine\n#PROMPT=\nEXTRA=1\n#MODEL_BASE_URL=\n"


def test_quotes_are_read_as_systemd_reads_them() -> None:
    text = "A=plain\nB=\"two words\"\nC='single'\n#D=no\nE=\n F=indented \n"
    assert read_settings(text) == {"A": "plain", "B": "two words", "C": "single", "F": "indented"}
