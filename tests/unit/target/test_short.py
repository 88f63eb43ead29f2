"""The short form: it comes back as it went, and one wrong character is found."""

import string
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bundler.errors import RecipeError
from bundler.model.target import Accelerator, Driver, FileSystem, OperatingSystem, Target, Versioned
from bundler.target.short import PATHS, format_short, is_short, parse_short
from bundler.target.stock import stock_target

LINE = (
    "F1 openEuler 22.03 LTS-SP3 aarch64 5.10.0-182.0.0.95.oe2203sp3.aarch64 2.34 systemd:249 dnf "
    "docker:18.09.0,isula:2.1.4 19e5:d802x8@24.1.rc2.1 66/66/921 ecd195d2"
)
DIFFERS = "short form: the check characters do not fit: at least one character differs from the host's line"
texts = st.one_of(st.none(), st.text(st.characters(codec="utf-8"), min_size=1, max_size=60))
ids = st.from_regex("[0-9a-f]{4}", fullmatch=True)
versions = st.one_of(st.none(), st.from_regex(r"[0-9]{1,3}(\.[0-9a-z+~-]{1,9}){0,3}", fullmatch=True))


def refusal(text: str) -> RecipeError:
    with pytest.raises(RecipeError) as refused:
        parse_short(text)
    return refused.value


@st.composite
def targets(draw: st.DrawFn) -> Target:
    cards = st.builds(Accelerator, vendor=ids, device=ids, count=st.integers(1, 999))
    vendors = draw(st.one_of(st.none(), st.lists(cards, max_size=3).map(tuple)))
    drivers = {card.vendor: draw(versions) for card in vendors or ()}
    return replace(
        stock_target("debian-12/amd64"),
        os=OperatingSystem(id=draw(texts), version=draw(texts), name=None, codename=draw(texts)),
        kernel=draw(versions),
        glibc=draw(st.one_of(st.none(), st.from_regex(r"2\.[0-9]{1,2}", fullmatch=True))),
        init=Versioned(name=draw(texts), version=draw(texts)),
        runtimes=draw(
            st.one_of(
                st.none(),
                st.lists(
                    st.builds(Versioned, name=st.sampled_from(["docker", "podman", "containerd"]), version=versions),
                    max_size=4,
                ).map(tuple),
            )
        ),
        accelerators=vendors,
        drivers=tuple(Driver(vendor=vendor, version=version) for vendor, version in drivers.items() if version),
        file_systems=tuple(
            FileSystem(path=path, free_bytes=draw(st.one_of(st.none(), st.integers(0, 10**14))), free_inodes=None)
            for path in PATHS
        ),
    )


@given(targets())
@settings(max_examples=200, deadline=None)
def test_what_is_shortened_comes_back(target: Target) -> None:
    line = format_short(target)
    assert len(line) < 200
    assert line.isascii()
    assert format_short(parse_short(line)) == line


def test_it_is_read_whole() -> None:
    target = parse_short(LINE)
    assert (target.name, target.os.id, target.os.version) == ("openeuler-22.03", "openEuler", "22.03")
    assert (target.os.codename, target.machine, target.glibc) == ("LTS-SP3", "aarch64", "2.34")
    assert target.init == Versioned(name="systemd", version="249")
    assert target.runtimes == (Versioned(name="docker", version="18.09.0"), Versioned(name="isula", version="2.1.4"))
    assert target.accelerators == (Accelerator(vendor="19e5", device="d802", count=8),)
    assert target.driver_version("19e5") == "24.1.rc2.1"
    assert [target.free_bytes(path) for path in PATHS] == [66 * 10**9, 66 * 10**9, 921 * 10**9]
    assert (target.packages, target.cpus, target.security.selinux) == (None, None, None)


def test_blanks_between_the_words_do_not_matter() -> None:
    assert parse_short("  " + LINE.replace(" ", " \n\t ") + "\n") == parse_short(LINE)


@pytest.mark.parametrize("place", range(3, len(LINE)))
def test_one_wrong_character_is_found(place: int) -> None:
    for wrong in (*string.digits, "a", "f", "Z", "-", ".", "é"):
        if wrong not in (LINE[place].lower(), LINE[place]):
            with pytest.raises(RecipeError):
                parse_short(LINE[:place] + wrong + LINE[place + 1 :])


def test_a_missing_or_swapped_character_is_found() -> None:
    for place in range(3, len(LINE) - 1):
        first, second = LINE[place], LINE[place + 1]
        if first != second and " " not in (first, second):
            assert str(refusal(LINE[:place] + second + first + LINE[place + 2 :])) == DIFFERS
        if not LINE[place].isspace():
            refusal(LINE[:place] + LINE[place + 1 :])


def test_damage_is_told_with_what_to_do() -> None:
    refused = refusal(LINE.replace("182", "183"))
    assert str(refused) == DIFFERS
    assert refused.hint == "compare it with the host's line character by character: 0 and O, 1 and l, 5 and S"
    assert refused.exit_code == 3


def test_another_version_and_another_number_of_words_are_refused() -> None:
    refused = refusal(LINE.replace("F1", "F2"))
    assert str(refused) == 'short form: expected "F1" first, got "F2"'
    assert refused.hint == "the host's probe and this Ferry differ in version"
    refused = refusal(LINE.replace("oe2203sp3.a", "oe2203sp3. a"))
    assert str(refused) == "short form: expected 13 words, got 14"
    assert refused.hint == "a word is missing, or a blank too many"
    assert str(refusal("")) == 'short form: expected "F1" first, got ""'


# The check characters are right in these: what is refused is what they protect.
@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("F1 d 1 - x86_64 6.1 2.36 s:1 apt - 10de:20b2 1/1/1", 'expected VENDOR:DEVICExCOUNT@DRIVER, got "10de:20b2"'),
        ("F1 d 1 - x86_64 6.1 2.36 s:1 apt - none 1/1", 'expected three sizes in GB with "/" between, got "1/1"'),
        ("F1 d 1 - x86_64 6.1 2.36 s:1 snap - none 1/1/1", None),
    ],
)
def test_a_line_of_other_fields_is_refused(line: str, message: str | None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("bundler.target.short._check", lambda _: "00000000")
    refused = refusal(f"{line} 00000000")
    if message is None:
        managers = "apt, dpkg, dnf, yum, zypper, rpm, none"
        assert str(refused) == f'short form.package_manager: expected {managers}, got "snap"'
    else:
        assert str(refused) == f"short form: {message}"


def test_the_check_characters_are_those_of_cksum() -> None:
    """Source: the check value of CRC-32/CKSUM with the length of 9 behind it, as GNU cksum prints it: 930766865."""
    from bundler.target import short

    assert short._check("123456789") == f"{930766865:08x}"


def test_what_means_to_be_short() -> None:
    assert is_short(LINE)
    assert is_short("F2 x")
    assert not is_short("F1.yaml")
    assert not is_short("debian-12/amd64")
