"""The gateway's configuration: a function of the manifest and of where the operator lets it listen.

What a client may do is listed, and everything else is refused before a service sees it. A token is never compared as
it is: the credential `tokens.map` holds the SHA-256 of each, with the name of its client.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Mapping

from bundler.errors import HostError
from bundler.installer.escort.services import LISTEN
from bundler.installer.layout import MARK
from bundler.model.escort import GATEWAY
from bundler.model.gateway import ADMIN, Gateway, Route
from bundler.model.service import Service

PROGRAM = "/usr/sbin/haproxy"
FILE = "haproxy.cfg"
CERTIFICATE, TOKENS = "tls.pem", "tokens.map"
DEFAULT_LISTEN = "127.0.0.1"
_INTERFACE = re.compile("[A-Za-z][A-Za-z0-9._-]{0,14}")
# Other spellings of a path, which a service may understand in another way than the rules here.
_ODD = r"// /. \ %2e %2f %5c %00 ; "
# What haproxy itself has to say, in the form of the rest.
_ERRORS = {
    400: "not understood",
    408: "the request did not come in time",
    500: "the gateway failed",
    502: "the service broke off",
    503: "the service does not answer",
    504: "the service did not answer in time",
}
_GLOBAL = """\
global
    log stdout format raw local0 info
    maxconn {most}
    hard-stop-after 30s
    ssl-default-bind-options ssl-min-ver TLSv1.2 no-tls-tickets
    ssl-default-bind-ciphers ECDHE+AESGCM:ECDHE+CHACHA20

defaults
    mode http
    log global
    option dontlognull
    option http-buffer-request
    option forwardfor
    timeout connect 5s
    timeout http-request 10s
    timeout http-keep-alive 30s
    timeout client {answer_s}s
    timeout server {answer_s}s
    timeout queue {queue_s}s
    timeout check 2s
{errors}

backend rates
    stick-table type string len 40 size 10k expire 1m store http_req_rate(10s)

backend refusals
    stick-table type ipv6 size 100k expire 1m store gpc0,gpc0_rate(10s)
