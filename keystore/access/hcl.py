"""Parse the part of HCL 1 that policies are written in: assignments, blocks and values.

Source: the HCL 1 syntax description of github.com/hashicorp/hcl. Heredocs and interpolation are refused.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any, NoReturn

from keystore.errors import KeystoreError

DEPTH_MOST = 16
BYTES_MOST = 1 << 20
_TOKEN = re.compile(
    r"(?P<blank>[ \t\r\n]+|#[^\n]*|//[^\n]*|/\*.*?\*/)"
    r'|(?P<string>"(?:[^"\\\n]|\\.)*")'
    r"|(?P<number>-?[0-9]+(?:\.[0-9]+)?(?![A-Za-z0-9_.]))"
    r"|(?P<word>[A-Za-z_][A-Za-z0-9_.-]*)"
    r"|(?P<mark>[{}\[\]=,:])",
    re.DOTALL,
)
_ESCAPES = {"n": "\n", "t": "\t", "r": "\r", '"': '"', "\\": "\\"}
_WORDS = {"true": True, "false": False}


@dataclass(frozen=True, slots=True)
class _Token:
    kind: str
    text: str
    at: int


@dataclass(frozen=True, slots=True)
class Block:
    """One `name "label" { ... }`, or one `name = value`, in the order of the text; a label is None without one."""

    name: str
    label: str | None
    value: Any


def parse(text: str) -> list[Block]:
    """Return what stands at the top of a text.

    Raises: KeystoreError that names line and column.
    """
    if len(text) > BYTES_MOST:
        raise KeystoreError(f"expected at most {BYTES_MOST} characters, got {len(text)}")
    return _Parser(text).body(end=None)


class _Parser:
    def __init__(self, text: str) -> None:
        self._text = text
        self._tokens = self._scan()
        self._next = 0
        self._depth = 0

    def _scan(self) -> list[_Token]:
        found, at = [], 0
        while at < len(self._text):
            match = _TOKEN.match(self._text, at)
            if match is None:
                self._refuse(f"expected a word, a string or a bracket, got {self._text[at]!r}", at)
            if match.lastgroup != "blank":
                found.append(_Token(match.lastgroup or "", match.group(), at))
            at = match.end()
        found.append(_Token("end", "the end", at))
        return found

    def body(self, end: str | None) -> list[Block]:
        """Return entries up to a closing bracket, or up to the end of the text."""
        found = []
        while not self._is("end") if end is None else not self._is("mark", end):
            found.append(self._entry())
            self._skip(",")
        if end is not None:
            self._take("mark", end)
        return found

    def _entry(self) -> Block:
        name = self._name()
        label = None
        if self._is("string") or self._is("word"):
            label = self._name()
        if label is None and (self._skip("=") or self._skip(":")):
            return Block(name, None, self._value())
        return Block(name, label, self._object())

    def _name(self) -> str:
        token = self._peek()
        if token.kind == "string":
            return self._string()
        return self._take("word").text

    def _value(self) -> Any:
        token = self._peek()
        if token.kind == "string":
            return self._string()
        if token.kind == "number":
            text = self._take("number").text
            return float(text) if "." in text else int(text)
        if token.kind == "word" and token.text in _WORDS:
            return _WORDS[self._take("word").text]
        if token.text == "[":
            return self._list()
        if token.text == "{":
            return self._object()
        return self._refuse(f"expected a value, got {token.text!r}", token.at)

    def _list(self) -> list[Any]:
        self._enter("[")
        found = []
        while not self._is("mark", "]"):
            found.append(self._value())
            if not self._skip(","):
                break
        self._leave("]")
        return found

    def _object(self) -> dict[str, Any]:
        self._enter("{")
        found: dict[str, Any] = {}
        for block in self.body(end="}"):
            if block.label is not None:
                found.setdefault(block.name, {})[block.label] = block.value
                continue
            if block.name in found:
                self._refuse(f"expected {block.name!r} once, got it twice", self._tokens[self._next - 1].at)
            found[block.name] = block.value
        self._depth -= 1
        return found

    def _enter(self, mark: str) -> None:
        token = self._take("mark", mark)
        self._depth += 1
        if self._depth > DEPTH_MOST:
            self._refuse(f"expected at most {DEPTH_MOST} brackets inside each other, got more", token.at)

    def _leave(self, mark: str) -> None:
        self._take("mark", mark)
        self._depth -= 1

    def _string(self) -> str:
        token = self._take("string")
        if "${" in token.text:
            self._refuse("expected a string without '${', got one", token.at)
        return re.sub(r"\\(.)", lambda match: self._escape(match.group(1), token.at), token.text[1:-1])

    def _escape(self, letter: str, at: int) -> str:
        if letter not in _ESCAPES:
            self._refuse(f"expected a known escape, got {chr(92) + letter!r}", at)
        return _ESCAPES[letter]

    def _peek(self) -> _Token:
        return self._tokens[self._next]

    def _is(self, kind: str, text: str | None = None) -> bool:
        token = self._peek()
        if token.kind == "end" and kind != "end":
            return False if text is None else self._refuse(f"expected {text!r}, got the end", token.at)
        return token.kind == kind and text in (None, token.text)

    def _skip(self, mark: str) -> bool:
        token = self._peek()
        if token.kind == "mark" and token.text == mark:
            self._next += 1
            return True
        return False

    def _take(self, kind: str, text: str | None = None) -> _Token:
        token = self._peek()
        if token.kind != kind or text not in (None, token.text):
            got = token.text if token.kind == "end" else repr(token.text)
            self._refuse(f"expected {text or 'a ' + kind!r}, got {got}", token.at)
        self._next += 1
        return token

    def _refuse(self, message: str, at: int) -> NoReturn:
        line = self._text.count("\n", 0, at) + 1
        column = at - self._text.rfind("\n", 0, at)
        raise KeystoreError(message, place=f"line {line}, column {column}")
