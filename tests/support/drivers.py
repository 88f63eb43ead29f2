"""Drivers for tests: packages made by makeself that install tools which only tell a version, and hosts with cards."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

from bundler.model.driver import DriverPackage

KERNEL = os.uname().release
# What each vendor's tools are: a script that prints the version, or a file that holds it.
_INSTALL = {
    "nvidia": """\
install() {
  printf '#!/bin/sh\\necho {version}\\n' > "$root/usr/bin/nvidia-smi"
  printf '#!/bin/sh\\nrm "%s/usr/bin/nvidia-smi" "%s/usr/bin/nvidia-uninstall"\\n' "$root" "$root" \\
    > "$root/usr/bin/nvidia-uninstall"
  chmod 755 "$root/usr/bin/nvidia-smi" "$root/usr/bin/nvidia-uninstall"
}
""",
    "ascend": """\
install() {
  mkdir -p "$root/usr/local/Ascend/driver"
  printf 'Version={version}\\nascendhal_version=7.35.23\\n' > "$root/usr/local/Ascend/driver/version.info"
}
remove() { rm -r "$root/usr/local/Ascend"; }
""",
    "cambricon": """\
install() {
  printf '#!/bin/sh\\necho "| CNMON v{version}                                   Driver v{version} |"\\n' \\
    > "$root/usr/bin/cnmon"
  chmod 755 "$root/usr/bin/cnmon"
}
remove() { rm "$root/usr/bin/cnmon"; }
""",
}
_SCRIPT = """\
#!/bin/sh
set -eu
root='{root}'
echo "arguments: $*"
{install}
for word in "$@"; do
  case $word in
    --uninstall) remove; exit ;;
    --fail) echo 'no such card' >&2; exit 3 ;;
  esac
done
install
{after}
"""


def reason_unavailable() -> str | None:
    """Say why no packages can be made here."""
    return None if shutil.which("makeself") else "needs makeself"


def make_run(
    directory: Path, name: str, vendor: str, version: str, *, root: str = "", passes: bool = False, after: str = ""
) -> Path:
    """Make a package of makeself that installs a fake driver below `root` of the host.

    With `passes`, it hands on words that makeself does not know, as vendors' own variants of makeself do.
    """
    work = directory / f"{name}.d"
    work.mkdir(parents=True)
    script = _SCRIPT.format(root=root, install=_INSTALL[vendor].replace("{version}", version), after=after)
    (work / "install.sh").write_text(script)
    (work / "install.sh").chmod(0o755)
    path = directory / name
    argv = ["makeself", "--quiet", "--nomd5", "--nocrc", *(_header(directory) if passes else [])]
    environment = {**os.environ, "SOURCE_DATE_EPOCH": "1577836800"}
    argv += [str(work), str(path), f"driver {version}", "./install.sh"]
    subprocess.run(argv, check=True, capture_output=True, env=environment)
    return path


def _header(directory: Path) -> list[str]:
    """Return the option for a header that takes the first word it does not know as one for the script."""
    source = next(Path(place) for place in ("/usr/share/makeself/makeself-header.sh",) if Path(place).is_file())
    refuses = '    -*)\n\techo Unrecognized flag : "\\$1" >&2\n\tMS_Help\n\texit 1\n\t;;\n'
    text = source.read_text()
    assert refuses in text
    path = directory / "header.sh"
    path.write_text(text.replace(refuses, "    -*)\n\tbreak ;;\n"))
    return ["--header", str(path)]


def add_card(root: Path, slot: str, vendor: str, device: str, kind: str = "120000") -> None:
    """Put a card on a host's PCI."""
    place = root / "sys/bus/pci/devices" / f"0000:{slot}"
    place.mkdir(parents=True)
    for name, value in (("vendor", vendor), ("device", device), ("class", kind)):
        (place / name).write_text(f"0x{value}\n")


def add_program(root: Path, name: str, body: str = "") -> None:
    """Put a program on a host."""
    path = root / "usr/bin" / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"#!/bin/sh\n{body}\n")
    path.chmod(0o755)


def add_build(root: Path) -> None:
    """Put on a host what a build of modules needs."""
    (root / "lib/modules" / KERNEL / "build").mkdir(parents=True)
    for name in ("dkms", "gcc", "make"):
        add_program(root, name)


def package(vendor: str = "nvidia", version: str = "570.124.06", **changes: object) -> DriverPackage:
    """Return a package that needs nothing of the host."""
    given = {"install": ("sh", "{file}", "--silent"), "headers": False, **changes}
    return DriverPackage(vendor=vendor, version=version, **given)  # type: ignore[arg-type]
