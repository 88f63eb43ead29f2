"""The catalogue is whole, says where each fact is from, and what damages it is named."""

from __future__ import annotations

import json
from importlib.resources import files
from typing import Any

import pytest

from bundler.accelerators.catalogue import parse_vendor, vendor, vendors
from bundler.errors import IntegrityError
from bundler.model.driver import VENDORS, version_key


def document(name: str) -> dict[str, Any]:
    return dict(json.loads((files("bundler.accelerators") / f"{name}.json").read_bytes()))


def test_every_vendor_is_there_with_what_it_is_read_by() -> None:
    assert [one.name for one in vendors()] == list(VENDORS)
    assert {one.pci for one in vendors()} == {"10de", "19e5", "cabc", "1e3e"}
    assert all(one.reads and one.packages and one.rows for one in vendors())


@pytest.mark.parametrize("name", sorted(VENDORS))
def test_every_source_is_used(name: str) -> None:
    text = json.dumps({key: value for key, value in document(name).items() if key != "sources"})
    assert [source for source in document(name)["sources"] if f'"source": "{source}"' not in text] == []


@pytest.mark.parametrize("name", sorted(VENDORS))
def test_rows_are_in_order_and_what_is_implied_is_in_the_table(name: str) -> None:
    facts = vendor(name)
    for what in {row.what for row in facts.rows}:
        rows = [row for row in facts.rows if row.what == what]
        assert [version_key(row.version) for row in rows] == sorted(
            (version_key(r.version) for r in rows), reverse=True
        )
        assert all(not row.compatible or version_key(row.compatible) < version_key(row.driver) for row in rows)
    for implied in facts.implied:
        assert any(implied.of.lower().startswith(row.version.lower()) for row in facts.rows)


def test_facts_that_nobody_confirms_say_so() -> None:
    unverified = [
        f"{one.name} {row.what} {row.version}" for one in vendors() for row in one.rows if not row.fact.verified
    ]
    assert unverified == [
        "ascend cann 8.3",
        "ascend cann 8.2",
        "ascend cann 8.1",
        "cambricon cntoolkit 3.7",
        "iluvatar corex 4.4",
        "iluvatar corex 4.3",
        "iluvatar corex 4.2",
        "iluvatar corex 4.1",
    ]
    assert [form.name for one in vendors() for form in one.packages if not form.fact.verified] == [
        "cambricon-driver-deb",
        "cambricon-driver-rpm",
        "corex-driver",
    ]


@pytest.mark.parametrize(
    ("name", "file", "groups"),
    [
        ("nvidia", "NVIDIA-Linux-x86_64-570.124.06.run", {"machine": "x86_64", "version": "570.124.06"}),
        ("nvidia", "NVIDIA-Linux-aarch64-535.54.03.run", {"machine": "aarch64", "version": "535.54.03"}),
        ("nvidia", "NVIDIA-Linux-x86_64-550.54.14-grid.run", {"machine": "x86_64", "version": "550.54.14"}),
        (
            "ascend",
            "Ascend-hdk-910b-npu-driver_25.0.rc1.1_linux-aarch64.run",
            {"family": "910b", "version": "25.0.rc1.1", "machine": "aarch64"},
        ),
        (
            "ascend",
            "Ascend-hdk-310p-npu-driver_25.5.0_linux-x86-64.run",
            {"family": "310p", "version": "25.5.0", "machine": "x86-64"},
        ),
        ("ascend", "Ascend-hdk-910b-npu-driver_25.0.rc1_sph001_linux.run", {"version": "25.0.rc1_sph001"}),
        (
            "cambricon",
            "cambricon-mlu-driver-ubuntu20.04-dkms_5.10.22_amd64.deb",
            {"system": "ubuntu20.04", "version": "5.10.22", "machine": "amd64"},
        ),
        (
            "cambricon",
            "cambricon-mlu-driver-centos7-5.10.22-1.x86_64.rpm",
            {"name": "cambricon-mlu-driver-centos7", "system": "centos7", "version": "5.10.22", "machine": "x86_64"},
        ),
        ("iluvatar", "corex-driver-linux64-4.3.8-x86_64.run", {"version": "4.3.8", "machine": "x86_64"}),
        (
            "iluvatar",
            "corex-driver-linux64-4.3.0.rc.9.20250624_x86_64_10.2.run",
            {"version": "4.3.0.rc.9.20250624", "machine": "x86_64"},
        ),
    ],
)
def test_names_that_vendors_give_are_known(name: str, file: str, groups: dict[str, str]) -> None:
    found = [match.groupdict() for form in vendor(name).packages if (match := form.pattern.fullmatch(file))]
    assert len(found) == 1
    assert {key: found[0][key] for key in groups} == groups


@pytest.mark.parametrize(
    ("path", "value", "refusal"),
    [
        (["name"], "amd", 'nvidia.json.name: expected a vendor\'s name, got "amd"'),
        (["pci"], "19e5", 'nvidia.json.pci: expected 10de, got "19e5"'),
        (["sources"], {}, 'nvidia.json.cards[0].source: expected one of the sources, got "pci-ids"'),
        (["needs", 0, "verified"], "yes", 'nvidia.json.needs[0].verified: expected true or false, got "yes"'),
        (["needs", 0, "what"], "cann", 'nvidia.json.needs[0].what: expected one of cuda, driver, got "cann"'),
        (
            ["packages", 0, "pattern"],
            "(",
            "nvidia.json.packages[0].pattern: expected a regular expression: missing ), ",
        ),
        (["packages", 0, "pattern"], "x", 'nvidia.json.packages[0].pattern: expected the group "name" in it'),
        (
            ["packages", 0, "install"],
            ["curl", "{file}"],
            "nvidia.json.packages[0].install: expected sh, dpkg, rpm, nvidia-uninstall or a path below /usr or /opt as "
            'the program, got "curl"',
        ),
        (["reads", 0, "parser"], "eval", 'nvidia.json.reads[0].parser: expected the name of a parser, got "eval"'),
        (["reads", 0, "run"], ["x"], "nvidia.json.reads[0].file: expected one of file and run"),
        (["note"], "x", "nvidia.json.note: unknown field"),
    ],
)
def test_what_is_wrong_is_named(path: list[Any], value: object, refusal: str) -> None:
    whole = document("nvidia")
    place: Any = whole
    for key in path[:-1]:
        place = place[key]
    place[path[-1]] = value
    with pytest.raises(IntegrityError) as refused:
        parse_vendor(json.dumps(whole).encode(), place="nvidia.json")
    assert str(refused.value).startswith(refusal)


def test_what_is_no_json_is_refused() -> None:
    with pytest.raises(IntegrityError, match=r"^nvidia.json: expected JSON$"):
        parse_vendor(b"{", place="nvidia.json")
