"""The report of an installation: it tells what the host says, escapes what came from outside, and stands alone."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from html.parser import HTMLParser

import pytest
from hosts import Host

from bundler.errors import HostError
from bundler.installer.report.document import report_document
from bundler.installer.report.gather import Report, make_report
from bundler.installer.report.page import Page

NOW = datetime(2026, 11, 23, 13, tzinfo=UTC)
_VOID = {"meta", "br"}


class Outline(HTMLParser):
    """The texts of a page, and whether every element is closed in order."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.texts: list[str] = []
        self.targets: list[str] = []
        self.feed(page)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.targets += [str(value) for name, value in attrs if name in ("href", "src")]
        if tag not in _VOID and tag not in ("rect",):
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        if tag not in ("rect",):
            assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.texts.append(data)


def reported(host: Host) -> Report:
    return make_report(host.layout, host.systemd, now=NOW, ferry_version="0.1.0")


def test_an_installed_host(host: Host, bundle: bytes) -> None:
    host.install(bundle)
    report = reported(host)
    document = json.loads(json.dumps(report_document(report)))
    release = report.status.release
    assert document["release"]["manifest_sha256"] == release.manifest_sha256
    assert document["release"]["signed_by"] == release.keyid
    assert document["health"] == "healthy"
    assert [one["name"] for one in document["services"]] == ["agent", "model"]
    assert {one["kind"] for one in document["items"]} == {"python", "wheel", "file"}
    (run,) = document["runs"]
    assert (run["outcome"], run["at"]) == ("done", "2026-11-23T12:00:00Z")
    assert [one["step"] for one in run["steps"]][-2:] == ["services", "health"]
    assert all(one["seconds"] >= 0 for one in run["steps"])
    assert len(document["checks"]) == len(report.findings)


@pytest.mark.parametrize(
    ("chinese", "words"),
    [
        (False, ("Installation report: sample 1.0", "What is installed", "Checks", "Acceptance", "healthy")),
        (True, ("安装报告: sample 1.0", "安装内容", "验收", "正常")),
    ],
)
def test_a_page_in_either_language(host: Host, bundle: bytes, chinese: bool, words: tuple[str, ...]) -> None:
    host.install(bundle)
    report = reported(host)
    outline = Outline(Page(report, chinese=chinese).render())
    text = "\n".join(outline.texts)
    assert outline.open == []
    assert outline.targets == [], "a page for a host without network names no other file"
    for word in (*words, report.status.release.manifest_sha256, report.status.release.keyid, "ferry-agent.service"):
        assert word in text
    for finding in report.findings:
        assert finding.check.name in text


def test_what_came_from_outside_is_only_text(host: Host, bundle: bytes) -> None:
    host.install(bundle)
    script = "<script>alert(1)</script>"
    (host.layout.journal / "000002.jsonl").write_text(json.dumps({"event": "plan", "product": script}) + "\n")
    page = Page(reported(host), chinese=False).render()
    assert script not in page
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in page


def test_a_run_that_failed_and_one_that_was_cut_off_are_told(host: Host, bundle: bytes) -> None:
    host.install(bundle)
    host.systemd.stop(["ferry-agent.service"])
    host.systemd.broken = {"ferry-agent.service"}
    with pytest.raises(HostError):
        host.install(bundle)
    (host.layout.journal / "000003.jsonl").write_text(
        '{"event": "plan", "at": "2026-11-23T12:30:00Z", "release": 1}\n'
        '{"event": "begin", "step": "store", "reason": "r"}\n{"event": "do'
    )
    (host.layout.journal / "000004.jsonl").write_text("")
    document = report_document(reported(host))
    assert [(run["number"], run["outcome"]) for run in document["runs"]] == [(1, "done"), (2, "undone"), (3, "cut off")]
    assert document["runs"][2]["steps"] == [{"step": "store", "reason": "r", "seconds": None}]
    assert document["health"] == "degraded"
    page = Page(reported(host), chinese=False).render()
    assert "degraded" in page


def test_a_host_without_a_release(host: Host) -> None:
    with pytest.raises(HostError, match="expected an installed release"):
        reported(host)
