"""What machine code in a wheel asks for, read from real programs of this host."""

import os
import sys
from pathlib import Path

import pytest
from artifacts import make_wheel

from bundler.errors import IntegrityError, ResolveError
from bundler.machinecode import check_glibc, check_pure
from bundler.model.descriptor import WHEEL
from bundler.store import Store

MACHINE = os.uname().machine
PROGRAM = Path(sys.executable).resolve()


def put(store: Store, files: dict[str, bytes], version: str = "1.0") -> tuple[str, str]:
    name, data = make_wheel("one", version, files)
    return name, store.put(data, WHEEL).sha256


def check(store: Store, wheel: tuple[str, str], glibc: tuple[int, ...], machine: str = MACHINE) -> None:
    check_glibc([wheel], store, machine=machine, glibc=glibc, suite="bookworm")


@pytest.fixture
def native(store: Store) -> tuple[str, str]:
    if not PROGRAM.read_bytes().startswith(b"\x7fELF"):
        pytest.skip("this Python is no ELF file")
    return put(store, {"one/__init__.py": b"", "one/program": PROGRAM.read_bytes()})


def test_code_for_a_newer_c_library_is_refused(store: Store, native: tuple[str, str]) -> None:
    check(store, native, (2, 99))
    with pytest.raises(ResolveError) as refused:
        check(store, native, (2, 1))
    head, _, tail = str(refused.value).partition(" asks for glibc 2.")
    assert head == 'one-1.0-py3-none-any.whl: "one/program"'
    assert tail.endswith(", the runtime has 2.1 of bookworm")
    assert refused.value.hint == (
        "its tags promise less than it needs: take another version, or a newer suite for the runtime"
    )


def test_what_was_found_out_is_remembered(store: Store, native: tuple[str, str]) -> None:
    check(store, native, (2, 99))
    store.path(native[1]).write_bytes(b"no longer a wheel")
    with pytest.raises(ResolveError):
        check(store, native, (2, 1))


def test_code_for_another_machine_is_not_looked_at(store: Store, native: tuple[str, str]) -> None:
    check(store, native, (2, 1), machine={"x86_64": "aarch64"}.get(MACHINE, "x86_64"))


def test_what_was_built_here_holds_no_code(store: Store, native: tuple[str, str]) -> None:
    check_pure([put(store, {"one/data.bin": b"\x7fEL"}, "2.0")], store)
    with pytest.raises(ResolveError) as refused:
        check_pure([native], store)
    assert str(refused.value) == (
        f'one-1.0-py3-none-any.whl: expected a wheel for any machine, "one/program" is code for {MACHINE}'
    )
    assert refused.value.hint == "name a release that publishes wheels"


@pytest.mark.parametrize("length", [4, 5, 20, 64, 100, 4000])
def test_what_only_begins_like_a_program_is_no_program(length: int, store: Store, native: tuple[str, str]) -> None:
    damaged = put(store, {"one/odd": PROGRAM.read_bytes()[:length]}, f"3.{length}")
    check(store, damaged, (2, 1))


def test_fields_of_a_program_that_are_wrong_leak_no_error(store: Store, native: tuple[str, str]) -> None:
    raw = PROGRAM.read_bytes()
    for spot in range(16, 64, 2):
        odd = raw[:spot] + b"\xff\xff" + raw[spot + 2 : 4000]
        check(store, put(store, {"one/odd": odd}, f"4.{spot}"), (9, 9))


def test_what_is_no_wheel_is_refused(store: Store) -> None:
    with pytest.raises(IntegrityError) as refused:
        check(store, ("x-1-py3-none-any.whl", store.put(b"x", WHEEL).sha256), (2, 36))
    assert str(refused.value) == "x-1-py3-none-any.whl: expected a zip: File is not a zip file"
