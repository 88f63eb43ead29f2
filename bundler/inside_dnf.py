"""Say what a host lacks for packages of its repositories, by dnf's own libraries. Runs on its own, in dnf's Python.

Reads a question in JSON: `config` (a dnf.conf), `repos` (a directory of .repo files), `root` (with the rpm database of
the host), `cache` (that `dnf makecache` filled), `arch`, and what to do:
- {"do": "install", "names": [...], "strict": bool} answers {"install": [package ...], "remove": [name ...]};
- {"do": "assume", "packages": [[name, version, architecture] ...], "out": path} writes headers for `rpmdb --importdb`.
"""

from __future__ import annotations

import json
import sys

import dnf
import dnf.rpm
import hawkey
import rpm

_FLAGS = {"<": 2, ">": 4, "=": 8}
# Tags of a header and attributes of a package that hold such relations.
_RELATIONS = (("provide", "provides"), ("require", "requires"), ("conflict", "conflicts"), ("obsolete", "obsoletes"))


def main() -> int:
    """Answer the question."""
    question = json.load(sys.stdin)
    try:
        answer = _DO[question["do"]](question)
    except dnf.exceptions.Error as error:
        sys.stderr.write(f"{error}\n")
        return 1
    json.dump(answer, sys.stdout)
    return 0


def _base(question):
    conf = dnf.conf.Conf()
    conf.read(question["config"])
    conf.installroot = question["root"]
    conf.reposdir = [question["repos"]]
    conf.cachedir = conf.persistdir = conf.logdir = question["cache"]
    conf.varsdir = []
    conf.substitutions["arch"] = question["arch"]
    conf.substitutions["basearch"] = dnf.rpm.basearch(question["arch"])
    conf.ignorearch = True
    conf.cacheonly = True
    base = dnf.Base(conf)
    base.read_all_repos()
    base.fill_sack()
    return base


def _install(question):
    base = _base(question)
    for name in question["names"]:
        if question["strict"] or base.sack.query().available().filter(name=name):
            base.install(name)
    base.resolve()
    install, remove = base.transaction.install_set, base.transaction.remove_set
    stays = {package.name for package in install}
    return {
        "install": [_package(package) for package in install],
        "remove": sorted({package.name for package in remove} - stays),
    }


def _package(package):
    kind, digest = package.chksum
    return {
        "name": package.name,
        "version": package.evr,
        "architecture": package.arch,
        "repository": package.reponame,
        "path": package.location,
        "elsewhere": package.baseurl or "",
        "size": package.downloadsize,
        "algorithm": hawkey.chksum_name(kind),
        "digest": digest.hex(),
    }


def _assume(question):
    available = _base(question).sack.query().available()
    asked = {str(relation) for package in available for relation in package.requires}
    paths = {text for text in asked if text.startswith("/")}
    with open(question["out"], "wb") as out:
        for name, version, architecture in question["packages"]:
            same = available.filter(name=name, arch=architecture)
            exact = same.filter(evr=version)
            like = (list(exact) or sorted(same))[-1:]
            _header(name, version, architecture, like, paths, is_exact=bool(exact)).write(out)
    return {}


def _header(name, version, architecture, like, paths, is_exact):
    """Make a header as an installed package has it; relations are those of a package of the repositories."""
    epoch, number, release = _split(version)
    header = rpm.hdr()
    values = {"name": name, "version": number, "release": release, "arch": architecture, "os": "linux"}
    values.update(sourcerpm=f"{name}.src.rpm", summary=name, installtime=1)
    if epoch:
        values["epoch"] = int(epoch)
    for tag, attribute in _RELATIONS:
        relations = _relations(attribute, like, version, is_exact)
        if tag == "provide":
            relations.add((name, 8, version))
            relations |= {(path, 0, "") for package in like for path in package.files if path in paths}
        if relations:
            rows = sorted(relations)
            values[f"{tag}name"] = [row[0] for row in rows]
            values[f"{tag}flags"] = [row[1] for row in rows]
            values[f"{tag}version"] = [row[2] for row in rows]
    for tag, value in values.items():
        header[tag] = value
    return header


def _relations(attribute, like, version, is_exact):
    """Return (name, flags, version) of a package like the installed one; of another version what it provides only."""
    found = set()
    for package in like if is_exact or attribute == "provides" else ():
        for relation in getattr(package, attribute):
            text = str(relation)
            if not text.startswith(("(", "rpmlib(")):
                of = version if relation.version == package.evr else relation.version
                found.add((relation.name, _flags(relation.relation), of or ""))
    return found


def _flags(relation):
    return sum(_FLAGS[one] for one in (relation or "").strip())


def _split(version):
    epoch, _, rest = version.rpartition(":")
    number, _, release = rest.rpartition("-")
    return epoch, number, release


_DO = {"install": _install, "assume": _assume}

if __name__ == "__main__":
    sys.exit(main())
