"""Run the real `ferry keystore serve`, and a real hvac client of it."""

import os
import re
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import hvac

ROOT = Path(__file__).resolve().parents[2]
_READY = re.compile(r"listening on (https?://\S+)")
_SOCKET = re.compile(r"listening on /")


class Daemon:
    """One daemon over one directory; it can be killed and started again."""

    def __init__(self, data: Path, *options: str, prefix: Sequence[str] = ()) -> None:
        self.data = data
        self.options = options
        self.prefix = prefix
        self.url = ""
        self.lines: list[str] = []
        self.process: subprocess.Popen[str] | None = None

    def start(self) -> "Daemon":
        words = [*self.prefix, sys.executable, "-m", "bundler.cli", "keystore", "serve", "--data", str(self.data)]
        listen = [] if "--listen" in self.options else ["--listen", "127.0.0.1:0"]
        tls = [] if "--tls-cert" in self.options else ["--no-tls"]
        self.process = subprocess.Popen(
            [*words, *listen, *tls, *self.options],
            stderr=subprocess.PIPE,
            text=True,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
        )
        self.url = ""
        ready = threading.Event()
        self.reader = threading.Thread(target=self._read, args=(self.process, ready), daemon=True)
        self.reader.start()
        if not ready.wait(30) or not self.url:
            self.process.kill()
            self.process.wait()
            self.reader.join()
            raise AssertionError("\n".join(self.lines))
        return self

    def _read(self, process: "subprocess.Popen[str]", ready: threading.Event) -> None:
        assert process.stderr is not None
        with process.stderr as stream:
            for line in stream:
                self.lines.append(line.rstrip("\n"))
                if found := _READY.match(line):
                    self.url = found[1]
                # The socket, where there is one, is the last to listen.
                if self.url and ("--socket" not in self.options or _SOCKET.match(line)):
                    ready.set()
        ready.set()

    def kill(self) -> None:
        assert self.process is not None
        self.process.send_signal(signal.SIGKILL)
        self.process.wait(30)

    def stop(self) -> int:
        assert self.process is not None
        if self.process.poll() is None:
            self.process.terminate()
        return self.process.wait(30)

    def client(self, token: str | None = None, **options: Any) -> hvac.Client:
        return hvac.Client(url=self.url, token=token, timeout=30, **options)

    def unsealed(self, shares: int = 1, threshold: int = 1) -> hvac.Client:
        """Initialise and unseal; the shares stay in `shares`, the root token in the client."""
        client = self.client()
        made = client.sys.initialize(shares, threshold)
        self.shares = made["keys"]
        for share in self.shares[:threshold]:
            client.sys.submit_unseal_key(share)
        client.token = made["root_token"]
        return client

    def reopen(self, token: str) -> hvac.Client:
        client = self.client(token)
        client.sys.submit_unseal_key(self.shares[0])
        return client


@contextmanager
def served(data: Path, *options: str) -> Iterator[Daemon]:
    daemon = Daemon(data, *options).start()
    try:
        yield daemon
    finally:
        daemon.stop()
