"""A report as one HTML page, in either language, to read, to print and to sign."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from html import escape
from itertools import groupby

from bundler.installer.journal import Run
from bundler.installer.preflight.check import Finding, Level, State, Text
from bundler.installer.preflight.table import GROUPS
from bundler.installer.report.gather import Report

_STYLE = """\
body{font:14px/1.5 system-ui,"Noto Sans CJK SC","Microsoft YaHei",sans-serif;color:#222;
max-width:60em;margin:2em auto;padding:0 1em}
h1{font-size:1.6em;margin:0}
h2{font-size:1.15em;margin:1.8em 0 .4em;border-bottom:1px solid #bbb}
table{border-collapse:collapse;width:100%}
td,th{text-align:left;vertical-align:top;padding:.2em .8em .2em 0;border-bottom:1px solid #eee}
th{font-weight:600}
code{font:12px ui-monospace,monospace;word-break:break-all}
.good{color:#17692b}.bad{color:#b3261e}.warn{color:#8a5a00}.dim{color:#777}
.sign td{height:3em;border-bottom:1px solid #222}
svg{width:100%;height:auto}svg text{font:12px system-ui,sans-serif}
@media print{body{margin:0;max-width:none}h2{break-after:avoid}tr{break-inside:avoid}}"""
_BAR_HEIGHT, _WIDTH, _LEFT = 22, 800, 170
_COLOURS = ("#2f6f9f", "#4f9d69", "#c08a2d", "#8a5aa8", "#b3543f", "#5a7d8c")
_MARKS = {
    State.PASSED: ("good", Text(english="holds", chinese="通过")),
    State.UNKNOWN: ("dim", Text(english="cannot be told", chinese="无法判断")),
    State.SKIPPED: ("dim", Text(english="does not apply", chinese="不适用")),
}


class Page:
    """The page of a report in Chinese or English."""

    def __init__(self, report: Report, *, chinese: bool) -> None:
        self._report = report
        self._chinese = chinese

    def _tr(self, english: str, chinese: str) -> str:
        return chinese if self._chinese else english

    def _text(self, text: Text) -> str:
        return escape(self._tr(text.english, text.chinese))

    def render(self) -> str:
        """Return the whole page; it needs no other file."""
        manifest = self._report.manifest
        title = escape(self._tr("Installation report", "安装报告") + f": {manifest.name} {manifest.version}")
        parts = (
            f"<h1>{title}</h1>",
            self._verdict(),
            self._release(),
            self._services(),
            self._stages(),
            self._checks(),
            self._items(),
            self._runs(),
            self._signatures(),
        )
        language = "zh-CN" if self._chinese else "en"
        head = f"<meta charset=utf-8><title>{title}</title><style>{_STYLE}</style>"
        return (
            f'<!DOCTYPE html>\n<html lang="{language}"><head>{head}</head><body>\n'
            + "\n".join(parts)
            + "\n</body></html>\n"
        )

    def _verdict(self) -> str:
        report = self._report
        failed = [one for one in report.findings if one.verdict.state is State.FAILED]
        must = sum(one.refuses for one in failed)
        healthy = report.status.is_healthy
        word = self._tr("healthy", "正常") if healthy else self._tr("degraded", "异常")
        told = self._tr(
            f"{len(report.findings)} checks, {must} must and {len(failed) - must} should be mended",
            f"检查 {len(report.findings)} 项，必须处理 {must} 项，建议处理 {len(failed) - must} 项",
        )
        made = f"{report.made:%Y-%m-%d %H:%M} UTC"
        return f'<p><b class="{"good" if healthy else "bad"}">{word}</b> · {escape(told)} · {made}</p>'

    def _release(self) -> str:
        report, manifest = self._report, self._report.manifest
        release = report.status.release
        proved = {"sm3": "SM2 / SM3", "sha256": "SM2 / SHA-256"}.get(release.algorithm, release.algorithm)
        rows = (
            (self._tr("Host", "主机"), f"{report.hostname}, {report.system}, Linux {report.kernel}, {report.machine}"),
            (self._tr("Release", "版次"), f"{release.number} ({self._tr('sequence', '序号')} {release.sequence})"),
            (self._tr("Installed", "安装时间"), release.installed),
            (self._tr("Manifest, SHA-256", "清单 SHA-256"), release.manifest_sha256),
            (self._tr("Signed by", "签名密钥"), release.keyid),
            (self._tr("Proved by", "校验算法"), proved),
            (self._tr("Lock, SHA-256", "锁定文件 SHA-256"), manifest.lock_sha256),
            (self._tr("Locked", "锁定时间"), manifest.created),
            (self._tr("Expires", "有效期至"), manifest.expires or self._tr("no end", "无限期")),
            ("Ferry", report.ferry_version),
        )
        return self._section(self._tr("What is installed", "安装内容"), (), rows)

    def _services(self) -> str:
        rows = [
            (
                one.unit,
                one.active,
                str(one.port or "-"),
                self._tr("ready", "就绪") if one.not_ready is None else one.not_ready,
                one.since,
            )
            for one in self._report.status.services
        ]
        head = ("", self._tr("state", "状态"), self._tr("port", "端口"), "", self._tr("since", "自"))
        return self._section(self._tr("Services", "服务"), head, rows)

    def _stages(self) -> str:
        run = self._report.last_run
        if run is None:
            return ""
        total = sum(one.seconds or 0 for one in run.steps)
        title = self._tr(f"Stages of the last run: {total:.1f} s", f"最近一次安装各阶段：{total:.1f} 秒")
        return f"<h2>{escape(title)}</h2>\n{_bars(run)}"

    def _checks(self) -> str:
        rows = []
        for group, members in groupby(self._report.findings, key=lambda one: one.check.group):
            rows.append(f"<tr><th colspan=4>{self._text(GROUPS[group])}</th></tr>")
            rows += [self._check(finding) for finding in members]
        count = Counter(one.verdict.state for one in self._report.findings)
        title = self._tr(f"Checks ({count[State.PASSED]} hold)", f"检查项（通过 {count[State.PASSED]} 项）")
        return f"<h2>{escape(title)}</h2>\n<table>\n" + "\n".join(rows) + "\n</table>"

    def _check(self, finding: Finding) -> str:
        style, word = self._mark(finding)
        remedy = finding.verdict.remedy
        told = self._text(finding.verdict.told) + (f"<br>→ {self._text(remedy)}" if remedy else "")
        return (
            f"<tr><td><code>{escape(finding.check.name)}</code></td><td>{self._text(finding.check.title)}</td>"
            f'<td class="{style}">{word}</td><td>{told}</td></tr>'
        )

    def _mark(self, finding: Finding) -> tuple[str, str]:
        if finding.verdict.state is State.FAILED:
            is_must = finding.check.level is Level.MUST
            word = self._tr("must be mended", "必须处理") if is_must else self._tr("should be mended", "建议处理")
            return ("bad" if is_must else "warn"), word
        style, text = _MARKS[finding.verdict.state]
        return style, self._text(text)

    def _items(self) -> str:
        rows = [
            (item.kind, f"{item.name} {item.version}", f"{item.descriptor.size:,}", item.descriptor.sm3)
            for item in self._report.manifest.items
        ]
        head = (
            self._tr("kind", "类别"),
            self._tr("name", "名称"),
            self._tr("bytes", "字节"),
            "SM3",
        )
        title = self._tr(f"Items of the bundle ({len(rows)})", f"数据包内容（{len(rows)} 项）")
        return self._section(title, head, rows)

    def _runs(self) -> str:
        rows = [
            (
                str(run.number),
                run.at,
                run.product,
                str(run.release),
                run.outcome or self._tr("cut off", "中断"),
                ", ".join(one.step for one in run.steps),
            )
            for run in self._report.runs
        ]
        head = (
            "",
            self._tr("when", "时间"),
            self._tr("product", "产品"),
            self._tr("release", "版次"),
            self._tr("outcome", "结果"),
            self._tr("steps", "步骤"),
        )
        return self._section(self._tr("Runs", "历次运行"), head, rows)

    def _signatures(self) -> str:
        names = (
            self._tr("Installed by", "安装人"),
            self._tr("Checked by", "复核人"),
            self._tr("Accepted by", "验收人"),
        )
        head = "".join(f"<th>{escape(name)}</th>" for name in (*names, self._tr("Date", "日期")))
        title = escape(self._tr("Acceptance", "验收"))
        return f"<h2>{title}</h2>\n<table class=sign><tr>{head}</tr><tr>{'<td></td>' * 4}</tr></table>"

    def _section(self, title: str, head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
        lines = [f"<tr>{''.join(f'<th>{escape(one)}</th>' for one in head)}</tr>"] if head else []
        lines += [f"<tr>{''.join(_cell(one) for one in row)}</tr>" for row in rows]
        return f"<h2>{escape(title)}</h2>\n<table>\n" + "\n".join(lines) + "\n</table>"


def _cell(text: str) -> str:
    is_digest = len(text) == 64 and all(character in "0123456789abcdef" for character in text)
    return f"<td><code>{text}</code></td>" if is_digest else f"<td>{escape(text)}</td>"


def _bars(run: Run) -> str:
    """Return the steps of a run as bars along one axis of time."""
    total = sum(one.seconds or 0 for one in run.steps) or 1.0
    scale, at, lines = (_WIDTH - _LEFT - 70) / total, 0.0, []
    for index, one in enumerate(run.steps):
        seconds = one.seconds or 0.0
        x, y, width = _LEFT + at * scale, index * _BAR_HEIGHT, max(seconds * scale, 1)
        colour = _COLOURS[index % len(_COLOURS)]
        lines.append(
            f'<text x="0" y="{y + 15}">{escape(one.step)}</text>'
            f'<rect x="{x:.1f}" y="{y + 3}" width="{width:.1f}" height="{_BAR_HEIGHT - 6}" fill="{colour}"/>'
            f'<text x="{x + width + 4:.1f}" y="{y + 15}">{seconds:.2f} s</text>'
        )
        at += seconds
    height = _BAR_HEIGHT * len(run.steps)
    return f'<svg viewBox="0 0 {_WIDTH} {height}" role="img">{"".join(lines)}</svg>'
