"""Registries: what stands behind a reference, over which host, and by whose leave.

Source: OCI Distribution Specification 1.1; Docker Registry HTTP API V2, token authentication.
"""

from __future__ import annotations

import hashlib
import ipaddress
import json
import logging
import os
import re
import threading
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from urllib.parse import urlencode, urlsplit

from oras.defaults import registry as hub

from bundler.credentials import Credential, find_credential
from bundler.errors import FerryError, HostError, IntegrityError, ResolveError, TransferError
from bundler.model.image import INDEXES, MANIFEST_MAX_BYTES, MANIFESTS, LockedBlob
from bundler.model.reference import HUB, Reference
from bundler.transport import Headers, Refusal, Transport

MIRRORS = "FERRY_REGISTRY_MIRRORS"
INSECURE = "FERRY_INSECURE_REGISTRIES"
_ACCEPT = ", ".join((*INDEXES, *MANIFESTS))
_HUB_API = hub.default_v2_registry["host"]
_TOKEN_MAX_BYTES = 1024 * 1024
_URL = re.compile("(?P<base>https?://[^/]+/v2/.+)/(manifests|blobs)/[^/]+")
_BASE = re.compile("https?://(?P<host>[^/]+)/v2/(?P<repository>.+)")
_CHALLENGE = re.compile(r"(?:^|,)\s*(Bearer|Basic)\s+", re.IGNORECASE)
_PARAMETER = re.compile(r'([a-z_]+)="([^"]*)"|([a-z_]+)=([^\s",]+)', re.IGNORECASE)
_MIRROR = re.compile(r"([0-9a-z.-]+|\[[0-9a-f:]+\])(:[0-9]+)?(/[0-9a-z._-]+)*")
_log = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True, slots=True)
class Found:
    """A document of a registry: its bytes as they came, the digest of these bytes, and what the server calls them."""

    data: bytes
    sha256: str
    content_type: str


