from typing import Any

import pytest

from bundler.errors import IntegrityError, RecipeError
from bundler.model.document import Fields, describe
from bundler.model.platform import PLATFORMS, parse_platform, platform_of_machine


def fields(value: object = None, *, place: str = "spot") -> Fields:
    return Fields({"key": value}, place=place, error=IntegrityError)


READERS: list[tuple[Any, object, str]] = [
    (lambda f: f.text("key"), 1, 'spot.key: expected text, got "1"'),
    (lambda f: f.text("none"), 1, "spot.none: expected text, the field is missing"),
    (lambda f: f.text("key", match="[ab]"), "c", 'spot.key: expected text like [ab], got "c"'),
    (lambda f: f.text("key", match="[ab]"), "a\n", 'spot.key: expected text like [ab], got "a\\n"'),
    (lambda f: f.text("key", match="x"), "y" * 99, f'spot.key: expected text like x, got "{"y" * 80}"'),
    (lambda f: f.integer("key"), True, 'spot.key: expected a whole number, got "True"'),
    (lambda f: f.integer("key", least=2), 1, "spot.key: expected at least 2, got 1"),
    (lambda f: f.integer("key", most=2), 3, "spot.key: expected at most 2, got 3"),
    (lambda f: f.integer("key"), -(10**5000), "spot.key: expected at least 0, got a number of more than 64 bits"),
    (lambda f: f.text("key"), 10**5000, 'spot.key: expected text, got "a number of more than 64 bits"'),
    (lambda f: f.flag("key"), 0, 'spot.key: expected true or false, got "0"'),
    (lambda f: f.hex("key"), "ff", "spot.key: expected 64 lower-case hex digits for sha256, got 2 characters"),
    (
        lambda f: f.hex("key", algorithm="sm3"),
        "g" * 64,
        f'spot.key: expected 64 lower-case hex digits for sm3, got "{"g" * 64}"',
    ),
    (lambda f: f.texts("key"), ["a", None], "spot.key[1]: expected text, got nothing"),
    (lambda f: f.texts("key"), "ab", 'spot.key: expected a list, got "ab"'),
    (lambda f: f.texts("key"), ["\0"], 'spot.key[0]: expected text without NUL and lone surrogates, got "\\x00"'),
    (lambda f: f.pairs("key"), {"a": 1}, 'spot.key.a: expected text, got "1"'),
    (
        lambda f: f.pairs("key"),
        {"a": "\ud800"},
        'spot.key.a: expected text without NUL and lone surrogates, got "\\ud800"',
    ),
    (lambda f: f.pairs("key"), {"\0": "a"}, 'spot.key: expected text without NUL and lone surrogates, got "\\x00"'),
    (lambda f: f.mapping("key"), [], "spot.key: expected a mapping, got a list"),
    (lambda f: f.mapping("key").text("x"), {}, "spot.key.x: expected text, the field is missing"),
    (lambda f: f.each("key", lambda one: one.text("a")), [{"a": "b", "c": 1}], "spot.key[0].c: unknown field"),
    (lambda f: f.each("key", lambda one: one.text("a")), [7], 'spot.key[0]: expected a mapping, got "7"'),
    (lambda f: f.moment("key", form="%Y", what="a year"), "99", 'spot.key: expected a year, got "99"'),
    (lambda f: f.close(), 1, "spot.key: unknown field"),
]


@pytest.mark.parametrize(("read", "value", "says"), READERS, ids=[says[:60] for _, _, says in READERS])
def test_a_mistake_is_named_with_its_place(read: Any, value: object, says: str) -> None:
    with pytest.raises(IntegrityError) as refused:
        read(fields(value))
    assert str(refused.value) == says


def test_what_is_there_is_taken() -> None:
    document = {"t": "x", "i": 3, "f": True, "l": ["a"], "p": {"b": "2", "a": "1"}, "d": "2026-01-31"}
    read = Fields(document, place="", error=RecipeError)
    assert (read.text("t"), read.integer("i"), read.flag("f"), read.texts("l")) == ("x", 3, True, ("a",))
    assert read.pairs("p") == (("a", "1"), ("b", "2"))
    assert read.has("d")
    assert read.moment("d", form="%Y-%m-%d", what="a date") == "2026-01-31"
    assert not read.has("d")
    assert (read.text("no", ""), read.moment("no", "", form="%Y", what=""), read.integer("no", 0)) == ("", "", 0)
    read.close()


def test_a_document_must_be_a_mapping() -> None:
    with pytest.raises(RecipeError) as refused:
        Fields([], place="", error=RecipeError)
    assert str(refused.value) == "document: expected a mapping, got a list"


@pytest.mark.parametrize(
    ("value", "text"), [(None, "nothing"), ("a\x1b", '"a\\x1b"'), ("数", '"数"'), (1.5, '"1.5"'), ([], "a list")]
)
def test_how_a_value_is_shown(value: object, text: str) -> None:
    assert describe(value) == text


def test_what_each_ecosystem_calls_a_platform() -> None:
    amd64, arm64 = PLATFORMS
    assert (str(amd64), amd64.machine, amd64.debian, amd64.triplet) == (
        "linux/amd64",
        "x86_64",
        "amd64",
        "x86_64-linux-gnu",
    )
    assert (str(arm64), arm64.machine, arm64.debian, arm64.loader) == (
        "linux/arm64",
        "aarch64",
        "arm64",
        "lib/ld-linux-aarch64.so.1",
    )
    assert platform_of_machine("aarch64") == arm64
    assert platform_of_machine("riscv64") is None
    with pytest.raises(RecipeError) as refused:
        parse_platform("windows/amd64", place="here")
    assert str(refused.value) == 'here: expected one of "linux/amd64", "linux/arm64", got "windows/amd64"'
