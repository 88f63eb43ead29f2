"""The agent service's settings, read from the environment alone."""

import ipaddress
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

DEFAULT_PROMPT = "You are a helpful assistant. Answer in the language of the question."
CREDENTIAL = "model-api-key"


class SettingsError(Exception):
    """The environment asks for something the service cannot do."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Settings:
    """What one process serves, where, and with which model."""

    host: str
    port: int
    model_base_url: str
    model_name: str
    model_api_key: str = field(repr=False)
    model_timeout_s: int
    state_dir: Path
    sys_prompt: str
    cors_origins: tuple[str, ...]
    max_body_bytes: int
    max_concurrent: int


def read_settings(env: Mapping[str, str]) -> Settings:
    """Read and check every setting.

    Raises:
        SettingsError: naming the variable, what is expected and what was given.
    """
    return Settings(
        host=_host(env),
        port=_integer(env, "PORT", 8090, low=1, high=65535),
        model_base_url=_base_url(env),
        model_name=_model_name(env),
        model_api_key=_api_key(env),
        model_timeout_s=_integer(env, "MODEL_TIMEOUT_S", 120, low=1, high=3600),
        state_dir=_state_dir(env),
        sys_prompt=env.get("SYS_PROMPT", "").strip() or DEFAULT_PROMPT,
        cors_origins=_origins(env),
        max_body_bytes=_integer(env, "MAX_BODY_BYTES", 1 << 20, low=1 << 10, high=1 << 28),
        max_concurrent=_integer(env, "MAX_CONCURRENT", 64, low=1, high=10000),
    )


def prepare_environment(settings: Settings) -> None:
    """Set what the libraries read at import, and take the key out of what a child would inherit."""
    os.environ.pop("MODEL_API_KEY", None)
    os.environ["HOST"] = settings.host
    os.environ["PORT"] = str(settings.port)
    # Libraries ask for a home directory or make one in it when they are imported (AgentScope's runtime, dashscope):
    # service users have none, or one that they cannot write.
    os.environ["HOME"] = str(settings.state_dir)
    os.environ.setdefault("OTEL_SERVICE_NAME", "agent")
    # Without this tiktoken downloads its tables; an empty directory makes it fail at once and say so.
    os.environ.setdefault("TIKTOKEN_CACHE_DIR", str(settings.state_dir / "tiktoken"))


def _integer(env: Mapping[str, str], name: str, default: int, *, low: int, high: int) -> int:
    text = env.get(name, "").strip()
    if not text:
        return default
    if not re.fullmatch(r"[0-9]{1,10}", text) or not low <= int(text) <= high:
        raise SettingsError(f"{name}: expected a whole number from {low} to {high}, got {text!r}")
    return int(text)


def _host(env: Mapping[str, str]) -> str:
    host = env.get("HOST", "").strip() or "127.0.0.1"
    if host == "localhost":
        return host
    try:
        loopback = ipaddress.ip_address(host).is_loopback
    except ValueError:
        raise SettingsError(f"HOST: expected an IP address or localhost, got {host!r}") from None
    if not loopback and env.get("ALLOW_NON_LOOPBACK", "") != "1":
        raise SettingsError(f"HOST: {host!r} is not a loopback address; set ALLOW_NON_LOOPBACK=1 to bind it")
    return host


def _base_url(env: Mapping[str, str]) -> str:
    url = env.get("MODEL_BASE_URL", "").strip() or "http://127.0.0.1:8000/v1"
    try:
        parts = urlsplit(url)
        sound = parts.scheme in ("http", "https") and parts.hostname and parts.port != 0
    except ValueError:
        raise SettingsError("MODEL_BASE_URL: expected http://HOST[:PORT]/PATH, got a malformed URL") from None
    if parts.username is not None or parts.password is not None:
        raise SettingsError("MODEL_BASE_URL: expected no credentials in the URL; use MODEL_API_KEY_FILE")
    if not sound or parts.query or parts.fragment:
        raise SettingsError(f"MODEL_BASE_URL: expected http://HOST[:PORT]/PATH, got {url!r}")
    return url.rstrip("/")


def _model_name(env: Mapping[str, str]) -> str:
    name = env.get("MODEL_NAME", "").strip()
    if not name:
        raise SettingsError("MODEL_NAME: expected the name the model endpoint serves, got nothing")
    return name


def _api_key(env: Mapping[str, str]) -> str:
    path = _key_file(env)
    if path is None:
        source, key = "MODEL_API_KEY", env.get("MODEL_API_KEY", "").strip() or "none"
    else:
        source = str(path)
        try:
            key = path.read_text(encoding="utf-8").strip()
        except (OSError, UnicodeDecodeError) as error:
            raise SettingsError(f"model API key: cannot read {source!r}: {_why(error)}") from None
    if not re.fullmatch(r"[\x21-\x7e]+", key):
        raise SettingsError(f"model API key: expected printable ASCII without spaces in {source!r}")
    return key


def _key_file(env: Mapping[str, str]) -> Path | None:
    if named := env.get("MODEL_API_KEY_FILE", "").strip():
        return Path(named)
    if directory := env.get("CREDENTIALS_DIRECTORY", "").strip():
        credential = Path(directory) / CREDENTIAL
        return credential if credential.exists() else None
    return None


def _state_dir(env: Mapping[str, str]) -> Path:
    # systemd separates several state directories with colons; the first is ours.
    text = env.get("STATE_DIR", "").strip() or env.get("STATE_DIRECTORY", "").split(":")[0].strip()
    if not text:
        raise SettingsError("STATE_DIR: expected a directory for sessions (or STATE_DIRECTORY), got nothing")
    path = Path(text)
    if not path.is_absolute():
        raise SettingsError(f"STATE_DIR: expected an absolute path, got {text!r}")
    try:
        path.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise SettingsError(f"STATE_DIR: cannot create {text!r}: {_why(error)}") from None
    if not os.access(path, os.R_OK | os.W_OK | os.X_OK):
        raise SettingsError(f"STATE_DIR: {text!r} is not writable by user {os.geteuid()}")
    return path


def _origins(env: Mapping[str, str]) -> tuple[str, ...]:
    origins = tuple(part.strip() for part in env.get("CORS_ORIGINS", "").split(",") if part.strip())
    for origin in origins:
        if origin != "*" and not re.fullmatch(r"https?://[A-Za-z0-9.\-\[\]:]+", origin):
            raise SettingsError(f"CORS_ORIGINS: expected scheme://host[:port], got {origin!r}")
    return origins


def _why(error: Exception) -> str:
    return getattr(error, "strerror", None) or "not UTF-8 text"
