"""The only module that starts processes: argument vectors, a clean environment, a timeout always."""

from __future__ import annotations

import os
import shlex
import subprocess
import tempfile
import threading
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import IO, Any

from bundler.errors import StepError

# What a child may know of our own environment; everything else is left behind.
_PASSED = (
    "HOME",
    "PATH",
    "TMPDIR",
    "SSL_CERT_FILE",
    "SSL_CERT_DIR",
    "NETRC",
    "XDG_CACHE_HOME",
    "XDG_CONFIG_HOME",
)
_PASSED_IN_ANY_CASE = ("http_proxy", "https_proxy", "no_proxy", "all_proxy")
_LAST_LINES = 12


def clean_environment(extra: Mapping[str, str] | None = None) -> dict[str, str]:
    """Return an environment built from scratch: paths, proxies, certificates, a fixed locale and `extra`."""
    kept = {name: os.environ[name] for name in _PASSED if name in os.environ}
    kept |= {name: value for name, value in os.environ.items() if name.lower() in _PASSED_IN_ANY_CASE}
    return {
        "PATH": "/usr/sbin:/usr/bin:/sbin:/bin",
        "LC_ALL": "C.UTF-8",
        "TZ": "UTC",
        **kept,
        **(extra or {}),
    }


def run(
    argv: Sequence[str | Path],
    *,
    timeout_s: float,
    cwd: Path | None = None,
    environment: Mapping[str, str] | None = None,
    stdin: str = "",
    source: Path | None = None,
    accept: Sequence[int] = (0,),
) -> subprocess.CompletedProcess[str]:
    """Run a program to its end and return its status and text output; `source` is a file to read instead of `stdin`.

    Raises:
        StepError: it is not there, took longer than `timeout_s`, or ended with a status not in `accept`.
    """
    words = [str(word) for word in argv]
    try:
        with ExitStack() as stack:
            given: dict[str, Any] = {"stdin": stack.enter_context(source.open("rb"))} if source else {"input": stdin}
            done = subprocess.run(
                words,
                **given,
                capture_output=True,
                text=True,
                errors="replace",
                cwd=cwd,
                env=clean_environment(environment),
                timeout=timeout_s,
                check=False,
            )
    except FileNotFoundError as error:
        if cwd is not None and not cwd.is_dir():
            raise StepError(f'"{words[0]}" cannot be started: no directory {cwd}') from error
        raise StepError(f'expected the program "{words[0]}", it is not installed') from error
    except OSError as error:
        raise StepError(f'"{words[0]}" cannot be started: {error.strerror}') from error
    except subprocess.TimeoutExpired as error:
        raise StepError(f"expected `{_shown(words)}` to end within {timeout_s:g} s, it was stopped") from error
    if done.returncode not in accept:
        tail = "\n".join((done.stderr or done.stdout).strip().splitlines()[-_LAST_LINES:])
        raise StepError(f"`{_shown(words)}` ended with status {done.returncode}:\n{tail}")
    return done


def feed(
    argv: Sequence[str | Path],
    write: Callable[[IO[bytes]], None],
    *,
    timeout_s: float,
    environment: Mapping[str, str] | None = None,
) -> str:
    """Run a program to its end while `write` writes to its standard input; return what it printed.

    Raises:
        StepError: it is not there, took longer than `timeout_s`, or failed.
        the errors of `write`: the program was stopped then.
    """
    with tempfile.TemporaryFile() as out:
        pipes = {"stdin": subprocess.PIPE, "stdout": out, "stderr": out}
        return _attend([str(word) for word in argv], pipes, write, out, timeout_s, environment)


def drain(
    argv: Sequence[str | Path],
    read: Callable[[IO[bytes]], None],
    *,
    timeout_s: float,
    environment: Mapping[str, str] | None = None,
) -> str:
    """Run a program to its end while `read` reads its standard output; return what else it printed.

    Raises:
        StepError: it is not there, took longer than `timeout_s`, or failed.
        the errors of `read`: the program was stopped then.
    """
    with tempfile.TemporaryFile() as out:
        pipes = {"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "stderr": out}
        return _attend([str(word) for word in argv], pipes, read, out, timeout_s, environment)


def _attend(
    words: Sequence[str],
    pipes: Mapping[str, Any],
    work: Callable[[IO[bytes]], None],
    out: IO[bytes],
    timeout_s: float,
    environment: Mapping[str, str] | None,
) -> str:
    """Run a program to its end while `work` has the one pipe to it; `out` is what it prints to."""
    try:
        process = subprocess.Popen(words, **pipes, env=clean_environment(environment))
    except OSError as error:
        raise StepError(f'"{words[0]}" cannot be started: {error.strerror}') from error
    is_late = threading.Event()

    def stop() -> None:
        is_late.set()
        process.kill()

    timer = threading.Timer(timeout_s, stop)
    timer.start()
    pipe = process.stdin or process.stdout
    assert pipe is not None
    try:
        # One that ends before it has read all says itself why.
        with suppress(BrokenPipeError):
            work(pipe)
        with suppress(BrokenPipeError):
            pipe.close()
        process.wait()
    finally:
        timer.cancel()
        process.kill()
        with suppress(BrokenPipeError):
            pipe.close()
        process.wait()
    out.seek(0)
    text = out.read().decode(errors="replace")
    if is_late.is_set():
        raise StepError(f"expected `{_shown(words)}` to end within {timeout_s:g} s, it was stopped")
    if process.returncode != 0:
        tail = "\n".join(text.strip().splitlines()[-_LAST_LINES:])
        raise StepError(f"`{_shown(words)}` ended with status {process.returncode}:\n{tail}")
    return text


def _shown(words: Sequence[str]) -> str:
    text = shlex.join(words)
    return text if len(text) <= 200 else text[:200] + " ..."
