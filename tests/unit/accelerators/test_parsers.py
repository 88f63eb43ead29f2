"""What vendors' tools print: samples of our own, and those of the shared folder."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from bundler.accelerators.parsers import PARSERS, Chip, Seen, parse

NVIDIA_SMI = """\
Mon Nov 23 12:00:00 2026
+-----------------------------------------------------------------------------------------+
| NVIDIA-SMI 570.124.06             Driver Version: 570.124.06     CUDA Version: 12.8     |
|-----------------------------------------+------------------------+----------------------+
"""
NPU_SMI = """\
+------------------------------------------------------------------------------------------------+
| npu-smi 25.2.0                   Version: 25.2.0                                               |
+---------------------------+---------------+----------------------------------------------------+
| NPU   Name                | Health        | Power(W)    Temp(C)           Hugepages-Usage(page)|
| Chip                      | Bus-Id        | AICore(%)   Memory-Usage(MB)  HBM-Usage(MB)        |
+===========================+===============+====================================================+
| 3     910B4               | OK            | NA          47                0    / 0             |
| 0                         | 0000:6B:02.0  | 6           0    / 0          35738/ 32768         |
+===========================+===============+====================================================+
"""
NPU_SMI_TWO_CHIPS = """\
+--------------------------------------------------------------------------------------------------------+
| npu-smi 24.1.rc3                                 Version: 24.1.rc3                                     |
+-------------------------------+-----------------+------------------------------------------------------+
| NPU     Name                  | Health          | Power(W)     Temp(C)           Hugepages-Usage(page) |
| Chip    Device                | Bus-Id          | AICore(%)    Memory-Usage(MB)                        |
+===============================+=================+======================================================+
| 24      310P3                 | Warning         | NA           29                0     / 0             |
| 0       0                     | 0000:04:00.0    | 0            1832 / 21527                            |
+-------------------------------+-----------------+------------------------------------------------------+
| 24      310P3                 | OK              | NA           30                0     / 0             |
| 1       1                     | 0000:05:00.0    | 0            1832 / 21527                            |
+===============================+=================+======================================================+
"""
NPU_BOARD = """\
        NPU ID                         : 0
        Software Version               : 25.5.0
        Firmware Version               : 7.8.0.6.201
