"""A report as a document for programs."""

from __future__ import annotations

from typing import Any

from bundler.installer.journal import Run
from bundler.installer.preflight.check import Finding
from bundler.installer.report.gather import Report

FORMAT = "ferry/report/v1"


def report_document(report: Report) -> dict[str, Any]:
    """Return all of a report."""
    release = report.status.release
    return {
        "format": FORMAT,
        "made": f"{report.made:%Y-%m-%dT%H:%M:%SZ}",
        "ferry_version": report.ferry_version,
        "host": {
            "name": report.hostname,
            "system": report.system,
            "kernel": report.kernel,
            "machine": report.machine,
        },
        "release": {
            "number": release.number,
            "name": release.name,
            "version": release.version,
            "sequence": release.sequence,
            "installed": release.installed,
            "manifest_sha256": release.manifest_sha256,
            "signed_by": release.keyid,
            "algorithm": release.algorithm,
            "lock_sha256": report.manifest.lock_sha256,
            "created": report.manifest.created,
            "expires": report.manifest.expires or None,
        },
        "health": "healthy" if report.status.is_healthy else "degraded",
        "services": [
            {"name": one.name, "unit": one.unit, "active": one.active, "port": one.port, "ready": one.not_ready is None}
            for one in report.status.services
        ],
        "items": [
            {
                "kind": item.kind,
                "name": item.name,
                "version": item.version,
                "purl": item.purl,
                "size": item.descriptor.size,
                "sha256": item.descriptor.sha256,
                "sm3": item.descriptor.sm3,
            }
            for item in report.manifest.items
        ],
        "runs": [_run(run) for run in report.runs],
        "checks": [check_document(finding) for finding in report.findings],
    }


def _run(run: Run) -> dict[str, Any]:
    return {
        "number": run.number,
        "at": run.at,
        "product": run.product,
        "release": run.release,
        "manifest_sha256": run.manifest_sha256,
        "outcome": run.outcome or "cut off",
        "steps": [{"step": one.step, "reason": one.reason, "seconds": one.seconds} for one in run.steps],
    }


def check_document(finding: Finding) -> dict[str, Any]:
    """Return one check of a host."""
    remedy = finding.verdict.remedy
    return {
        "name": finding.check.name,
        "group": finding.check.group,
        "level": finding.check.level.value,
        "state": finding.verdict.state.value,
        "told": finding.verdict.told.english,
        "remedy": remedy.english if remedy else None,
    }
