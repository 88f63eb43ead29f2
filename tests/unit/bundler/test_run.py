import os
import time
from pathlib import Path

import pytest

from bundler.errors import IntegrityError, StepError
from bundler.run import clean_environment, drain, feed, run


def refusal(*words: str, **options: object) -> str:
    with pytest.raises(StepError) as refused:
        run(list(words), **{"timeout_s": 10, **options})  # type: ignore[arg-type]
    return str(refused.value)


def test_the_environment_is_built_from_scratch(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in list(os.environ):
        monkeypatch.delenv(name)
    monkeypatch.setenv("SECRET", "x")
    monkeypatch.setenv("LD_PRELOAD", "x.so")
    monkeypatch.setenv("PYTHONPATH", "/x")
    monkeypatch.setenv("HTTPS_proxy", "http://proxy")
    monkeypatch.setenv("HOME", "/home/x")
    assert clean_environment({"MORE": "1"}) == {
        "PATH": "/usr/sbin:/usr/bin:/sbin:/bin",
        "LC_ALL": "C.UTF-8",
        "TZ": "UTC",
        "HTTPS_proxy": "http://proxy",
        "HOME": "/home/x",
        "MORE": "1",
    }
    lines = run(["env"], timeout_s=10, environment={"MORE": "1"}).stdout.splitlines()
    assert sorted(lines) == [
        "HOME=/home/x",
        "HTTPS_proxy=http://proxy",
        "LC_ALL=C.UTF-8",
        "MORE=1",
        "PATH=/usr/sbin:/usr/bin:/sbin:/bin",
        "TZ=UTC",
    ]


def test_status_and_text_come_back(tmp_path: Path) -> None:
    done = run(["sh", "-c", "cat; pwd; exit 3"], timeout_s=10, cwd=tmp_path, stdin="in ", accept=(0, 3))
    assert (done.returncode, done.stdout) == (3, f"in {tmp_path}\n")


def test_words_are_not_read_by_a_shell(tmp_path: Path) -> None:
    assert run(["echo", "$HOME; touch x", "*"], timeout_s=10, cwd=tmp_path).stdout == "$HOME; touch x *\n"
    assert list(tmp_path.iterdir()) == []


def test_nothing_waits_for_a_terminal() -> None:
    assert run(["cat"], timeout_s=10).stdout == ""


def test_bytes_that_are_no_text_do_no_harm() -> None:
    assert run(["printf", r"a\377b"], timeout_s=10).stdout == "a\ufffdb"


def test_a_failure_shows_its_last_lines() -> None:
    lines = "\n".join(str(number) for number in range(9, 21))
    says = refusal("sh", "-c", "seq 20 >&2; echo out; exit 4")
    assert says == f"`sh -c 'seq 20 >&2; echo out; exit 4'` ended with status 4:\n{lines}"
    assert refusal("sh", "-c", "echo out; exit 1") == "`sh -c 'echo out; exit 1'` ended with status 1:\nout"


def test_a_long_command_is_shortened() -> None:
    assert refusal("false", "x" * 300) == f"`false {'x' * 194} ...` ended with status 1:\n"


def test_a_program_that_is_not_there() -> None:
    assert refusal("no-such-program") == 'expected the program "no-such-program", it is not installed'


def test_a_file_that_is_no_program(tmp_path: Path) -> None:
    (tmp_path / "data").touch()
    assert refusal(str(tmp_path / "data")) == f'"{tmp_path}/data" cannot be started: Permission denied'


def test_a_directory_that_is_not_there(tmp_path: Path) -> None:
    says = refusal("true", cwd=tmp_path / "no")
    assert says == f'"true" cannot be started: no directory {tmp_path}/no'


def test_a_program_that_takes_too_long_is_stopped() -> None:
    began = time.monotonic()
    assert refusal("sleep", "30", timeout_s=0.2) == "expected `sleep 30` to end within 0.2 s, it was stopped"
    assert time.monotonic() - began < 5


def test_what_a_stopped_program_started_does_not_hold_us_up() -> None:
    began = time.monotonic()
    assert refusal("sh", "-c", "sleep 8 & wait", timeout_s=0.2).endswith("to end within 0.2 s, it was stopped")
    assert time.monotonic() - began < 5


def test_what_is_written_is_read_by_the_program() -> None:
    assert feed(["wc", "-c"], lambda out: [out.write(bytes(100_000)) for _ in range(30)] and None, timeout_s=10) == (
        "3000000\n"
    )


def test_a_program_that_stops_reading_says_why() -> None:
    argv = ["sh", "-c", "echo no room >&2; exit 3"]
    with pytest.raises(StepError) as refused:
        feed(argv, lambda out: [out.write(bytes(100_000)) for _ in range(30)] and None, timeout_s=10)
    assert str(refused.value) == "`sh -c 'echo no room >&2; exit 3'` ended with status 3:\nno room"


def test_a_program_that_never_reads_is_stopped() -> None:
    with pytest.raises(StepError) as refused:
        feed(["sleep", "60"], lambda out: [out.write(bytes(100_000)) for _ in range(30)] and None, timeout_s=0.2)
    assert str(refused.value) == "expected `sleep 60` to end within 0.2 s, it was stopped"


def test_a_writer_that_fails_stops_the_program() -> None:
    def fail(out: object) -> None:
        raise IntegrityError("damaged")

    began = time.monotonic()
    with pytest.raises(IntegrityError, match="damaged"):
        feed(["sleep", "60"], fail, timeout_s=60)
    assert time.monotonic() - began < 30


def test_a_program_to_feed_that_is_not_there() -> None:
    with pytest.raises(StepError) as refused:
        feed(["/no/program"], lambda out: None, timeout_s=10)
    assert str(refused.value) == '"/no/program" cannot be started: No such file or directory'


def test_the_output_of_a_program_is_read_as_it_comes() -> None:
    got: list[bytes] = []
    said = drain(["sh", "-c", "echo beside >&2; printf %s output"], lambda pipe: got.append(pipe.read()), timeout_s=10)
    assert (got, said) == ([b"output"], "beside\n")


def test_a_program_whose_output_is_read_fails() -> None:
    with pytest.raises(StepError) as refused:
        drain(["sh", "-c", "printf %s half; echo no room >&2; exit 3"], lambda pipe: pipe.read() and None, timeout_s=10)
    assert str(refused.value) == ("`sh -c 'printf %s half; echo no room >&2; exit 3'` ended with status 3:\nno room")


def test_a_program_that_writes_nothing_is_stopped() -> None:
    with pytest.raises(StepError) as refused:
        drain(["sleep", "60"], lambda pipe: pipe.read() and None, timeout_s=0.2)
    assert str(refused.value) == "expected `sleep 60` to end within 0.2 s, it was stopped"


def test_a_reader_that_fails_stops_the_program() -> None:
    def fail(pipe: object) -> None:
        raise IntegrityError("damaged")

    with pytest.raises(IntegrityError, match="damaged"):
        drain(["yes"], fail, timeout_s=60)
