"""The agent service beside the stand-in model, on the Python and the wheels that the recipe locks."""

import json
import os
import socket
import threading
import time
from pathlib import Path

import pytest

from bundler.cli.make import store_directory
from bundler.compose import Composer, builder_platform
from bundler.fetch import fetch
from bundler.load import read_lock
from bundler.model.progress import Silent
from bundler.store import Store

RECIPES = Path(__file__).parents[3] / "recipes"

SCRIPT = "agentscope/service/agent.py"

pytestmark = pytest.mark.network


@pytest.fixture(scope="module")
def python(tmp_path_factory):
    """Return a Python with AgentScope: the one of FERRY_AGENTSCOPE_PYTHON, or one made from the lock."""
    if given := os.environ.get("FERRY_AGENTSCOPE_PYTHON"):
        return given
    directory = RECIPES / "agentscope"
    lock, platform, store = read_lock(directory), builder_platform(), Store(store_directory())
    fetch(lock, platform, store, directory=directory, progress=Silent())
    composer = Composer(lock, platform, store, tmp_path_factory.mktemp("compose"))
    wheels = [(name, descriptor) for _, name, descriptor in composer.build_wheels()]
    root = composer.assemble([composer.runtime(), composer.wheels(wheels)])
    return str(root / f"usr/bin/python{lock.python_version}")


@pytest.fixture(scope="module")
def state(tmp_path_factory):
    return tmp_path_factory.mktemp("state")


@pytest.fixture(scope="module")
def model(start):
    return start("agentscope/service/standin_model.py")


@pytest.fixture(scope="module")
def agent(start, model, state, python):
    env = {
        "MODEL_NAME": "standin",
        "MODEL_BASE_URL": f"http://127.0.0.1:{model.port}/v1",
        "AS_STATE_DIR": str(state),
        "MAX_BODY_BYTES": "20000",
        "MAX_CONCURRENT": "8",
    }
    return start(SCRIPT, until="/ready", timeout_s=120, env=env, python=python)


def ask(text="hello", **more):
    return {"input": [{"role": "user", "content": [{"type": "text", "text": text}]}], **more}


def metric(agent, name):
    lines = agent.get("/metrics").body.decode().splitlines()
    return float(next(line.rsplit(" ", 1)[1] for line in lines if line.startswith(name)))


def test_converses_and_remembers(agent, state):
    first = agent.post("/process", ask(session_id="s1", user_id="u1"))
    assert (first.status, first.headers["content-type"]) == (200, "text/event-stream; charset=utf-8")
    final = first.events()[-1]
    assert (final["object"], final["status"], final["session_id"]) == ("response", "completed", "s1")
    assert final["output"][0]["content"][0]["text"].endswith("conversation: 2. You asked: hello")
    assert final["usage"]["output_tokens"] > 0
    second = agent.post("/process", ask("again", session_id="s1", user_id="u1")).events()[-1]
    assert second["output"][0]["content"][0]["text"].endswith("conversation: 4. You asked: again")
    assert [path.name for path in state.glob("sessions/u1/*")] == ["s1.json"]


def test_answers_conversations_at_once_with_and_without_ids(agent):
    done = []
    threads = [
        threading.Thread(target=lambda: done.append(agent.post("/process", ask()).events()[-1]["status"]))
        for _ in range(6)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert done == ["completed"] * 6


def test_is_alive_and_ready(agent):
    assert agent.get("/health").json()["status"] == "healthy"
    assert (agent.get("/ready").status, agent.get("/ready").json()) == (200, {"status": "ready"})


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("POST", "/shutdown"),
        ("POST", "/admin/shutdown"),
        ("GET", "/admin/status"),
        ("POST", "/a2a"),
        ("POST", "/ag-ui"),
        ("POST", "/compatible-mode/v1/responses"),
        ("GET", "/.well-known/agent-card.json"),
        ("GET", "/openapi.json"),
        ("GET", "/docs"),
        ("POST", "//shutdown"),
        ("POST", "/shutdown/"),
        ("POST", "/%73hutdown"),
    ],
)
def test_closes_every_other_route(agent, method, path):
    assert agent.request(method, path, {} if method == "POST" else None).status == 404


@pytest.mark.parametrize("name", ["session_id", "user_id"])
@pytest.mark.parametrize("value", ["../x", "a/b", ".hidden", "a\x00b", "x" * 129, "a:b", 7, ["a"]])
def test_refuses_ids_that_are_no_file_names(agent, state, name, value):
    answer = agent.post("/process", ask(**{name: value}))
    expected = f"{name}: expected 1 to 128 of A-Z a-z 0-9 . _ @ - beginning with a letter or digit"
    assert (answer.status, answer.json()) == (400, {"error": expected})
    assert not [path for path in state.parent.rglob("x*.json") if state not in path.parents]


@pytest.mark.parametrize(
    ("body", "error"),
    [
        (b"{", "body: expected JSON"),
        ([], "body: expected a JSON object"),
        ({"input": []}, "input: expected a list of messages"),
        ({"input": [{"role": "system"}]}, "input[0].role: expected user or assistant"),
        ({"input": [{"role": "user", "type": "plugin_call"}]}, "input[0].type: expected message"),
        ({"input": [{"role": "user", "content": "x"}]}, "input[0].content: expected a list of texts"),
        (
            {"input": [{"role": "user", "content": [{"type": "image", "image_url": "file:///a.png"}]}]},
            "input[0].content[0].type: expected text, the only content this service takes",
        ),
    ],
)
def test_refuses_what_is_not_a_conversation_of_texts(agent, body, error):
    answer = agent.post("/process", body)
    assert (answer.status, answer.json()) == (400, {"error": error})