"""


def listen_of(settings: Mapping[str, str]) -> str:
    """Return where the operator lets the gateway listen.

    Raises:
        HostError: neither an address nor the name of an interface.
    """
    value = settings.get(LISTEN, DEFAULT_LISTEN)
    if _address(value) is None and not _INTERFACE.fullmatch(value):
        raise HostError(
            f'expected an address or the name of an interface, got "{value}"',
            place=f"{GATEWAY}.env: {LISTEN}",
            hint=f"--set {GATEWAY}.{LISTEN}=10.1.2.3, or eth0; {DEFAULT_LISTEN} is for this host alone",
        )
    return value


def _address(text: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        return ipaddress.ip_address(text)
    except ValueError:
        return None


def is_interface(listen: str) -> bool:
    """Say whether it is the name of an interface."""
    return _address(listen) is None


def render_haproxy(gateway: Gateway, services: Mapping[str, Service], settings: Mapping[str, str]) -> str:
    """Return the text of the configuration; `services` are those of the payload by name."""
    limits = gateway.limits
    head = _GLOBAL.format(
        most=limits.connections + 64,
        answer_s=limits.answer_s,
        queue_s=limits.queue_s,
        errors="\n".join(f"    http-error status {status} {_told(error)}" for status, error in _ERRORS.items()),
    )
    parts = [
        f"{MARK} A change here is undone by the next install.",
        head,
        *_frontend(gateway, listen_of(settings)),
        "",
        *_metrics(gateway),
    ]
    for name in _services(gateway):
        parts += ["", *_backend(services[name], limits.concurrent)]
    return "\n".join(parts) + "\n"


def _services(gateway: Gateway) -> list[str]:
    return list(dict.fromkeys(route.service for route in gateway.routes))


def _bind(listen: str, port: int) -> str:
    address = _address(listen)
    tls = f'ssl crt "${{CREDENTIALS_DIRECTORY}}/{CERTIFICATE}" alpn h2,http/1.1'
    if address is None:
        return f"bind 0.0.0.0:{port} interface {listen} {tls}"
    return f"bind {f'[{address}]' if address.version == 6 else address}:{port} {tls}"


def _frontend(gateway: Gateway, listen: str) -> list[str]:
    limits = gateway.limits
    body = limits.body_kib * 1024
    return [
        "frontend gateway",
        f"    {_bind(listen, gateway.port)}",
        f"    maxconn {limits.connections}",
        "    unique-id-format %[uuid()]",
        "    unique-id-header X-Request-ID",
        '    log-format "%ci client=%[var(txn.client)] %HM %HPO status=%ST bytes=%B ms=%Ta id=%ID %tsc"',
        "    http-request set-var(txn.client) str(-)",
        "    http-request del-header X-Request-ID",
        "    http-request del-header X-Ferry-Client",
        "    http-request del-header X-Forwarded-For",
        "    http-request track-sc1 src table refusals",
        _answer(429, "too many refused requests", f"{{ sc1_gpc0_rate gt {limits.refused} }}", "retry-after 10"),
        "    # Every other spelling of a path is refused: a service might read it in its own way.",
        f"    acl is_odd path_sub -i {_escaped(_ODD)}",
        "    acl is_odd path_reg [^!-~]",
        _answer(400, "expected a plain path", "is_odd"),
        "    # What administers a service is closed, whatever else is open.",
        f"    acl is_admin path -i {' '.join(ADMIN)}",
        f"    acl is_admin path_beg -i {' '.join(f'{path}/' for path in ADMIN)}",
        _answer(403, "closed", "is_admin"),
        "    # A token in its place, or nothing.",
        r"    acl has_bearer req.hdr(authorization) -m reg -i ^bearer\ +[^\ ]+$",
        r"    http-request set-var(txn.digest) req.hdr(authorization),word(2,\ ),sha2(256),hex,lower if has_bearer",
        f'    http-request set-var(txn.name) "var(txn.digest),map_str(${{CREDENTIALS_DIRECTORY}}/{TOKENS})"',
        "    acl is_known var(txn.name) -m found",
        "    http-request sc-inc-gpc0(1) unless is_known",
        _answer(401, "expected a token", "!is_known", "www-authenticate Bearer"),
        "    http-request set-var(txn.client) var(txn.name)",
        "    http-request track-sc0 var(txn.client) table rates",
        _answer(429, "too many requests", f"{{ sc0_http_req_rate gt {limits.requests} }}", "retry-after 10"),
        *_routes(gateway),
        "    # The length of a body must be known before it comes.",
        _answer(411, "expected a length", "{ req.hdr(transfer-encoding) -m found }"),
        _answer(411, "expected a length", "{ method POST PUT PATCH } !{ req.hdr(content-length) -m found }"),
        _answer(413, f"expected at most {body} bytes", f"{{ req.hdr_val(content-length) gt {body} }}"),
        "    http-request del-header Authorization",
        "    http-request set-header X-Ferry-Client %[var(txn.client)]",
        "    http-response del-header Server",
        "    http-response set-header Strict-Transport-Security max-age=31536000",
        "    http-after-response set-header X-Request-ID %[unique-id]",
        *(f"    use_backend {route.service} if is_route_{index}" for index, route in enumerate(gateway.routes)),
    ]


def _escaped(words: str) -> str:
    return " ".join(word.replace("\\", "\\\\") for word in words.split())


def _routes(gateway: Gateway) -> list[str]:
    """Return the rules that refuse a path which no route opens, then a method which its route does not take."""
    lines = []
    for index, route in enumerate(gateway.routes):
        lines += _acls(f"is_route_{index}", route)
    names = [f"is_route_{index}" for index in range(len(gateway.routes))]
    lines.append(_answer(404, "no such path", " ".join(f"!{name}" for name in names)))
    for index, route in enumerate(gateway.routes):
        refused = f"is_route_{index} !{{ method {' '.join(route.methods)} }}"
        lines.append(_answer(405, "no such method", refused, f'allow "{", ".join(route.methods)}"'))
    return lines


def _acls(name: str, route: Route) -> list[str]:
    exact = [path for path in route.paths if not path.endswith("*")]
    starts = [path.removesuffix("*") for path in route.paths if path.endswith("*")]
    lines = [f"    acl {name} path {' '.join(exact)}"] if exact else []
    return lines + ([f"    acl {name} path_beg {' '.join(starts)}"] if starts else [])


def _answer(status: int, error: str, when: str, header: str = "") -> str:
    """Return a rule that answers instead of a service."""
    return f"    http-request return status {status} {_told(error)}{f' hdr {header}' if header else ''} if {when}"


def _told(error: str) -> str:
    return f"""content-type application/json string '{{"error":"{error}"}}'"""


def _plain(status: int, text: str, when: str) -> str:
    return f'    http-request return status {status} content-type text/plain string "{text}" if {when}'


def _metrics(gateway: Gateway) -> list[str]:
    return [
        "frontend metrics",
        f"    bind 127.0.0.1:{gateway.metrics_port}",
        "    no log",
        "    # Ready is a gateway behind which every service answers.",
        *(
            _plain(503, f"{name} does not answer", f"{{ path /ready }} {{ nbsrv({name}) lt 1 }}")
            for name in _services(gateway)
        ),
        _plain(200, "ready", "{ path /ready }"),
        "    http-request use-service prometheus-exporter if { path /metrics }",
        "    http-request return status 404",
    ]


def _backend(service: Service, concurrent: int) -> list[str]:
    return [
        f"backend {service.name}",
        f"    option httpchk GET {service.ready}",
        "    http-check expect status 200",
        "    default-server inter 2s fastinter 200ms downinter 500ms rise 1",
        f"    server one 127.0.0.1:{service.port} check maxconn {concurrent}",
    ]
