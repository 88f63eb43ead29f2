"""Requirements files: what was pinned is read, and what is hostile raises one kind of error."""

import contextlib
import tempfile
from pathlib import Path

from hypothesis import example, given, settings
from hypothesis import strategies as st

from bundler.errors import RecipeError
from bundler.resolve.requirements import read_requirements

names = st.from_regex(r"[a-z]([a-z0-9._-]{0,8}[a-z0-9])?", fullmatch=True)
versions = st.from_regex(r"[0-9]{1,3}(\.[0-9]{1,3}){0,3}(rc[0-9])?", fullmatch=True)
digests = st.lists(st.binary(min_size=32, max_size=32).map(bytes.hex), min_size=1, max_size=3)
# What may stand between the parts of a line.
joints = st.sampled_from([" ", "   ", " \\\n    ", "\\\n ", "\t"])
between = st.sampled_from(["", "\n", "# a comment\n", "   # via x\n", "# ends so \\\n"])
markers = st.sampled_from(["", " ; python_version >= '3.8'", ' ; sys_platform == "linux" and os_name != "nt"'])
words = st.sampled_from(
    ["-r", "-c", "--hash", "=", "sha256:", "a", "==", "1", "\\", "\n", "#", " ", ";", "@", "..", "/", "\x00", "é", "'"]
)


@settings(deadline=None, max_examples=60)
@given(st.lists(st.tuples(names, versions, markers, digests, joints, between), max_size=5))
def test_what_was_pinned_is_read(pins: list[tuple[str, str, str, list[str], str, str]]) -> None:
    text = ""
    for name, version, marker, hashes, joint, comment in pins:
        text += f"{comment}{name}=={version}{marker}"
        text += "".join(f"{joint}--hash=sha256:{digest}" for digest in hashes) + "\n"
    with tempfile.TemporaryDirectory() as directory:
        (Path(directory) / "r.txt").write_text(text)
        found = read_requirements(["r.txt"], [], Path(directory)).pins
    assert [(pin.requirement.name, pin.version, pin.hashes) for pin in found] == [
        (name, version, frozenset(hashes)) for name, version, _, hashes, _, _ in pins
    ]


@settings(deadline=None, max_examples=150)
@given(st.one_of(st.binary(max_size=80), st.lists(words, max_size=12).map(lambda parts: "".join(parts).encode())))
@example(b"a==" + b"9" * 5000 + b" --hash=sha256:" + b"a" * 64)
@example(b"a==1 ; python_version < '" + b"9" * 5000 + b"' --hash=sha256:" + b"a" * 64)
def test_what_is_no_requirements_file_raises_one_kind_of_error(raw: bytes) -> None:
    with tempfile.TemporaryDirectory() as directory:
        for name in ("r.txt", "pylock.toml"):
            (Path(directory) / name).write_bytes(raw)
            with contextlib.suppress(RecipeError):
                read_requirements([name], [], Path(directory))
            with contextlib.suppress(RecipeError):
                read_requirements([], [name], Path(directory))
