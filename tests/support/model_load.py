"""A load on a server of a model, in phases; prints what came of every request. Standard library alone.

model_load.py PORT TOKENS RATE:SECONDS [RATE:SECONDS ...]
"""

from __future__ import annotations

import http.client
import json
import sys
import threading
import time


def main(port: int, tokens: int, phases: list[tuple[float, float]]) -> None:
    took: list[float] = []
    lost: list[str] = []

    def one() -> None:
        began = time.monotonic()
        try:
            connection = http.client.HTTPConnection("127.0.0.1", port, timeout=120)
            connection.request("POST", "/", json.dumps({"tokens": tokens}))
            reply = connection.getresponse()
            reply.read()
            if reply.status == 200:
                took.append(time.monotonic() - began)
            else:
                lost.append(f"status {reply.status} after {time.monotonic() - began:.1f} s")
            connection.close()
        except OSError as error:
            lost.append(f"{type(error).__name__} after {time.monotonic() - began:.1f} s")

    threads = []
    due = time.monotonic()
    for rate, seconds in phases:
        for _ in range(round(rate * seconds)):
            due += 1 / rate
            time.sleep(max(0.0, due - time.monotonic()))
            threads.append(threading.Thread(target=one))
            threads[-1].start()
    for thread in threads:
        thread.join()
    took.sort()
    print(json.dumps({"sent": len(threads), "took": [round(each, 2) for each in took], "lost": lost}))


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]), [tuple(map(float, each.split(":"))) for each in sys.argv[3:]])
