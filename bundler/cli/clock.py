"""The time at which this host judges the end of a bundle."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import click

from bundler.cli.messages import tr
from bundler.errors import HostError
from bundler.installer.layout import Layout
from bundler.installer.marks import Marks, judge_at, read_marks
from keystore import moment

# Less than that is a time zone, or two clocks that differ.
_NOTED = timedelta(days=1)


def judged_now(layout: Layout | None = None) -> datetime:
    """Return the later of the clock and the latest time that this host has seen; warn when the clock was set back.

    Where there are no marks, or none that this user may read, it is the clock.

    Raises:
        TrustError: the marks were altered.
    """
    now = datetime.now(UTC)
    try:
        marks = read_marks(layout or Layout())
    except HostError:
        return now
    warn_of_clock(marks, now)
    return judge_at(marks, now)


def warn_of_clock(marks: Marks, now: datetime) -> None:
    """Say on standard error that the clock is far behind the latest time seen."""
    judged = judge_at(marks, now)
    if judged - now < _NOTED:
        return
    clock, seen, days = moment.stamp(now), moment.stamp(judged), (judged - now).days
    click.echo(
        tr(
            f"warning: this host's clock says {clock}, {days} {'day' if days == 1 else 'days'} before {seen}, "
            "the latest time it has seen: ends are judged by that",
            f"警告：本机时钟为 {clock}，比本机见过的最晚时间 {seen} 早 {days} 天：有效期按后者判断",
        ),
        err=True,
    )
