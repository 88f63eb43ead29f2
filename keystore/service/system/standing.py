"""What clients and user interfaces ask of a cluster; here there is one host, and the answers say so."""

from __future__ import annotations

from keystore import moment
from keystore.engines.request import RequestError
from keystore.service import engines
from keystore.service.call import Call
from keystore.service.core import VERSION
from keystore.service.message import Response


def step_down(_call: Call, _rest: str) -> Response:
    """Do nothing: nobody else could take over."""
    return Response()


def nodes(_call: Call, _rest: str) -> Response:
    """Tell of no other nodes."""
    return Response(data={"nodes": None})


def replication(_call: Call, _rest: str) -> Response:
    """Tell that nothing is replicated."""
    return Response(data={"dr": {"mode": "disabled"}, "performance": {"mode": "disabled"}})


def version_history(call: Call, _rest: str) -> Response:
    """Tell the one version that is known."""
    made = moment.stamp(call.core.seal.created)
    found = {VERSION: {"build_date": None, "previous_version": None, "timestamp_installed": made}}
    return Response(data={"keys": [VERSION], "key_info": found})


def feature_flags(_call: Call, _rest: str) -> Response:
    """Tell a user interface of no flags."""
    return Response(plain={"feature_flags": None})


def catalog(_call: Call, rest: str) -> Response:
    """Tell what can be mounted."""
    secret = sorted({"kv", *engines.ENGINES} - {"kv1", "kv2"})
    found = {"auth": sorted(engines.LOGINS), "database": [], "secret": secret}
    if not rest:
        return Response(data=found)
    if rest not in found:
        raise RequestError(f"invalid plugin type {rest!r}")
    return Response(data={"keys": found[rest]})


def backup(_call: Call, _rest: str) -> Response:
    """Tell that no shares were backed up: that is done for PGP keys alone, which are not there."""
    raise RequestError("no backed-up keys found")


def tidy_leases(_call: Call, _rest: str) -> Response:
    """Tell that there is nothing to do."""
    return Response(status=202, warnings=["nothing to tidy: what ends is taken away by itself"])


def cors(_call: Call, _rest: str) -> Response:
    """Tell that no other site's pages may ask."""
    return Response(data={"enabled": False, "allowed_origins": [], "allowed_headers": []})


def audited_headers(_call: Call, _rest: str) -> Response:
    """Tell that no header of a request is in the audit."""
    return Response(data={"headers": {}})


def quota_config(_call: Call, _rest: str) -> Response:
    """Tell how quotas behave."""
    return Response(
        data={
            "enable_rate_limit_audit_logging": False,
            "enable_rate_limit_response_headers": False,
            "rate_limit_exempt_paths": [],
        }
    )
