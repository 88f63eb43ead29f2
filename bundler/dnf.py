"""RPM repositories, read through dnf with directories of its own."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterable, Mapping, Sequence
from importlib.resources import files
from pathlib import Path
from typing import Any

from bundler.errors import ResolveError
from bundler.model.target import Package
from bundler.repositories import Repository
from bundler.run import run

_CONFIGURATION = """\
[main]
gpgcheck=1
best=1
install_weak_deps=0
plugins=0
reposdir={repos}
cachedir=/cache
persistdir=/cache
logdir=/cache
varsdir=/nonexistent
"""
# On Debian the database would stand below the user's home.
_DATABASE = "/var/lib/rpm"
_TIMEOUT_S = 600
_NO_DNF = "install dnf, rpm and createrepo_c (on Debian: dnf, rpm, createrepo-c)"


class Dnf:
    """dnf for one machine, with its own root below `directory`; the lists of `signed` repositories are signed."""

    def __init__(
        self, directory: Path, machine: str, repositories: Sequence[Repository], signed: Sequence[str]
    ) -> None:
        self._directory = directory
        self._machine = machine
        self._python = _python_of_dnf()
        for name in ("root/cache", "repos"):
            (directory / name).mkdir(parents=True)
        (directory / ".rpmmacros").write_text(f"%_dbpath {_DATABASE}\n")
        (directory / "dnf.conf").write_text(_CONFIGURATION.format(repos=directory / "repos"))
        text = "\n".join(_section(repository, repository.name in signed) for repository in repositories)
        (directory / "repos/ferry.repo").write_text(text)

    def update(self) -> None:
        """Fetch the lists of the repositories; dnf checks the signatures of those that are signed."""
        options = ["--config", str(self._directory / "dnf.conf"), "--installroot", str(self._directory / "root")]
        # The keys that it is to take are those that the user configured.
        words = ["--forcearch", self._machine, "--releasever", "none", "--quiet", "--assumeyes", "makecache"]
        self._run(["dnf", *options, *words])

    def assume(self, installed: Iterable[Package]) -> None:
        """Let the host have these packages, with the relations that the repositories know of them."""
        rows = [(one.name, one.version, one.architecture) for one in installed]
        headers = self._directory / "headers"
        self._ask("assume", packages=sorted(rows), out=str(headers))
        root = self._directory / "root"
        shutil.rmtree(root / _DATABASE.lstrip("/"), ignore_errors=True)
        argv = ["rpmdb", "--root", str(root), "--dbpath", _DATABASE, "--importdb"]
        run(argv, timeout_s=_TIMEOUT_S, environment=self._environment, source=headers)

    def closure(self, names: Sequence[str], *, strict: bool = True) -> dict[str, Any]:
        """Return what the host lacks for the packages (`install`), and the names that would have to go (`remove`).

        Without `strict`, names that no repository has are left out.
        """
        return self._ask("install", names=list(names), strict=strict)

    @property
    def _environment(self) -> Mapping[str, str]:
        return {"HOME": str(self._directory)}

    def _ask(self, do: str, **more: object) -> dict[str, Any]:
        question = {
            "do": do,
            "config": str(self._directory / "dnf.conf"),
            "root": str(self._directory / "root"),
            "repos": str(self._directory / "repos"),
            "cache": str(self._directory / "root/cache"),
            "arch": self._machine,
            **more,
        }
        script = files("bundler") / "inside_dnf.py"
        answer: dict[str, Any] = json.loads(self._run([self._python, "-I", str(script)], json.dumps(question)))
        return answer

    def _run(self, argv: Sequence[str | Path], stdin: str = "") -> str:
        return run(argv, timeout_s=_TIMEOUT_S, environment=self._environment, stdin=stdin).stdout


def _section(repository: Repository, is_signed: bool) -> str:
    """Return a repository as dnf has it in its configuration."""
    options = {
        **dict(repository.options),
        "baseurl": " ".join(repository.bases),
        "gpgkey": " ".join(repository.keys),
        "gpgcheck": str(int(repository.are_packages_signed)),
        "repo_gpgcheck": str(int(is_signed)),
        "skip_if_unavailable": "0",
    }
    if authorities := os.environ.get("SSL_CERT_FILE"):
        options["sslcacert"] = authorities
    return f"[{repository.name}]\n" + "".join(f"{key}={value}\n" for key, value in options.items())


def _python_of_dnf() -> str:
    """Return the Python that dnf runs on: its libraries are there and nowhere else."""
    program = shutil.which("dnf")
    if program is None or shutil.which("rpmdb") is None:
        raise ResolveError("expected dnf and rpm, this host lacks them", place="rpms", hint=_NO_DNF)
    with Path(program).open("rb") as stream:
        first = stream.readline(200).decode("ascii", "replace").strip()
    if not first.startswith("#!/") or "python" not in first:
        raise ResolveError(
            f'expected dnf 4, which is a program of Python, "{program}" is none', place="rpms", hint=_NO_DNF
        )
    return first.removeprefix("#!").split()[0]
