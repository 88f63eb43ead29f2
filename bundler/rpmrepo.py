"""A small RPM repository: packages that their distribution's keys signed, and the lists by which dnf finds them."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Collection, Sequence
from datetime import datetime
from itertools import zip_longest
from pathlib import Path

from bundler.errors import IntegrityError
from bundler.model.descriptor import MTIME
from bundler.model.rpm import LockedRpm, LockedRpmKey
from bundler.run import run
from bundler.store import Store

_TIMEOUT_S = 1800
_LISTS = ("repomd.xml", "primary.xml.gz", "filelists.xml.gz", "other.xml.gz")
_QUERY = "%{NAME} %|EPOCH?{%{EPOCH}:}|%{VERSION}-%{RELEASE} %{ARCH}\\n"
_RESIGN = "lock the recipe again if the distribution changed its key; else the mirror serves what nobody signed"


def list_rpms(
    rpms: Sequence[LockedRpm],
    keys: Sequence[LockedRpmKey],
    store: Store,
    *,
    created: str,
    unsigned: Collection[str] = (),
) -> dict[str, bytes]:
    """Check the signatures of packages, and return the lists for them by their name below the repository.

    Packages of `unsigned` repositories have none.

    The lists carry no signature of their own: their digests stand in the signed manifest, as those of the rpms do.

    Raises:
        IntegrityError: a package is not the one that the lock names, or no key of its repository signed it.
        StepError: this host has no rpm or createrepo_c, or a package cannot be read.
    """
    if not rpms:
        return {}
    with tempfile.TemporaryDirectory(prefix="rpms-", dir=store.root) as work:
        directory = Path(work)
        _link(rpms, store, directory)
        for repository in sorted({rpm.repository for rpm in rpms} - set(unsigned)):
            texts = [key.text for key in keys if key.repository == repository]
            _check_signatures([rpm for rpm in rpms if rpm.repository == repository], texts, directory)
        _check_names(rpms, directory)
        return _make_lists(directory, int(datetime.fromisoformat(created).timestamp()))


def _link(rpms: Sequence[LockedRpm], store: Store, directory: Path) -> None:
    """Give packages their names; createrepo_c writes down when a file was changed, so all have one time."""
    for rpm in rpms:
        path = directory / rpm.file_name
        try:
            os.link(store.path(rpm.sha256), path)
        except FileExistsError as error:
            raise IntegrityError(f'two packages would have the name "{rpm.file_name}"', place="rpms") from error
        except OSError:
            # Not every file system has hard links.
            shutil.copyfile(store.path(rpm.sha256), path)
        os.utime(path, (MTIME, MTIME))


def _check_signatures(rpms: Sequence[LockedRpm], keys: Sequence[str], directory: Path) -> None:
    """Let rpmkeys check packages against these keys and no others."""
    with tempfile.TemporaryDirectory(prefix="keys-", dir=directory) as database:
        # Directories of their own: neither keys nor settings of this host's user count.
        words = ["--dbpath", database, "--define", "_keyring rpmdb", "--define", "_pkgverify_level all"]
        for index, text in enumerate(keys):
            path = Path(database, f"{index}.asc")
            path.write_text(text)
            run(["rpmkeys", *words, "--import", path], timeout_s=_TIMEOUT_S)
        names = [rpm.file_name for rpm in rpms]
        argv = ["rpmkeys", *words, "--checksig", "--verbose", *names]
        done = run(argv, timeout_s=_TIMEOUT_S, cwd=directory, accept=(*range(256),))
        if done.returncode == 0:
            return
    said = [line.strip() for line in done.stdout.splitlines()]
    raise IntegrityError(
        f"expected packages that a key of the repository signed, rpmkeys says: {_failures(said)}",
        place=f"rpms: {rpms[0].repository}",
        hint=_RESIGN,
    )


def _failures(said: Sequence[str]) -> str:
    """Return what rpmkeys complains of, package by package; of an unsigned one it finds nothing."""
    found: dict[str, list[str]] = {}
    name = ""
    for line in said:
        if line.endswith(".rpm:"):
            name = line.removesuffix(":")
            found[name] = []
        elif not line.endswith((": OK", ": NOTFOUND")):
            found.setdefault(name, []).append(line)
        elif "Signature" in line and line.endswith(": OK"):
            found.pop(name, None)
    return "; ".join(f"{name}: {', '.join(lines) or 'no signature'}" for name, lines in found.items())


def _check_names(rpms: Sequence[LockedRpm], directory: Path) -> None:
    argv = ["rpm", "--query", "--nosignature", "--queryformat", _QUERY, "--package", *(rpm.file_name for rpm in rpms)]
    said = run(argv, timeout_s=_TIMEOUT_S, cwd=directory).stdout.splitlines()
    names = [f"{rpm.name} {rpm.version} {rpm.architecture}" for rpm in rpms]
    for expected, got in zip_longest(names, said, fillvalue="nothing"):
        if got != expected:
            raise IntegrityError(f"expected {expected}, got {got}", place="rpms")


def _make_lists(directory: Path, created: int) -> dict[str, bytes]:
    argv = ["createrepo_c", "--quiet", "--no-database", "--simple-md-filenames", "--compress-type", "gz"]
    argv += ["--revision", str(created), "--set-timestamp-to-revision", "--changelog-limit", "0", str(directory)]
    run(argv, timeout_s=_TIMEOUT_S)
    return {f"repodata/{name}": (directory / "repodata" / name).read_bytes() for name in _LISTS}