def test_holds_requests_to_a_size_and_a_type(agent):
    large = agent.post("/process", ask("x" * 30000))
    assert (large.status, large.json()) == (413, {"error": "body: expected at most 20000 bytes"})
    chunked = agent.request("POST", "/process", iter_chunks(b"x" * 30000), {"transfer-encoding": "chunked"})
    assert chunked.status == 413
    assert agent.post("/process", ask(), {"content-type": "text/plain"}).status == 415


def iter_chunks(data):
    return b"%x\r\n%s\r\n0\r\n\r\n" % (len(data), data)


def test_tags_answers_with_a_request_id_and_no_cors(agent):
    answer = agent.request("GET", "/health", None, {"x-request-id": "r-1", "origin": "http://elsewhere"})
    assert answer.headers["x-request-id"] == "r-1"
    assert "access-control-allow-origin" not in answer.headers
    assert len(agent.request("GET", "/health", None, {"x-request-id": "a b"}).headers["x-request-id"]) == 32


def test_counts_requests_outcomes_and_tokens(agent):
    completed = 'agent_conversations_total{outcome="completed"}'
    before, tokens = metric(agent, completed), metric(agent, 'agent_model_tokens_total{kind="output"}')
    agent.post("/process", ask())
    assert metric(agent, completed) == before + 1
    assert metric(agent, 'agent_model_tokens_total{kind="output"}') > tokens
    assert metric(agent, "agent_model_up") == 1
    assert metric(agent, "agent_conversations_in_flight") == 0
    assert metric(agent, "process_resident_memory_bytes") > 1e6


@pytest.fixture(scope="module")
def slow(start, tmp_path_factory, python):
    """An agent for two conversations at once, over a slow model."""
    model = start("agentscope/service/standin_model.py", env={"TOKEN_DELAY_MS": "100"})
    env = {
        "MODEL_NAME": "standin",
        "MODEL_BASE_URL": f"http://127.0.0.1:{model.port}/v1",
        "MODEL_API_KEY": "sk-very-secret",
        "AS_STATE_DIR": str(tmp_path_factory.mktemp("slow")),
        "MAX_CONCURRENT": "2",
        "CORS_ORIGINS": "https://portal.example",
    }
    return start(SCRIPT, until="/ready", timeout_s=120, env=env, python=python), model


def begin(agent, **more):
    """Begin a conversation and return its connection once the answer has started."""
    body = json.dumps(ask(**more)).encode()
    head = b"POST /process HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n"
    client = socket.create_connection(("127.0.0.1", agent.port), timeout=10)
    client.sendall(head % len(body) + body)
    assert client.recv(4096).startswith(b"HTTP/1.1 200")
    return client


def test_limits_what_runs_at_once_frees_what_is_left_and_tells_a_dead_model(slow):
    agent, model = slow
    one, two = begin(agent, session_id="one", user_id="u"), begin(agent)
    over = agent.post("/process", ask())
    assert (over.status, over.headers["retry-after"]) == (503, "1")
    assert over.json() == {"error": "2 conversations are being answered; try again"}
    assert agent.get("/health").status == 200
    two.close()
    await_metric(agent, 'agent_conversations_total{outcome="cancelled"}', 1)
    same = agent.post("/process", ask(session_id="one", user_id="u"))
    assert (same.status, same.json()) == (
        409,
        {"error": "session 'one' is being answered; wait for its end"},
    )
    one.close()
    await_metric(agent, "agent_conversations_in_flight", 0)

    allowed = agent.request("GET", "/health", None, {"origin": "https://portal.example"})
    assert allowed.headers["access-control-allow-origin"] == "https://portal.example"

    model.stop()
    failed = agent.post("/process", ask())
    assert (failed.status, failed.events()[-1]["status"]) == (200, "failed")
    assert metric(agent, 'agent_conversations_total{outcome="failed"}') == 1
    time.sleep(5.1)  # the last probe is kept that long
    ready = agent.get("/ready")
    assert (ready.status, ready.json()["status"]) == (503, "not ready")
    assert ready.json()["reason"].startswith(f"model endpoint http://127.0.0.1:{model.port}/v1/models: ")
    assert metric(agent, "agent_model_up") == 0
    assert agent.get("/health").status == 200
    status, stderr = agent.stop()
    assert status == 0
    assert "sk-very-secret" not in stderr
    assert "outcome=failed" in stderr


def test_ends_within_its_grace_in_the_middle_of_an_answer(start, tmp_path, python):
    model = start("agentscope/service/standin_model.py", env={"TOKEN_DELAY_MS": "1000"})
    base_url = f"http://127.0.0.1:{model.port}/v1"
    env = {"MODEL_NAME": "standin", "MODEL_BASE_URL": base_url, "AS_STATE_DIR": str(tmp_path)}
    agent = start(SCRIPT, until="/ready", timeout_s=120, env=env, python=python)
    with begin(agent):
        status, stderr = agent.stop()
    assert (status, "outcome=cancelled" in stderr) == (0, True)


def await_metric(agent, name, value):
    deadline = time.monotonic() + 5
    while metric(agent, name) != value:
        assert time.monotonic() < deadline, f"{name} did not become {value}"
        time.sleep(0.05)
