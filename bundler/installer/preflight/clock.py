"""The clock: signatures, certificates, leases and audit logs hang on it."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from bundler.installer.preflight.check import Verdict, View, failed, passed, should, skipped, unknown

_GROUP = "clock"
_FIRST_YEAR, _LAST_YEAR = 2025, 2050
_MOST_DRIFT = timedelta(minutes=5)
_SET = (
    'set it: date -u -s "YYYY-MM-DD HH:MM:SS" && hwclock -w --utc',
    '请校时：date -u -s "YYYY-MM-DD HH:MM:SS" && hwclock -w --utc',
)


def _year(view: View) -> Verdict:
    if not _FIRST_YEAR <= view.now.year <= _LAST_YEAR:
        return failed(
            f"expected a clock between {_FIRST_YEAR} and {_LAST_YEAR}, it says {view.now:%Y-%m-%d}",
            f"时钟应在 {_FIRST_YEAR} 至 {_LAST_YEAR} 年间，实为 {view.now:%Y-%m-%d}",
            do=_SET,
        )
    return passed(f"{view.now:%Y-%m-%d %H:%M} UTC")


def _not_before_bundle(view: View) -> Verdict:
    if view.plan is None:
        return skipped("no bundle is named", "未指定数据包")
    created = view.plan.wanted.manifest.created
    if view.now < datetime.fromisoformat(created):
        return failed(
            f"expected a clock later than the bundle, locked at {created}, it says {view.now:%Y-%m-%dT%H:%M:%SZ}",
            f"时钟应晚于数据包锁定时间 {created}，实为 {view.now:%Y-%m-%dT%H:%M:%SZ}",
            do=_SET,
        )
    return passed(f"> {created}")


def _hardware_clock(view: View) -> Verdict:
    seconds = view.readings.number("/sys/class/rtc/rtc0/since_epoch")
    if seconds is None:
        return skipped("no hardware clock is to be seen", "无可读的硬件时钟")
    drift = abs(datetime.fromtimestamp(seconds, UTC) - view.now)
    if drift > _MOST_DRIFT:
        return failed(
            f"expected system and hardware clock to agree within 300 s, they differ by {drift.total_seconds():.0f} s",
            f"系统时钟与硬件时钟之差应在 300 秒内，实为 {drift.total_seconds():.0f} 秒",
            do=(
                "write the right one into the other: hwclock -w --utc; a changed battery is a usual reason",
                "请同步二者：hwclock -w --utc；常见原因是更换电池",
            ),
        )
    return passed(f"{drift.total_seconds():.0f} s")


def _synchronised(view: View) -> Verdict:
    if not view.readings.units:
        return unknown("systemd")
    if view.readings.is_active("chrony.service", "chronyd.service", "ntpd.service"):
        return passed("chrony / ntpd")
    if "/run/systemd/timesync/synchronized" in view.readings.there:
        return passed("systemd-timesyncd")
    return failed(
        "expected a time service, none runs or none is in step",
        "应运行时间同步服务，但未运行或未同步",
        do=(
            "point chrony at the site's time server; without one compare the clock once a month",
            "请将 chrony 指向站内时间源；没有时间源则每月人工核对",
        ),
    )


def _zone(view: View) -> Verdict:
    if "/etc/localtime" not in view.readings.there:
        return failed(
            "expected a time zone, /etc/localtime is not there: logs are in UTC",
            "未设置时区（缺少 /etc/localtime）：日志为 UTC",
            do=("timedatectl set-timezone Asia/Shanghai", "timedatectl set-timezone Asia/Shanghai"),
        )
    return passed("/etc/localtime")


CHECKS = (
    should("clock", _GROUP, ("date", "日期"), _year),
    should("clock-bundle", _GROUP, ("date and bundle", "日期与数据包"), _not_before_bundle),
    should("clock-hardware", _GROUP, ("hardware clock", "硬件时钟"), _hardware_clock),
    should("clock-service", _GROUP, ("time service", "时间同步"), _synchronised),
    should("time-zone", _GROUP, ("time zone", "时区"), _zone),
)
