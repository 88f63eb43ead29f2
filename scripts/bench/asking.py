"""One hvac client at work, or several at once: what their users feel. Run as a program by `bench.keystore`."""

from __future__ import annotations

import json
import sys
import time
from concurrent.futures import ProcessPoolExecutor

import hvac


def ask(url: str, token: str, what: str, count: int, name: str) -> list[float]:
    """Write or read secrets one after the other; return what each took, in seconds."""
    client = hvac.Client(url=url, token=token)
    kv = client.secrets.kv.v2
    taken = []
    for number in range(count):
        began = time.perf_counter()
        if what == "write":
            kv.create_or_update_secret(f"{name}/{number}", {"password": "x" * 64})
        else:
            kv.read_secret_version(f"{name}/{number}", raise_on_deleted_version=True)
        taken.append(time.perf_counter() - began)
    return taken


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