"""
CNMON = """\
+------------------------------------------------------------------------------+
| CNMON v6.0.2                                                   Driver v6.0.2 |
+-------------------------------+----------------------+-----------------------+
| Card  VF  Name       Firmware |               Bus-Id | Util        Ecc-Error |
| Fan   Temp      Pwr:Usage/Cap |         Memory-Usage | Mode     Compute-Mode |
|===============================+======================+=======================|
| 2     /   MLU370-X4    v1.1.6 |         0000:AF:00.0 | 0%                  0 |
|  0%   32C         26 W/ 150 W |     0 MiB/ 23374 MiB | FULL          Default |
+-------------------------------+----------------------+-----------------------+
"""
IXSMI = """\
Timestamp    Mon Nov 23 12:00:00 2026
+-----------------------------------------------------------------------------+
|  IX-ML: 4.3.8       Driver Version: 4.3.8       CUDA Version: 10.2          |
|-------------------------------+----------------------+----------------------|
| GPU  Name                     | Bus-Id               | Clock-SM  Clock-Mem  |
|===============================+======================+======================|
| 1    Iluvatar BI-V150         | 00000000:13:00.0     | 1500MHz   1600MHz    |
| 0%   32C   P0    N/A / N/A    | 116MiB / 32768MiB    | 0%        Default    |
+-------------------------------+----------------------+----------------------+
"""
PROPRIETARY = (
    "NVRM version: NVIDIA UNIX x86_64 Kernel Module  535.54.03  Tue Jun  6 22:20:39 UTC 2023\nGCC version: 12\n"
)
OPEN = "NVRM version: NVIDIA UNIX Open Kernel Module for aarch64  570.124.06  Release Build  (dvs-builder)\n"


@pytest.mark.parametrize(
    ("parser", "text", "seen"),
    [
        ("nvidia-smi", "570.124.06\n570.124.06\n", Seen(driver="570.124.06")),
        ("nvidia-smi", NVIDIA_SMI, Seen(driver="570.124.06")),
        ("nvidia-version", PROPRIETARY, Seen(driver="535.54.03")),
        ("nvidia-version", OPEN, Seen(driver="570.124.06")),
        ("ascend-version", "Version=25.0.rc1.2\nascendhal_version=7.35.23\n", Seen(driver="25.0.rc1.2")),
        ("npu-smi", NPU_SMI, Seen(driver="25.2.0", chips=(Chip(index=3, name="910B4", bus="0000:6b:02.0"),))),
        (
            "npu-smi",
            NPU_SMI_TWO_CHIPS,
            Seen(
                driver="24.1.rc3",
                chips=(
                    Chip(index=24, name="310P3", bus="0000:04:00.0"),
                    Chip(index=24, name="310P3", bus="0000:05:00.0"),
                ),
            ),
        ),
        ("npu-smi", NPU_BOARD, Seen(driver="25.5.0")),
        ("cnmon", CNMON, Seen(driver="6.0.2", chips=(Chip(index=2, name="MLU370-X4", bus="0000:af:00.0"),))),
        ("ixsmi", IXSMI, Seen(driver="4.3.8", chips=(Chip(index=1, name="Iluvatar BI-V150", bus="00000000:13:00.0"),))),
    ],
)
def test_version_and_chips_are_read(parser: str, text: str, seen: Seen) -> None:
    assert parse(parser, text) == seen


@pytest.mark.parametrize("parser", sorted(PARSERS))
@pytest.mark.parametrize(
    "text",
    [
        "",
        "NVIDIA-SMI has failed because it couldn't communicate with the NVIDIA driver.\n",
        "Failed to initialize NVML: Driver/library version mismatch\nNVML library version: 570.124\n",
        "dcmi module initialize failed. ret is -8005\n",
        "\x00\xff| npu-smi x Version: ; rm -rf / |\nVersion=$(reboot)\nDriver v\nDriver Version: \n",
        "0" * 100_000,
    ],
)
def test_what_is_no_answer_gives_no_version(parser: str, text: str) -> None:
    assert parse(parser, text) == Seen(driver=None)


@pytest.mark.parametrize(
    ("name", "parser", "driver", "chips"),
    [
        ("npu-smi_info_310p3_23.0.0.txt", "npu-smi", "23.0.0", [(24, "310P3", "0000:04:00.0")]),
        ("npu-smi_info_910b2c_25.0.rc1.2_busy.txt", "npu-smi", "25.0.rc1.2", [(0, "910B2C", "0000:6b:02.0")]),
        (
            "npu-smi_info_910b3_23.0.7.txt",
            "npu-smi",
            "23.0.7",
            [(0, "910B3", "0000:c1:00.0"), (1, "910B3", "0000:c2:00.0")],
        ),
        ("npu-smi_usages_board_25.5.1.txt", "npu-smi", "25.5.1", []),
        ("cnmon_mlu370x8_5.10.13_sriov.txt", "cnmon", "5.10.13", [(0, "MLU370-X8", "0000:39:00.0")]),
        (
            "cnmon_mlu370x8_5.10.22.txt",
            "cnmon",
            "5.10.22",
            [(0, "MLU370-X8", "0000:13:00.0"), (1, "MLU370-X8", "0000:16:00.0")],
        ),
        (
            "ixsmi_biv150_4.1.0.txt",
            "ixsmi",
            "4.1.0",
            [(0, "Iluvatar BI-V150", "00000000:13:00.0"), (1, "Iluvatar BI-V150", "00000000:16:00.0")],
        ),
        ("ixsmi_mrv100duo_4.4.0.txt", "ixsmi", "4.4.0", [(0, "Iluvatar MR-V100 DUO", "00000000:35:00.0")]),
    ],
)
def test_published_outputs_are_read(
    shared: Callable[[str], Path], name: str, parser: str, driver: str, chips: list[tuple[int, str, str]]
) -> None:
    text = shared(f"accelerators/{name}").read_text()
    expected = tuple(Chip(index=index, name=chip, bus=bus) for index, chip, bus in chips)
    assert parse(parser, text) == Seen(driver=driver, chips=expected)
