"""The agent services beside the stand-in model, each on the Python, the wheels and the files that its recipe locks."""

import json
import shutil
import socket
import threading
import time
from dataclasses import dataclass
from pathlib import Path
from unittest.mock import ANY

import pytest

from bundler.cli.make import store_directory
from bundler.compose import Composer, builder_platform
from bundler.fetch import fetch
from bundler.load import read_lock, read_recipe
from bundler.model.progress import Silent
from bundler.store import Store

RECIPES = Path(__file__).parents[3] / "recipes"
MODEL = "shared/agent/standin_model.py"

pytestmark = pytest.mark.network


@dataclass(frozen=True, kw_only=True, slots=True)
class Made:
    """A recipe's Python, the script of its service and the environment that the recipe gives it."""

    python: str
    script: Path
    environment: dict[str, str]


@pytest.fixture(scope="module", params=["agentscope", "langchain", "autogen"])
def made(request, tmp_path_factory):
    """Make what the lock of a recipe names, on this host."""
    directory = RECIPES / request.param
    lock, platform, store = read_lock(directory), builder_platform(), Store(store_directory())
    fetch(lock, platform, store, directory=directory, progress=Silent())
    composer = Composer(lock, platform, store, tmp_path_factory.mktemp("compose"))
    wheels = [(name, descriptor) for _, name, descriptor in composer.build_wheels()]
    root = composer.assemble([composer.runtime(), composer.wheels(wheels)])
    for file in lock.files:
        (root / file.to).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(file.below(directory), root / file.to)
    return Made(
        python=str(root / f"usr/bin/python{lock.python_version}"),
        script=root / f"srv/{request.param}/agent.py",
        environment=dict(read_recipe(directory).services[-1].environment),
    )


@pytest.fixture(scope="module")
def state(made, tmp_path_factory):
    return tmp_path_factory.mktemp("state")


@pytest.fixture(scope="module")
def model(start):
    return start(MODEL)


@pytest.fixture(scope="module")
def serve(start, made):
    """Start the service of the recipe over a model."""

    def run(model, state, *, until="/ready", **env):
        base_url = f"http://127.0.0.1:{model.port}/v1"
        env = {**made.environment, "MODEL_BASE_URL": base_url, "STATE_DIR": str(state), **env}
        return start(made.script, until=until, timeout_s=120, env=env, python=made.python)

    return run


@pytest.fixture(scope="module")
def agent(serve, model, state):
    return serve(model, state, MAX_BODY_BYTES="20000", MAX_CONCURRENT="8")


def ask(text="hello", **more):
    return {"input": [{"role": "user", "content": [{"type": "text", "text": text}]}], **more}


def metric(agent, name):
    lines = agent.get("/metrics").body.decode().splitlines()
    return float(next(line.rsplit(" ", 1)[1] for line in lines if line.startswith(name)))


def converse(agent, text="hello", user="u1", session="s1"):
    """Hold one turn of a conversation; return how many messages the model was given."""
    answer = agent.post("/process", ask(text, session_id=session, user_id=user))
    assert answer.status == 200, answer.body
    said = answer.events()[-1]["output"][0]["content"][0]["text"]
    assert said.endswith(f"You asked: {text}")
    return int(said.partition("conversation: ")[2].partition(".")[0])


def test_converses_in_events(agent):
    answer = agent.post("/process", ask(session_id="events", user_id="u1"))
    assert (answer.status, answer.headers["content-type"]) == (200, "text/event-stream; charset=utf-8")
    assert answer.body.endswith(b"}\n\n")
    assert b'"status":"completed"' in answer.body
    events = answer.events()
    assert [event["sequence_number"] for event in events] == list(range(len(events)))
    assert [event["status"] for event in events if event["object"] == "response"] == [
        "created",
        "in_progress",
        "completed",
    ]
    pieces = [event["text"] for event in events if event["object"] == "content" and event["delta"]]
    final = events[-1]
    assert (final["object"], final["status"], final["session_id"]) == ("response", "completed", "events")
    assert final["output"][0]["content"][0]["text"] == "".join(pieces)
    assert "".join(pieces).endswith("conversation: 2. You asked: hello")
    assert final["usage"]["output_tokens"] > 0
    assert final["usage"]["total_tokens"] == final["usage"]["input_tokens"] + final["usage"]["output_tokens"]


def test_keeps_sessions_apart(agent, state):
    assert [converse(agent, text) for text in ("hello", "again")] == [2, 4]
    # No two pairs of ids share a session, however they are joined.
    assert converse(agent, user="u2") == 2
    assert converse(agent, session="s2") == 2
    assert [converse(agent, user="a_b", session="c"), converse(agent, user="a", session="b_c")] == [2, 2]
    assert {path.stat().st_mode & 0o077 for path in state.rglob("*")} == {0}