class Registry:
    """Reads from registries and their mirrors; keeps one authorization for each repository, for all threads.

    With `pushing` it asks for leave to write too, and to read in the repositories `sources` of the same registry.
    """

    def __init__(self, transport: Transport, *, pushing: bool = False, sources: Iterable[str] = ()) -> None:
        self._transport = transport
        self._pushing = pushing
        self._sources = tuple(sorted(sources))
        self._mirrors = read_mirrors(os.environ)
        self._insecure = frozenset(_words(os.environ, INSECURE))
        self._lock = threading.Lock()
        self._schemes: dict[str, str] = {}
        self._given: dict[str, str] = {}

    def urls(self, reference: Reference, kind: str, what: str) -> list[str]:
        """Return where something of an image is, mirrors first; `kind` is `manifests` or `blobs`."""
        places = [f"{mirror}/{reference.repository}" for mirror in self._mirrors.get(reference.host, ())]
        bases = [*map(self._base, places), self.base(reference.host, reference.repository)]
        return [f"{base}/{kind}/{what}" for base in bases]

    def base(self, host: str, repository: str) -> str:
        """Return the URL of a repository itself, of which everything in it is below; no mirror is asked."""
        return self._base(f"{_HUB_API if host == HUB else host}/{repository}")

    def manifest(self, reference: Reference, blob: LockedBlob | None = None) -> Found:
        """Return what a reference stands for, or the manifest `blob` of its index.

        Raises:
            ResolveError: no registry has it, or it is too large.
            TransferError: no registry could be read, or we may not.
            IntegrityError: it is not what its digest says.
        """
        sha256 = blob.sha256 if blob else reference.sha256
        found = self._read(reference, "manifests", f"sha256:{sha256}" if blob else reference.what, MANIFEST_MAX_BYTES)
        return _checked(found, reference, sha256, blob.size if blob else None)

    def config(self, reference: Reference, blob: LockedBlob) -> bytes:
        """Return the configuration of an image.

        Raises:
            ResolveError, TransferError, IntegrityError: as for a manifest.
        """
        return self.blob(reference, blob, limit=MANIFEST_MAX_BYTES)

    def blob(self, reference: Reference, blob: LockedBlob, *, limit: int) -> bytes:
        """Return a blob of at most `limit` bytes from the repository of a reference.

        Raises:
            ResolveError, TransferError, IntegrityError: as for a manifest.
        """
        found = self._read(reference, "blobs", f"sha256:{blob.sha256}", limit)
        return _checked(found, reference, blob.sha256, blob.size).data

    def _read(self, reference: Reference, kind: str, what: str, limit: int) -> Found:
        """Read from the first place that has it; what the last one says decides which error it is."""
        reasons: list[str] = []
        failure: FerryError | None = None
        urls = self._transport.likely_first(self.urls(reference, kind, what))
        for url in urls:
            try:
                reply = self._transport.read(url, limit=limit, headers=self.headers, patient=url == urls[-1])
            except TransferError as error:
                failure = error
                reasons.append(str(error))
                continue
            if reply.status == 200 and len(reply.body) <= limit:
                content_type = reply.headers.get("content-type", "").partition(";")[0].strip()
                return Found(data=reply.body, sha256=hashlib.sha256(reply.body).hexdigest(), content_type=content_type)
            failure = None
            large = f"expected at most {limit} bytes, got more"
            reasons.append(f"{url}: {large if reply.status == 200 else f'answered {reply.status}'}")
        kind_of_error = TransferError if failure else ResolveError
        hint = failure.hint if failure else "check the name, the tag and that the registry has it"
        raise kind_of_error("no registry gives the image: " + "; ".join(reasons), place=str(reference), hint=hint)

    def headers(self, url: str, refusal: Refusal | None) -> Mapping[str, str]:
        """Return what a request to a registry carries; log in when it was refused.

        Raises:
            TransferError: we have nothing by which it would let us in.
        """
        match = _URL.fullmatch(url)
        assert match is not None
        accept = {"Accept": _ACCEPT} if "/manifests/" in url else {}
        return {**accept, **self._authorized(match["base"], refusal)}

    def headers_of(self, base: str) -> Headers:
        """Return what requests carry of which the registry itself chooses the URL, on behalf of a repository."""
        return lambda url, refusal: self._authorized(base, refusal)

    def _authorized(self, base: str, refusal: Refusal | None) -> Mapping[str, str]:
        match = _BASE.fullmatch(base)
        assert match is not None
        with self._lock:
            given = self._given.get(base, "")
            # Another thread may have logged in since this request went out.
            if refusal is not None and refusal.given.get("Authorization", "") == given:
                given = self._given[base] = self._log_in(match["host"], match["repository"], refusal)
        return {"Authorization": given} if given else {}

    def _log_in(self, host: str, repository: str, refusal: Refusal) -> str:
        name = HUB if host == _HUB_API else host
        scheme, parameters = parse_challenge(refusal.challenge)
        credential = find_credential(name)
        if refusal.status == 403 or refusal.count > 2 or not scheme:
            raise _denied(name, credential, f"refuses access (answered {refusal.status})")
        if scheme == "bearer":
            plain = self._schemes[host] == "http"
            scopes = self._scopes(repository, parameters.get("scope", ""))
            return "Bearer " + self._token(name, parameters, scopes, credential, plain=plain)
        if credential is None or not credential.user or refusal.given.get("Authorization") == credential.basic:
            raise _denied(name, credential, "asks for a user and a password")
        return credential.basic

    def _scopes(self, repository: str, asked: str) -> list[str]:
        """Return what a token is to allow; a registry asks only for what the one request at hand needs."""
        if not self._pushing:
            return [asked or f"repository:{repository}:pull"]
        sources = [f"repository:{one}:pull" for one in self._sources if one != repository]
        return [f"repository:{repository}:pull,push", *sources]

    def _token(
        self, host: str, asked: Mapping[str, str], scopes: list[str], credential: Credential | None, *, plain: bool
    ) -> str:
        """Get a token for what a challenge asks; anonymously without a credential."""
        realm = asked.get("realm", "")
        if not realm.startswith(("https://", "http://") if plain else "https://"):
            raise TransferError(f'expected its token server at an https URL, got "{realm}"', place=host)
        query = {"service": asked["service"]} if "service" in asked else {}
        if credential is not None and not credential.user:
            form = {**query, "scope": " ".join(scopes), "grant_type": "refresh_token", "client_id": "ferry"}
            form["refresh_token"] = credential.secret
            reply = self._transport.read(realm, limit=_TOKEN_MAX_BYTES, form=form)
        else:
            url = f"{realm}{'&' if '?' in realm else '?'}{urlencode({**query, 'scope': scopes}, doseq=True)}"
            reply = self._transport.read(url, limit=_TOKEN_MAX_BYTES, headers=_basic(host, credential))
        if reply.status != 200:
            raise _no_token(host, credential, reply.status)
        try:
            document = json.loads(reply.body)
            token = document.get("token") or document["access_token"]
        except (ValueError, AttributeError, KeyError, RecursionError):
            token = None
        if not isinstance(token, str) or not re.fullmatch(r"[\x21-\x7e]+", token):
            raise TransferError("expected a token from its token server, got something else", place=host)
        return token

    def _base(self, place: str) -> str:
        """Return the URL of a repository `HOST/NAME`: plain http only where that is allowed and TLS is not spoken."""
        host, _, repository = place.partition("/")
        with self._lock:
            if host not in self._schemes:
                plain = self._may_be_plain(host) and not self._transport.speaks_tls(host)
                self._schemes[host] = "http" if plain else "https"
                if plain and host in self._insecure:
                    _log.warning("warning: %s is spoken to over plain http, as %s says", host, INSECURE)
        return f"{self._schemes[host]}://{host}/v2/{repository}"

    def _may_be_plain(self, host: str) -> bool:
        return host in self._insecure or _is_loopback(urlsplit(f"//{host}").hostname or "")


