"""The password of an encrypted archive: from a file or a prompt, never from the command line."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from bundler.cli.messages import tr
from bundler.errors import HostError, TrustError
from keystore import disk
from keystore.errors import PassphraseError


def password_option(command: Callable[..., Any]) -> Callable[..., Any]:
    """Give a command the option that names the file of a password."""
    return click.option(
        "--password-file",
        type=click.Path(path_type=Path),
        metavar="FILE",
        help=tr(
            "File with the password of a 7z archive, in one line. Default: it is asked for.",
            "存放 7z 密码的文件（一行）。默认：提示输入。",
        ),
    )(command)


def password_from(path: Path | None, *, twice: bool = False) -> Callable[[], str]:
    """Return what reads the password when it is needed: from the file, else from a person.

    Raises:
        HostError: there is neither.
        TrustError: the file holds no password.
    """
    return lambda: _read(path) if path is not None else _ask(twice)


def _read(path: Path) -> str:
    try:
        lines = path.read_bytes().decode("utf-8").splitlines()
    except OSError as error:
        raise TrustError(f"the password cannot be read: {error.strerror}", place=str(path)) from error
    except UnicodeDecodeError:
        lines = []
    if len(lines) != 1 or not lines[0]:
        raise TrustError("expected a password in one line of UTF-8 text, got something else", place=str(path))
    return lines[0]


def _ask(twice: bool) -> str:
    if not sys.stdin.isatty():
        raise HostError(
            "expected a password, got neither a file nor a terminal", hint="name a file: --password-file FILE"
        )
    again = tr("The same again", "再次输入")
    prompt = tr("Password of the archive", "压缩包密码")
    found: str = click.prompt(prompt, hide_input=True, confirmation_prompt=again if twice else False, err=True)
    return found


def read_secret(path: Path | None, question: str, option: str, *, twice: bool = False) -> str:
    """Return a secret of the keystore: the one line of a file of mode 0600, else asked of a person.

    Raises: PassphraseError when there is neither, KeystoreError for a file that others may read.
    """
    if path is not None:
        disk.check_private_file(path)
        lines = disk.read(path).decode("utf-8", "replace").splitlines()
        if len(lines) != 1 or not lines[0]:
            raise PassphraseError("expected one line of UTF-8 text, got something else", place=str(path))
        return lines[0]
    if not sys.stdin.isatty():
        raise PassphraseError(
            "expected a secret, got neither a file nor a terminal", place=question, hint=f"name a file: {option}"
        )
    again = tr("The same again", "再次输入")
    found: str = click.prompt(question, hide_input=True, confirmation_prompt=again if twice else False, err=True)
    return found
