"""Metrics over HTTP, on this host or inside its isolated network; every replica is asked at once."""

from __future__ import annotations

import http.client
import json
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from urllib.parse import urlencode, urlsplit

from bundler.autoscaler.observe.dialects import Reading, read_replica
from bundler.autoscaler.observe.metrics import MOST_BYTES, parse_answer, parse_metrics
from bundler.errors import HostError

_AT_ONCE = 16
_TIMEOUT_S = 3.0
# Series whose names a server of models may have; the rest of what Prometheus holds is not asked for.
_QUERY = '{__name__=~"(vllm:|sglang:)?(num_.*|.*token.*|.*cache_usage_perc|request_success_total)"}'


def scrape(urls: Mapping[str, str], timeout_s: float = _TIMEOUT_S) -> Mapping[str, Reading | None]:
    """Ask each replica; None is a replica that does not answer, or with no metrics that are known."""

    def one(url: str) -> Reading | None:
        try:
            return read_replica(parse_metrics(fetch(url, timeout_s), place=url))
        except HostError:
            return None

    if not urls:
        return {}
    with ThreadPoolExecutor(min(_AT_ONCE, len(urls))) as threads:
        return dict(zip(urls, threads.map(one, urls.values()), strict=True))


def ask_prometheus(
    server: str, label: str, names: Sequence[str], timeout_s: float = _TIMEOUT_S
) -> Mapping[str, Reading | None]:
    """Ask a Prometheus server for all replicas; `names` are what `label` says of each.

    Raises:
        HostError: the server does not answer.
    """
    url = f"{server.rstrip('/')}/api/v1/query?{urlencode({'query': _QUERY})}"
    found = parse_answer(fetch(url, timeout_s), place=server, label=label)
    return {name: read_replica(found.get(name, ())) for name in names}


def ask_all(server: str, label: str, select: Mapping[str, str], timeout_s: float = _TIMEOUT_S) -> Mapping[str, Reading]:
    """Ask a Prometheus server for every replica that it knows whose labels are as in `select`.

    Raises:
        HostError: the server does not answer.
    """
    conditions = "".join(f",{name}={json.dumps(value)}" for name, value in select.items())
    url = f"{server.rstrip('/')}/api/v1/query?{urlencode({'query': _QUERY[:-1] + conditions + '}'})}"
    found = parse_answer(fetch(url, timeout_s), place=server, label=label)
    read = {name: read_replica(samples) for name, samples in found.items()}
    return {name: one for name, one in read.items() if one is not None}


def fetch(url: str, timeout_s: float) -> str:
    """Return what stands at a URL.

    Raises:
        HostError: nobody answers, or something else than 200.
    """
    parts = urlsplit(url)
    kinds: dict[str, Callable[..., http.client.HTTPConnection]] = {
        "http": http.client.HTTPConnection,
        "https": http.client.HTTPSConnection,
    }
    if parts.scheme not in kinds or not parts.hostname:
        raise HostError(f'expected an http or https URL, got "{url}"', place=url)
    connection = kinds[parts.scheme](parts.hostname, parts.port, timeout=timeout_s)
    try:
        connection.request("GET", f"{parts.path or '/'}{'?' if parts.query else ''}{parts.query}")
        reply = connection.getresponse()
        data = reply.read(MOST_BYTES + 1)
    except (OSError, http.client.HTTPException) as error:
        raise HostError(f"no answer: {getattr(error, 'strerror', None) or error}", place=url) from error
    finally:
        connection.close()
    if reply.status != http.client.OK:
        raise HostError(f"expected status 200, got {reply.status}", place=url)
    if len(data) > MOST_BYTES:
        raise HostError(f"expected at most {MOST_BYTES} bytes of metrics", place=url)
    return data.decode("utf-8", "replace")
