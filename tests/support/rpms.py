"""RPM packages made by rpmbuild, signed by throwaway keys, in repositories that loopback or a directory serves."""

from __future__ import annotations

import contextlib
import functools
import os
import shutil
import subprocess
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
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


BASH = Spec(name="bash", arch="x86_64", files=("/bin/sh",))
COREUTILS = Spec(name="coreutils", tags=("Requires: /bin/sh",))
MIDDLE = Spec(name="middle", version="2.1", arch="x86_64", tags=("Requires: /bin/sh",))
TOP = Spec(
    name="top",
    version="2.0",
    epoch=1,
    tags=("Requires: middle >= 2", "Requires: coreutils"),
    sections="%post\ntouch /var/lib/top-was-here\n%postun\nrm -f /var/lib/top-was-here\n",
    files=("/usr/bin/top-sample",),
)
RIVAL = Spec(name="rival", tags=("Conflicts: middle",))
LOST = Spec(name="lost", tags=("Requires: nowhere",))
HEIR = Spec(name="heir", tags=("Obsoletes: elder",))
SAMPLES = (BASH, COREUTILS, MIDDLE, TOP, RIVAL, LOST, HEIR)


class Distribution:
    """A small distribution in a directory: packages of a release, and the key that signed them."""

    def __init__(self, work: Path, specs: tuple[Spec, ...] = SAMPLES) -> None:
        self.signer = Signer(work / "gpg")
        self.key = work / "RPM-GPG-KEY-sample"
        self.key.write_text(self.signer.public)
        self.packages = [build_rpm(work / "build", spec) for spec in specs]
        self.signer.sign_rpm(*self.packages)
        self.repository = work / "repository"
        make_repository(self.repository, self.packages, self.signer)

    def path(self, name: str) -> Path:
        """Return the file of a package."""
        return next(path for path in (self.repository / "Packages").iterdir() if path.name.startswith(f"{name}-"))

    def configure(self, directory: Path, base: str, **options: str) -> dict[str, str]:
        """Write the .repo file; return the variable by which Ferry finds it."""
        given = {"name": "Sample", "baseurl": base, "gpgcheck": "1", "gpgkey": f"file://{self.key}"} | options
        (directory / RELEASE).mkdir(parents=True, exist_ok=True)
        lines = [f"{key}={value}" for key, value in given.items() if value]
        (directory / RELEASE / "sample.repo").write_text("\n".join(["[base]", *lines, ""]))
        return {"FERRY_RPM_REPOSITORIES": str(directory)}


@contextlib.contextmanager
def served(directory: Path) -> Iterator[str]:
    """Serve a directory on loopback; give its URL."""

    class Quiet(SimpleHTTPRequestHandler):
        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 (the library's name)
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Quiet, directory=str(directory)))
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
