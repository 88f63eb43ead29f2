"""Whether the real programs take their configuration, asked before it takes the place of the one that runs."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Mapping
from datetime import datetime
from pathlib import Path

from bundler.errors import HostError, StepError
from bundler.installer.escort import haproxy, nftables, prometheus
from bundler.installer.escort.certificate import make_certificate
from bundler.model.escort import FIREWALL, GATEWAY, MONITORING
from bundler.run import run

_TIMEOUT_S = 60
_NOBODY = f"{'0' * 64} nobody\n"


def prove(service: str, texts: Mapping[str, str], now: datetime) -> None:
    """Let the program of a service check the texts of its files.

    Raises:
        HostError: it does not take them; its own words are in the message.
    """
    with tempfile.TemporaryDirectory() as name:
        directory = Path(name)
        for file, text in texts.items():
            (directory / file).write_text(text)
        try:
            _PROOFS[service](directory, now)
        except StepError as error:
            raise HostError(f"the configuration is not taken: {error.message}", place=service) from error


def _haproxy(directory: Path, now: datetime) -> None:
    """Check it with a certificate and a token that nobody has."""
    (directory / haproxy.CERTIFICATE).touch(0o600)
    (directory / haproxy.CERTIFICATE).write_text(make_certificate(["localhost"], now))
    (directory / haproxy.TOKENS).write_text(_NOBODY)
    environment = {"CREDENTIALS_DIRECTORY": str(directory)}
    run([haproxy.PROGRAM, "-c", "-f", directory / haproxy.FILE], timeout_s=_TIMEOUT_S, environment=environment)


def _nft(directory: Path, now: datetime) -> None:
    run([nftables.PROGRAM, "--check", "--file", directory / nftables.FILE], timeout_s=_TIMEOUT_S)


def _promtool(directory: Path, now: datetime) -> None:
    run([prometheus.CHECKER, "check", "config", directory / prometheus.FILE], timeout_s=_TIMEOUT_S)


_PROOFS: Mapping[str, Callable[[Path, datetime], None]] = {
    FIREWALL: _nft,
    GATEWAY: _haproxy,
    MONITORING: _promtool,
}