def test_takes_what_was_said_elsewhere(agent):
    said = [("user", "one"), ("assistant", "two"), ("user", "three")]
    turns = [{"role": role, "content": [{"type": "text", "text": text}]} for role, text in said]
    answer = agent.post("/process", {"input": turns, "session_id": "elsewhere"})
    assert answer.events()[-1]["output"][0]["content"][0]["text"].endswith("conversation: 4. You asked: three")


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
def slow(start, serve, tmp_path_factory):
    """An agent for two conversations at once, over a slow model."""
    model = start(MODEL, env={"TOKEN_DELAY_MS": "100"})
    state = tmp_path_factory.mktemp("slow")
    options = {"MODEL_API_KEY": "sk-very-secret", "MAX_CONCURRENT": "2", "CORS_ORIGINS": "https://portal.example"}
    return serve(model, state, **options)


def begin(agent, text="hello", **more):
    """Begin a conversation and return its connection once the answer has started."""
    body = json.dumps(ask(text, **more)).encode()
    head = (
        b"POST /process HTTP/1.1\r\nHost: a\r\nConnection: close\r\n"
        b"Content-Type: application/json\r\nContent-Length: %d\r\n\r\n"
    )
    client = socket.create_connection(("127.0.0.1", agent.port), timeout=10)
    client.sendall(head % len(body) + body)
    assert client.recv(100).startswith(b"HTTP/1.1 200")
    return client


def test_limits_what_runs_at_once_and_frees_what_is_left(slow):
    one, two = begin(slow, session_id="one", user_id="u"), begin(slow)
    over = slow.post("/process", ask())
    assert (over.status, over.headers["retry-after"]) == (503, "1")
    assert over.json() == {"error": "2 conversations are being answered; try again"}
    assert slow.get("/health").status == 200
    two.close()
    await_metric(slow, 'agent_conversations_total{outcome="cancelled"}', 1)
    same = slow.post("/process", ask(session_id="one", user_id="u"))
    assert (same.status, same.json()) == (
        409,
        {"error": "session 'one' is being answered; wait for its end"},
    )
    one.close()
    await_metric(slow, "agent_conversations_in_flight", 0)
    # A turn that its client left does not stand between the others.
    assert converse(slow, user="u", session="one") == 2
    allowed = slow.request("GET", "/health", None, {"origin": "https://portal.example"})
    assert allowed.headers["access-control-allow-origin"] == "https://portal.example"


def test_ends_within_its_grace_in_the_middle_of_an_answer(slow):
    with begin(slow, "word " * 200):
        status, stderr = slow.stop()
    assert (status, "outcome=cancelled" in stderr) == (0, True)
    assert "sk-very-secret" not in stderr


def test_tells_how_the_model_fails_and_keeps_the_session_through_it_and_a_power_cut(start, serve, tmp_path):
    model = start(MODEL, env={"TOKEN_DELAY_MS": "2000"})
    agent = serve(model, tmp_path, MODEL_TIMEOUT_S="1")
    silent = agent.post("/process", ask(session_id="s1", user_id="u1"))
    assert (silent.status, silent.json()) == (504, {"error": "the model did not answer in time"})

    model.stop()
    model = start(MODEL, port=model.port, env={"MODEL_NAME": "other"})
    refused = agent.post("/process", ask(session_id="s1", user_id="u1"))
    assert (refused.status, refused.json()) == (502, {"error": "the model endpoint answered with status 404"})

    model.stop()
    model = start(MODEL, port=model.port, env={"TOKEN_DELAY_MS": "50"})
    assert converse(agent) == 2, "what failed is not remembered"
    with begin(agent, session_id="s1", user_id="u1") as broken:
        model.kill()
        assert last_event(broken)["error"] == {"code": "MODEL_FAILED", "message": ANY}
    failed = agent.post("/process", ask(session_id="s1", user_id="u1"))
    assert (failed.status, failed.json()) == (502, {"error": "the model endpoint failed: Connection error."})
    assert metric(agent, 'agent_conversations_total{outcome="failed"}') == 4
    time.sleep(5.1)  # the last probe is kept that long
    ready = agent.get("/ready")
    assert (ready.status, ready.json()["status"]) == (503, "not ready")
    assert ready.json()["reason"].startswith(f"model endpoint http://127.0.0.1:{model.port}/v1/models: ")
    assert metric(agent, "agent_model_up") == 0
    assert agent.get("/health").status == 200
    assert "outcome=failed" in agent.kill()

    assert converse(serve(start(MODEL, port=model.port), tmp_path)) == 4


def last_event(client):
    """Read a stream to its end and return its last event."""
    client.settimeout(20)
    with client.makefile("rb") as stream:
        lines = [line for line in stream if line.startswith(b"data: {")]
    return json.loads(lines[-1].removeprefix(b"data: "))


def await_metric(agent, name, value):
    deadline = time.monotonic() + 5
    while metric(agent, name) != value:
        assert time.monotonic() < deadline, f"{name} did not become {value}"
        time.sleep(0.05)
