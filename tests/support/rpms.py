"""RPM packages made by rpmbuild, signed by throwaway keys, in repositories that loopback or a directory serves."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

PROGRAMS = ("dnf", "rpm", "rpmdb", "rpmkeys", "rpmbuild", "rpmsign", "createrepo_c", "gpg")
RELEASE = "sampleos-1"
_SPEC = """\
Name: {name}
Version: {version}
Release: {release}
{epoch}Summary: A sample
License: MIT
URL: https://sample.example
{tags}
%description
A sample.
{sections}
%install
mkdir -p %{{buildroot}}/usr/share/{name}
echo {name} {version} > %{{buildroot}}/usr/share/{name}/name
{install}
%files
/usr/share/{name}
{files}
"""


def reason_unavailable() -> str | None:
    """Say what these tests lack on this host, None when nothing."""
    missing = [name for name in PROGRAMS if shutil.which(name) is None]
    return f"needs {', '.join(missing)}" if missing else None


class Signer:
    """A GPG key in a home of its own, gone with the directory."""

    def __init__(self, home: Path, name: str = "Sample Builders") -> None:
        home.mkdir(mode=0o700)
        self._home = home
        self._name = name
        words = ["--batch", "--passphrase", "", "--quick-generate-key", f"{name} <rpm@sample.example>", "rsa2048"]
        self._gpg(*words, "sign", "never")

    def _gpg(self, *words: str | Path) -> str:
        argv = ["gpg", "--homedir", self._home, "--no-permission-warning", "--quiet", *words]
        return subprocess.run(argv, check=True, capture_output=True, text=True).stdout

    @property
    def public(self) -> str:
        return self._gpg("--armor", "--export")

    @property
    def fingerprint(self) -> str:
        listed = self._gpg("--with-colons", "--list-keys")
        return next(line.split(":")[9] for line in listed.splitlines() if line.startswith("fpr:"))

    def sign_rpm(self, *paths: Path) -> None:
        defines = {"_gpg_name": self._name, "_gpg_path": str(self._home), "__gpg": "/usr/bin/gpg"}
        words = [word for name, value in defines.items() for word in ("--define", f"{name} {value}")]
        subprocess.run(["rpmsign", "--addsign", *words, *paths], check=True, capture_output=True)

    def sign_detached(self, path: Path) -> None:
        self._gpg("--batch", "--yes", "--armor", "--detach-sign", path)


@dataclass(frozen=True, kw_only=True)
class Spec:
    """A package to build: `tags` are lines of its head (`Requires: other`), `sections` scriptlets."""

    name: str
    version: str = "1.0"
    release: str = "1"
    epoch: int | None = None
    arch: str = "noarch"
    tags: tuple[str, ...] = ()
    sections: str = ""
    files: tuple[str, ...] = ()

    @property
    def file_name(self) -> str:
        return f"{self.name}-{self.version}-{self.release}.{self.arch}.rpm"


def build_rpm(work: Path, spec: Spec) -> Path:
    """Build one package; `files` are programs that print the package's name."""
    work.mkdir(parents=True, exist_ok=True)
    install = "".join(
        f"mkdir -p %{{buildroot}}{Path(path).parent}\n"
        f"printf '#!/bin/sh\\necho {spec.name} {spec.version}\\n' > %{{buildroot}}{path}\n"
        f"chmod 755 %{{buildroot}}{path}\n"
        for path in spec.files
    )
    text = _SPEC.format(
        name=spec.name,
        version=spec.version,
        release=spec.release,
        epoch="" if spec.epoch is None else f"Epoch: {spec.epoch}\n",
        tags="".join(f"{line}\n" for line in ("AutoReqProv: no", *spec.tags)),
        sections=spec.sections,
        install=install,
        files="".join(f"{path}\n" for path in spec.files),
    )
    path = work / f"{spec.name}.spec"
    path.write_text(text)
    argv = ["rpmbuild", "-bb", "--target", spec.arch, "--define", f"_topdir {work}", "--define", f"_rpmdir {work}"]
    argv += ["--define", "_build_name_fmt %{NAME}-%{VERSION}-%{RELEASE}.%{ARCH}.rpm"]
    argv += ["--define", "debug_package %{nil}", "--define", "_dbpath " + str(work / "db")]
    subprocess.run([*argv, path], check=True, capture_output=True, env={**os.environ, "HOME": str(work)})
    return work / spec.file_name


def make_repository(directory: Path, packages: list[Path], signer: Signer | None) -> None:
    """Make a repository of packages; with a signer its repomd.xml is signed."""
    (directory / "Packages").mkdir(parents=True, exist_ok=True)
    for path in packages:
        shutil.copy2(path, directory / "Packages" / path.name)
    subprocess.run(["createrepo_c", "--quiet", directory], check=True, capture_output=True)
    if signer:
        signer.sign_detached(directory / "repodata/repomd.xml")


def sha256_of(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()
