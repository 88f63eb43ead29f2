"""One hvac client at work, or several at once: what their users feel. Run as a program by `bench.keystore`."""

from __future__ import annotations

import base64
import json
import sys
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from typing import Any

import hvac

TEXT = base64.b64encode(b"x" * 64).decode()


def ask(url: str, token: str, what: str, count: int, name: str) -> list[float]:
    """Ask for one thing again and again, one request after the other; return what each took, in seconds."""
    client = hvac.Client(url=url, token=token)
    act = _acts(client, name)[what]
    taken = []
    for number in range(count):
        began = time.perf_counter()
        act(number)
        taken.append(time.perf_counter() - began)
    return taken


def _acts(client: hvac.Client, name: str) -> dict[str, Callable[[int], Any]]:
    kv, transit = client.secrets.kv.v2, client.secrets.transit
    return {
        "write": lambda number: kv.create_or_update_secret(f"{name}/{number}", {"password": "x" * 64}),
        "read": lambda number: kv.read_secret_version(f"{name}/{number}", raise_on_deleted_version=True),
        "sign": lambda _: transit.sign_data("signing", TEXT, hash_algorithm="sha2-256"),
        "encrypt": lambda _: transit.encrypt_data("sealing", TEXT),
    }


def _ask(words: tuple[str, str, str, int, str]) -> tuple[float, float, list[float]]:
    began = time.time()
    taken = ask(*words)
    return began, time.time(), taken


def main(argv: list[str]) -> None:
    """Print how many requests a second all clients made together, and the times of one, as JSON."""
    url, token, what, count, clients = argv[0], argv[1], argv[2], int(argv[3]), int(argv[4])
    jobs = [(url, token, what, count, f"client-{number}") for number in range(clients)]
    with ProcessPoolExecutor(clients) as pool:
        found = list(pool.map(_ask, jobs))
    seconds = max(end for _, end, _ in found) - min(began for began, _, _ in found)
    taken = sorted(one for _, _, times in found for one in times)
    print(
        json.dumps(
            {
                "rate": len(taken) / seconds,
                "p50_ms": 1000 * taken[len(taken) // 2],
                "p99_ms": 1000 * taken[int(len(taken) * 0.99)],
            }
        )
    )


if __name__ == "__main__":
    main(sys.argv[1:])
