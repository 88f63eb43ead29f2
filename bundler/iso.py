"""A volume as an ISO 9660 image, written by xorriso around a place that is filled afterwards: no copy on the disk.

xorriso is given a file of zeros that takes no space, with a mark at its start and at its end. What it writes is kept
with the zeros left out, and the bytes of the volume go between the marks.
"""

from __future__ import annotations

import os
import re
import secrets
import shutil
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from bundler.archive import Head
from bundler.cut import Cut
from bundler.errors import HostError, StepError
from bundler.model.manifest import HEAD_NAMES, Manifest
from bundler.run import drain

PROGRAM = "xorriso"
# The descriptors, tables and padding of an image of a few files.
_FRAME_BYTES = 1024 * 1024
_SECTOR = 2048
_BLOCK = 512
_PIECE_BYTES = 1024 * 1024
_ZEROS = bytes(_PIECE_BYTES)
_DATE = "2020010100000000"
_LONGEST_LABEL = 32
_README = """{name} {version} ({platform}), {which}
{line}

This disc holds one volume of a bundle of Ferry:  {volume}
Look at it before you run anything of it, with programs that the host has already. PUB.pem is the builder's public key;
it is not on this disc, it comes another way, and its fingerprint on paper.

  openssl dgst -sm3 -verify PUB.pem -sigopt distid:1234567812345678 -signature ferry.json.sig ferry.json
      must say "Verified OK": the key signed the manifest
  grep -c $(sha256sum install.sh | cut -c 1-64) ferry.json
      must say 1: install.sh is the one that the manifest names

Then, from the disc with volume 1; the others are asked for:

  sh install.sh {first} --trust PUB.pem

本光盘是 Ferry 数据包的一卷。运行任何内容之前，请先用主机已有的程序核对：
上面第一条命令须显示 “Verified OK”，第二条须显示 1。
PUB.pem 为构建方公钥，不在本光盘上，须另行取得，其指纹以纸质方式核对。然后运行 install.sh，其余各卷会逐一提示放入。
"""


@dataclass(frozen=True, kw_only=True, slots=True)
class Iso:
    """Volumes as images: each with the volume, `install.sh`, the signed manifest and a README in plain sight.

    Raises:
        HostError: this host has no xorriso.
    """

    def __post_init__(self) -> None:
        """Look for the program before anything is written."""
        if shutil.which(PROGRAM) is None:
            raise HostError(f'expected the program "{PROGRAM}", it is not installed', hint=f"apt-get install {PROGRAM}")

    def room(self, volume_bytes: int, head: Head, manifest: Manifest) -> int:
        """Return how large a volume may be whose image may have `volume_bytes`."""
        script = next(entry.size for entry in manifest.entries if entry.name == "install.sh")
        return volume_bytes - head.end - script - _FRAME_BYTES

    def file_name(self, name: str) -> str:
        """Return the name of the image of a volume."""
        return f"{name.removesuffix('.tar')}.iso"

    def wrap(self, part: Path, name: str, cut: Cut, number: int, install_script: bytes) -> int:
        """Write an image without the bytes of its volume, and return where they belong.

        Raises:
            StepError: xorriso failed.
            HostError: the disk refuses.
        """
        files = {
            "README.txt": _readme(name, cut, number).encode(),
            "install.sh": install_script,
            HEAD_NAMES[0]: cut.head.manifest,
            HEAD_NAMES[1]: cut.head.signature,
        }
        with tempfile.TemporaryDirectory(prefix="ferry-iso-") as work:
            marks = secrets.token_bytes(32), secrets.token_bytes(32)
            tree = Path(work)
            _lay_out(tree, files)
            _mark(tree / name, cut.size(number), marks)
            image = _Image(part, cut.size(number), marks)
            timeout_s = 600 + cut.size(number) / 5_000_000
            drain(_command(tree, (*files, name), _label(cut, number)), image.read, timeout_s=timeout_s)
            return image.place()


def _label(cut: Cut, number: int) -> str:
    """Return the label of a disc: `AGENTSCOPE_2`."""
    product = re.sub("[^A-Z0-9]", "_", cut.manifest.name.upper())
    return f"{product[: _LONGEST_LABEL - 1 - len(str(number))]}_{number}"


def _readme(name: str, cut: Cut, number: int) -> str:
    manifest, count = cut.manifest, len(cut.volumes)
    which = f"volume {number} of {count}"
    if number > count:
        which = f"parity volume {number - count} of {cut.shape.parity} for {count} volumes"
    title = f"{manifest.name} {manifest.version} ({manifest.platform}), {which}"
    return _README.format(
        name=manifest.name,
        version=manifest.version,
        platform=manifest.platform,
        which=which,
        line="=" * len(title),
        volume=name,
        first=name if number == 1 else "NAME.vol1ofN.tar",
    )


def _lay_out(tree: Path, files: Mapping[str, bytes]) -> None:
    for name, data in files.items():
        (tree / name).write_bytes(data)


def _mark(path: Path, size: int, marks: tuple[bytes, bytes]) -> None:
    """Make a file of zeros with a mark at its start and at the start of its last block."""
    with path.open("wb") as out:
        out.write(marks[0])
        out.seek(size - _BLOCK)
        out.write(marks[1])
        out.truncate(size)


def _command(tree: Path, names: tuple[str, ...], label: str) -> list[str | Path]:
    """Return the command whose output is the image; nothing in it follows from the clock or the file system."""
    order = [word for weight, name in enumerate(names, 1) for word in ("--sort-weight", f"{-weight}", f"/{name}")]
    dates = [f"--modification-date={_DATE}", "--set_all_file_dates", _DATE]
    form = ["-iso-level", "3", "-r", "-J", "-joliet-long", "-V", label, "-appid", "FERRY"]
    return [PROGRAM, "-as", "mkisofs", "-quiet", *form, *dates, *order, "-o", "-", tree]


class _Image:
    """Takes an image from a pipe, leaves holes for its zeros, and finds the marks."""

    def __init__(self, part: Path, size: int, marks: tuple[bytes, bytes]) -> None:
        self._part = part
        self._size = size
        self._marks = marks
        self._found: list[int | None] = [None, None]

    def read(self, pipe: IO[bytes]) -> None:
        """Write what comes; every piece but the last is of whole sectors, so no mark is cut."""
        try:
            with self._part.open("r+b", buffering=0) as out:
                at = 0
                while piece := pipe.read(_PIECE_BYTES):
                    self._look(piece, at)
                    if piece != _ZEROS[: len(piece)]:
                        os.pwrite(out.fileno(), piece, at)
                    at += len(piece)
                out.truncate(at)
        except OSError as error:
            raise HostError(f"a volume cannot be written: {error.strerror}", place=str(self._part)) from error

    def _look(self, piece: bytes, at: int) -> None:
        for index, mark in enumerate(self._marks):
            if self._found[index] is None and (inside := piece.find(mark)) >= 0:
                self._found[index] = at + inside

    def place(self) -> int:
        """Return where the volume belongs.

        Raises:
            StepError: the image has not room for it in one piece.
        """
        first, last = self._found
        if first is None or last is None or first % _SECTOR or last - first != self._size - _BLOCK:
            raise StepError(f"expected an image with {self._size} bytes in one piece, {PROGRAM} wrote another")
        return first