def _is_loopback(name: str) -> bool:
    try:
        return name == "localhost" or ipaddress.ip_address(name).is_loopback
    except ValueError:
        return False


def _basic(host: str, credential: Credential | None) -> Headers:
    def headers(url: str, refusal: Refusal | None) -> Mapping[str, str]:
        if refusal is not None:
            raise _no_token(host, credential, refusal.status)
        return {"Authorization": credential.basic} if credential else {}

    return headers


def _no_token(host: str, credential: Credential | None, status: int) -> TransferError:
    return _denied(host, credential, f"gives no token (its token server answered {status})")


def _denied(host: str, credential: Credential | None, why: str) -> TransferError:
    who = f'as "{credential.user or "token"}"' if credential else "without a login"
    hint = f"check the name; log in with: docker login {host} (or podman login --authfile, named in REGISTRY_AUTH_FILE)"
    return TransferError(f"the registry {why}, asked {who}", place=host, hint=hint)


def _checked(found: Found, reference: Reference, sha256: str, size: int | None) -> Found:
    got = len(found.data)
    if (sha256 and found.sha256 != sha256) or (size is not None and got != size):
        expected = f"{size} bytes with sha256" if size is not None else "sha256"
        raise IntegrityError(
            f"expected {expected} {sha256}, got {got} bytes with {found.sha256}",
            place=str(reference),
            hint="the registry or its mirror serves other bytes than were asked for: stop",
        )
    return found


def parse_challenge(text: str) -> tuple[str, dict[str, str]]:
    """Return the first scheme of a `WWW-Authenticate` that Ferry knows, in lower case, and its parameters.

    Source: RFC 9110, 11.6.1; several challenges may stand in one field.
    """
    match = _CHALLENGE.search(text)
    if match is None:
        return "", {}
    end = re.search(r",\s*[A-Za-z]+\s+[a-z_]+=", text[match.end() :])
    rest = text[match.end() : match.end() + end.start()] if end else text[match.end() :]
    return match[1].lower(), {(m[1] or m[3]).lower(): m[2] or m[4] or "" for m in _PARAMETER.finditer(rest)}


def read_mirrors(environment: Mapping[str, str]) -> dict[str, tuple[str, ...]]:
    """Read `HOST=MIRROR[/PREFIX]`, separated by commas or spaces; the mirrors of a host in their order.

    Raises:
        HostError: it says something else.
    """
    mirrors: dict[str, tuple[str, ...]] = {}
    for word in _words(environment, MIRRORS):
        host, equals, mirror = word.partition("=")
        if not (host and equals) or not _MIRROR.fullmatch(mirror):
            raise HostError(f'expected HOST=MIRROR[/PREFIX], got "{word}"', place=MIRRORS)
        mirrors[host] = (*mirrors.get(host, ()), mirror)
    return mirrors


def _words(environment: Mapping[str, str], name: str) -> list[str]:
    return [word for word in re.split(r"[,\s]+", environment.get(name, "")) if word]
