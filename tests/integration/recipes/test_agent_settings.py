"""What an agent service decides before its framework is imported, with any interpreter."""

import importlib
import sys

import pytest

SCRIPT = "shared/agent/agent.py"
SECRET = "sk-very-secret"


@pytest.fixture
def load(recipes, monkeypatch):
    """Import a module of the service, and forget it afterwards."""
    monkeypatch.syspath_prepend(recipes / "shared/agent")
    for name in ("settings", "metrics", "conversation"):
        monkeypatch.delitem(sys.modules, name, raising=False)
    return importlib.import_module


@pytest.fixture
def sound(tmp_path):
    return {"MODEL_NAME": "m", "STATE_DIR": str(tmp_path)}


@pytest.mark.parametrize(
    ("env", "message"),
    [
        ({"MODEL_NAME": ""}, "MODEL_NAME: expected the name the model endpoint serves, got nothing"),
        ({"PORT": "x"}, "PORT: expected a whole number from 1 to 65535, got 'x'"),
        ({"HOST": "::"}, "HOST: '::' is not a loopback address; set ALLOW_NON_LOOPBACK=1 to bind it"),
        ({"MODEL_BASE_URL": "ftp://h"}, "MODEL_BASE_URL: expected http://HOST[:PORT]/PATH, got 'ftp://h'"),
        (
            {"MODEL_BASE_URL": "http://u:p@h/v1"},
            "MODEL_BASE_URL: expected no credentials in the URL; use MODEL_API_KEY_FILE",
        ),
        (
            {"MODEL_API_KEY_FILE": "/nonexistent/key"},
            "model API key: cannot read '/nonexistent/key': No such file or directory",
        ),
        (
            {"MODEL_API_KEY": "a\nb"},
            "model API key: expected printable ASCII without spaces in 'MODEL_API_KEY'",
        ),
        (
            {"STATE_DIR": ""},
            "STATE_DIR: expected a directory for sessions (or STATE_DIRECTORY), got nothing",
        ),
        ({"STATE_DIR": "here"}, "STATE_DIR: expected an absolute path, got 'here'"),
        ({"CORS_ORIGINS": "portal"}, "CORS_ORIGINS: expected scheme://host[:port], got 'portal'"),
        ({"MAX_CONCURRENT": "0"}, "MAX_CONCURRENT: expected a whole number from 1 to 10000, got '0'"),
    ],
)
def test_refuses_bad_settings_in_one_line(refuse, sound, env, message):
    assert refuse(SCRIPT, {**sound, **env}) == (2, f"error: {message}\n")


def test_has_safe_defaults_and_hides_the_key(load, sound):
    settings = load("settings").read_settings({**sound, "MODEL_API_KEY": SECRET})
    assert (settings.host, settings.port) == ("127.0.0.1", 8090)
    assert settings.model_base_url == "http://127.0.0.1:8000/v1"
    assert settings.model_api_key == SECRET
    assert SECRET not in repr(settings)


def test_takes_the_key_from_a_file_then_a_credential_then_a_variable(load, sound, tmp_path):
    read = load("settings").read_settings
    (tmp_path / "model-api-key").write_text("from-credential\n")
    (tmp_path / "file").write_text("from-file\n")
    env = {**sound, "MODEL_API_KEY": "from-variable"}
    assert read(env).model_api_key == "from-variable"
    env["CREDENTIALS_DIRECTORY"] = str(tmp_path)
    assert read(env).model_api_key == "from-credential"
    env["MODEL_API_KEY_FILE"] = str(tmp_path / "file")
    assert read(env).model_api_key == "from-file"


def test_takes_the_first_state_directory_of_systemd(load, tmp_path):
    env = {"MODEL_NAME": "m", "STATE_DIRECTORY": f"{tmp_path}/a:{tmp_path}/b"}
    assert load("settings").read_settings(env).state_dir == tmp_path / "a"


def test_binds_elsewhere_only_when_told_to(load, sound):
    env = {**sound, "HOST": "0.0.0.0", "ALLOW_NON_LOOPBACK": "1"}
    assert load("settings").read_settings(env).host == "0.0.0.0"


def test_says_that_the_port_is_taken_before_importing_anything(start, refuse, sound):
    port = start("hello/service/hello.py").port
    expected = f"error: cannot bind 127.0.0.1 port {port}: Address already in use\n"
    assert refuse(SCRIPT, {**sound, "PORT": str(port)}) == (1, expected)


COMPLETED = (
    b'data: {"object":"response","status":"in_progress"}\n\ndata: {"object":"response","status":"completed"}\n\n'
)
QUOTED = b'data: {"object":"content","text":"{\\"object\\":\\"response\\",\\"status\\":\\"failed\\"}"}\n\n'


@pytest.mark.parametrize(
    ("stream", "outcome"),
    [
        (b"", "cancelled"),
        (COMPLETED, "completed"),
        (COMPLETED[:-1], "cancelled"),
        (QUOTED, "cancelled"),
        (QUOTED + COMPLETED, "completed"),
        (b'data: {"object":"response","status":"failed","error":{"code":"500"}}\n\n', "failed"),
        (b'data: {"error": "no runner"}\n\n', "failed"),
        (b'data: {"error", "object":"response"\n\n', "cancelled"),
    ],
)
@pytest.mark.parametrize("size", [1, 7, 10_000])
def test_reads_the_outcome_however_the_stream_is_cut(load, stream, outcome, size):
    watched = load("conversation").Outcome()
    for start in range(0, len(stream), size):
        watched.feed(stream[start : start + size])
    assert watched.name == outcome


def test_forwards_known_fields_alone_and_completes_the_ids(load):
    parse = load("conversation").parse_request
    body = (
        b'{"session_id":"s","tools":["x"],"input":[{"role":"user","metadata":{"original_name":"system"},'
        b'"content":[{"type":"text","text":"\\ud800","x":1}]}]}'
    )
    assert parse(body) == {
        "session_id": "s",
        "user_id": "s",
        "input": [{"role": "user", "type": "message", "content": [{"type": "text", "text": "?"}]}],
    }
    anonymous = b'{"input":[{"role":"user","content":[{"type":"text","text":"x"}]}]}'
    assert parse(anonymous)["session_id"] != parse(anonymous)["session_id"]


def test_renders_labels_escaped_and_buckets_cumulative(load):
    metrics = load("metrics").Metrics(4)
    metrics.requests.add("GET", 'a"\\\n', "200")
    metrics.duration.observe("completed", 0.3)
    lines = metrics.render().splitlines()
    assert 'agent_http_requests_total{method="GET",route="a\\"\\\\\\n",status="200"} 1' in lines
    assert 'agent_conversation_duration_seconds_bucket{outcome="completed",le="0.25"} 0' in lines
    assert 'agent_conversation_duration_seconds_bucket{outcome="completed",le="0.5"} 1' in lines
    assert 'agent_conversation_duration_seconds_bucket{outcome="completed",le="+Inf"} 1' in lines
    assert 'agent_conversations_total{outcome="failed"} 0' in lines
    assert "agent_conversations_limit 4" in lines
