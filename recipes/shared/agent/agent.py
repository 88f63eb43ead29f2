"""An agent service; `application` says with which framework. Start: `python agent.py`; settings: the environment."""

import ipaddress
import logging
import os
import signal
import socket
import sys

from settings import Settings, SettingsError, prepare_environment, read_settings

GRACE_S = 6


def main() -> int:
    """Serve until SIGTERM; return 2 for bad settings, 1 when the address is taken."""
    # As the first process of a container nothing stops us without a handler.
    signal.signal(signal.SIGTERM, _leave)
    os.umask(0o077)
    try:
        settings = read_settings(os.environ)
    except SettingsError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    prepare_environment(settings)
    try:
        listener = _bind(settings)
    except OSError as error:
        print(f"error: cannot bind {settings.host} port {settings.port}: {error.strerror}", file=sys.stderr)
        return 1
    _serve(settings, listener)
    return 0


def _bind(settings: Settings) -> socket.socket:
    # Bound before the imports, which take seconds, so that a taken port shows at once.
    host = "127.0.0.1" if settings.host == "localhost" else settings.host
    family = socket.AF_INET6 if ipaddress.ip_address(host).version == 6 else socket.AF_INET
    listener = socket.socket(family)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listener.bind((host, settings.port))
    return listener


def _serve(settings: Settings, listener: socket.socket) -> None:
    # Some frameworks set up logging and read the environment when they are imported.
    logging.basicConfig(stream=sys.stderr, format="%(levelname)s %(name)s %(message)s")
    logging.disable(logging.WARNING)
    import uvicorn
    from application import build

    app = build(settings)
    logging.disable(logging.NOTSET)
    logging.getLogger().setLevel(logging.WARNING)
    logging.getLogger("agent").setLevel(logging.INFO)

    class Server(uvicorn.Server):
        async def startup(self, sockets: list[socket.socket] | None = None) -> None:
            await super().startup(sockets)
            logging.getLogger("agent").info("serving host=%s port=%d", settings.host, settings.port)
            _notify("READY=1")

    config = uvicorn.Config(
        app,
        log_config=None,
        access_log=False,
        server_header=False,
        timeout_graceful_shutdown=GRACE_S,
        ws="none",
    )
    Server(config).run(sockets=[listener])


def _notify(state: str) -> None:
    """Tell systemd, when the unit is of type notify."""
    path = os.environ.get("NOTIFY_SOCKET", "")
    if path:
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as sender:
            sender.connect("\0" + path[1:] if path.startswith("@") else path)
            sender.sendall(state.encode())


def _leave(_signal: int, _frame: object) -> None:
    sys.exit(0)


if __name__ == "__main__":
    sys.exit(main())
