"""Findings as a person reads them."""

from __future__ import annotations

from collections import Counter
from dataclasses import asdict

import click

from bundler.cli.messages import tr
from bundler.scan.finding import Finding, Report
from bundler.scan.rules import ERROR, INFO, WARNING, read_rules


def print_report(report: Report) -> None:
    """Print every finding below its rule and remedy, the gravest rules first, then the summary."""
    told = set()
    for finding in report.findings:
        if finding.rule not in told:
            told.add(finding.rule)
            what, remedy = (tr(text["en"], text["zh"]) for text in read_rules().texts[finding.rule])
            click.echo(f"{finding.rule}: {what}")
            click.echo(tr("  remedy: ", "  补救：") + remedy)
        times = f" (x{finding.count})" if finding.count > 1 else ""
        click.echo(f"  {_severity(finding, report)}  {finding.shown_place}{times}  {finding.found}")
    print_summary(report)


def _severity(finding: Finding, report: Report) -> str:
    if report.allows(finding):
        return tr("allowed", "已放行")
    return tr(*{ERROR: ("error  ", "错误"), WARNING: ("warning", "警告"), INFO: ("note   ", "提示")}[finding.severity])


def print_summary(report: Report) -> None:
    """Print how much was found, and one line for each thing that is allowed."""
    left = Counter(one.severity for one in report.findings if report.allows(one) is None)
    counts = [left[severity] for severity in (ERROR, WARNING, INFO)]
    english = ", ".join(f"{count} {word}" for count, word in zip(counts, ("errors", "warnings", "notes"), strict=True))
    chinese = "，".join(f"{count} 个{word}" for count, word in zip(counts, ("错误", "警告", "提示"), strict=True))
    click.echo(tr(f"  egress: {english}", f"  运行时外联：{chinese}"))
    for one in report.allowed:
        english = f"    allowed: {one.rule} at {one.where}: {one.reason}"
        click.echo(tr(english, f"    已放行：{one.rule}，{one.where}：{one.reason}"))


def egress_document(report: Report) -> dict[str, object]:
    """Return the report for a program, each finding with what allows it."""
    texts = read_rules().texts
    return {
        "findings": [
            {
                **asdict(one),
                "allowed": allowed.reason if (allowed := report.allows(one)) else None,
                "remedy": tr(texts[one.rule][1]["en"], texts[one.rule][1]["zh"]),
            }
            for one in report.findings
        ],
        "refused": len(report.refused),
    }
