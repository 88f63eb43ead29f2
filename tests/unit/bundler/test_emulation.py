"""Which processors' programs the kernel hands to an emulator, from what it tells about its formats."""

from __future__ import annotations

from pathlib import Path

import pytest

from bundler.model.platform import PLATFORMS
from bundler.sandbox.emulation import emulates

AMD64, ARM64 = PLATFORMS
AARCH64 = """\
enabled
interpreter /usr/libexec/qemu-binfmt/aarch64-binfmt-P
flags: PF
offset 0
magic 7f454c460201010000000000000000000200b700
mask ffffffffffffff00fffffffffffffffffeffffff
"""


def registered(directory: Path, *texts: str) -> Path:
    for number, text in enumerate(texts):
        (directory / f"format{number}").write_text(text)
    return directory


def test_an_emulator_of_one_processor_is_none_of_another(tmp_path: Path) -> None:
    where = registered(tmp_path, "enabled\n", AARCH64)
    assert (emulates(ARM64, where), emulates(AMD64, where)) == (True, False)


@pytest.mark.parametrize(
    "text",
    [
        pytest.param(AARCH64.replace("enabled", "disabled"), id="switched off"),
        pytest.param(AARCH64.replace("flags: PF", "flags: P"), id="not seen behind another root"),
        pytest.param(AARCH64.replace("flags: PF\n", ""), id="no flags"),
        pytest.param(AARCH64.replace("offset 0", "offset 4"), id="not at the start"),
        pytest.param(AARCH64.replace("7f454c46", "cafebabe"), id="no ELF"),
        pytest.param(AARCH64.replace("0200b700", ""), id="says no processor"),
        pytest.param("enabled\nflags: F\nextension .jar\n", id="by extension"),
    ],
)
def test_what_is_no_usable_emulator(tmp_path: Path, text: str) -> None:
    assert not emulates(ARM64, registered(tmp_path, text))


def test_a_kernel_without_such_formats(tmp_path: Path) -> None:
    assert not emulates(ARM64, tmp_path / "missing")


def test_a_format_that_cannot_be_read(tmp_path: Path) -> None:
    (tmp_path / "register").mkdir()
    assert emulates(ARM64, registered(tmp_path, AARCH64))
