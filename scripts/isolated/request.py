"""Send the request on standard input to a loopback port; runs on its own in a machine's network namespace."""

from __future__ import annotations

import http.client
import json
import sys


def send() -> int:
    """Send the request described on standard input, as `Machine.http` does inside the network namespace."""
    request = json.loads(sys.stdin.buffer.readline())
    connection = http.client.HTTPConnection("127.0.0.1", request["port"], timeout=request["timeout_s"])
    try:
        body = sys.stdin.buffer.read() or None
        connection.request(request["method"], request["path"], body=body, headers=request["headers"])
        response = connection.getresponse()
        head = {"status": response.status, "headers": {k.lower(): v for k, v in response.getheaders()}}
        sys.stdout.buffer.write(json.dumps(head).encode() + b"\n" + response.read())
    except (OSError, http.client.HTTPException) as error:
        sys.stderr.write(f"{error}\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(send())
