"""Lines of text against the rules."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from typing import Any

from bundler.scan.rules import CODE, SHELL, Rule, Rules

# A line is judged by what stands this near to a hint; some files are one line.
_NEAR = 500
_SHOWN = 160
# Of one rule in one text: more say no more.
_MOST_HITS = 50
_MOST_DEEP = 20
_COMMENT = ("#", "//", "*", "/*", "--", ";", ":")
_SAID = re.compile(r"\s*(?:@?echo|printf|print)\b(?![^#]*[|`]|[^#]*\$\()")
_BETWEEN = re.compile(r"[\"']\s*,\s*[\"']")
_USERINFO = re.compile(r"//[^/\s@]*@")
_MCP = "mcpServers"


@dataclass(frozen=True, kw_only=True, slots=True)
class Hit:
    """A line that a rule matches: its number from 1 on (0: none) and what stands there."""

    rule: str
    line: int
    found: str


def scan_text(data: bytes, form: str, rules: Rules) -> list[Hit]:
    """Return what the rules find in a text, each rule once a line, in order of lines."""
    joined = data.replace(b"\\\n", b" \r") if form == SHELL else data
    hits = {}
    for rule in rules.lines:
        if form not in rule.patterns:
            continue
        matching = ((at, line) for at, line in _lines(joined, rule.hints) if _judge(rule, form, line))
        for at, line in islice(matching, _MOST_HITS):
            number = 1 + joined.count(b"\n", 0, at) + joined.count(b" \r", 0, at)
            hits[number, rule.id] = Hit(rule=rule.id, line=number, found=shown(line))
    return [hits[key] for key in sorted(hits)]


def _lines(data: bytes, hints: tuple[bytes, ...]) -> Iterator[tuple[int, str]]:
    """Yield each line that holds a hint, with the position of that: of a long line what is near it, once."""
    for hint in hints:
        at = data.find(hint)
        while at >= 0:
            start = max(data.rfind(b"\n", 0, at) + 1, at - _NEAR)
            end = data.find(b"\n", at)
            end = min(end if end >= 0 else len(data), at + _NEAR)
            yield at, data[start:end].decode("utf-8", "replace")
            at = data.find(hint, max(end, at + len(hint)))


def _judge(rule: Rule, form: str, line: str) -> bool:
    if line.lstrip().startswith(_COMMENT) or (form == SHELL and _SAID.match(line)):
        return False
    return rule.matches(form, _BETWEEN.sub(" ", line) if form == CODE else line)


def shown(line: str) -> str:
    """Return a line as it may be printed: short, without control characters and without passwords of URLs."""
    plain = _USERINFO.sub("//***@", " ".join(line.split()))
    plain = "".join(one if one.isprintable() else "?" for one in plain)
    return plain if len(plain) <= _SHOWN else plain[:_SHOWN] + "..."


def scan_words(words: list[str], rules: Rules, *, line: int = 0) -> list[Hit]:
    """Return what the rules find in an argument vector."""
    text = " ".join(words)
    found = [rule for rule in rules.lines if rule.matches(SHELL, text)]
    return [Hit(rule=rule.id, line=line, found=shown(text)) for rule in found]


def scan_mcp(data: bytes, rules: Rules) -> list[Hit]:
    """Return what the rules find in the MCP servers of a JSON document; none where it is no such document."""
    if _MCP.encode() not in data:
        return []
    try:
        document = json.loads(data)
    except (ValueError, RecursionError):
        return []
    hits = []
    for name, words in _servers(document):
        position = data.find(json.dumps(name).encode())
        hits += scan_words(words, rules, line=1 + data.count(b"\n", 0, max(position, 0)))
    return hits


def _servers(value: Any, depth: int = 0) -> Iterator[tuple[str, list[str]]]:
    """Yield the name and the words of every server, a remote one as `mcp-url URL`."""
    if depth > _MOST_DEEP:
        return
    if isinstance(value, list):
        for one in value:
            yield from _servers(one, depth + 1)
    if not isinstance(value, dict):
        return
    for key, one in value.items():
        if key == _MCP and isinstance(one, dict):
            for name, server in one.items():
                if isinstance(server, dict):
                    yield name, _words(server)
        else:
            yield from _servers(one, depth + 1)


def _words(server: dict[str, Any]) -> list[str]:
    if isinstance(url := server.get("url"), str):
        return ["mcp-url", url]
    arguments = server.get("args")
    words = [server.get("command"), *(arguments if isinstance(arguments, list) else [])]
    return [word for word in words if isinstance(word, str)]
