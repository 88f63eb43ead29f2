import http.client
import json
import socket

import pytest

SCRIPT = "shared/agent/standin_model.py"
CHAT = "/v1/chat/completions"


@pytest.fixture(scope="module")
def model(start):
    return start(SCRIPT)


def call(question="What is the time?", **more):
    return {"model": "standin", "messages": [{"role": "user", "content": question}], **more}


def test_lists_its_model(model):
    card = {"id": "standin", "object": "model", "created": 0, "owned_by": "standin"}
    assert model.get("/v1/models").json() == {"object": "list", "data": [card]}
    assert model.get("/health").json() == {"status": "healthy", "model": "standin"}


def test_answers_in_one_piece_and_says_what_it_is(model):
    answer = model.post(CHAT, call()).json()
    content = answer["choices"][0]["message"]["content"]
    assert content == (
        "[stand-in model] No language model is connected here; this endpoint only repeats what it is asked. "
        "Messages in this conversation: 1. You asked: What is the time?"
    )
    assert answer["usage"] == {"prompt_tokens": 5, "completion_tokens": 41, "total_tokens": 46}
    assert (answer["object"], answer["choices"][0]["finish_reason"]) == ("chat.completion", "stop")


@pytest.mark.parametrize("question", ["现在几点？", "two  spaces\nand a line", " "])
def test_streams_the_same_answer_word_by_word(model, question):
    whole = model.post(CHAT, call(question)).json()
    streamed = model.post(CHAT, call(question, stream=True, stream_options={"include_usage": True}))
    events = streamed.events()
    assert streamed.body.endswith(b"data: [DONE]\n\n")
    text = "".join(event["choices"][0]["delta"].get("content", "") for event in events[:-1])
    assert text == whole["choices"][0]["message"]["content"]
    assert events[-2]["choices"][0]["finish_reason"] == "stop"
    assert (events[-1]["choices"], events[-1]["usage"]) == ([], whole["usage"])


def test_streams_no_usage_unless_asked(model):
    assert all("usage" not in event for event in model.post(CHAT, call(stream=True)).events())


def test_counts_the_messages_and_takes_parts_and_tools(model):
    parts = [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}]
    messages = [{"role": "system", "content": "s"}, {"role": "user", "content": parts}]
    tools = [{"type": "function", "function": {"name": "f", "parameters": {}}}]
    answer = model.post(CHAT, {"model": "standin", "messages": messages, "tools": tools}).json()
    message = answer["choices"][0]["message"]
    assert message["content"].endswith("Messages in this conversation: 2. You asked: ab")
    assert "tool_calls" not in message


@pytest.mark.parametrize(
    ("body", "status", "message"),
    [
        (b"{", 400, "body: expected JSON"),
        (b"[" * 100_000, 400, "body: expected JSON"),
        ([], 400, "body: expected a JSON object"),
        ({"model": "other"}, 404, "model: expected 'standin', got 'other'"),
        ({"model": "standin"}, 400, "messages: expected a list of messages"),
        (
            {"model": "standin", "messages": [{"role": "x"}]},
            400,
            "messages[0].role: expected one of system, developer, user, assistant, tool",
        ),
        (
            {"model": "standin", "messages": [{"role": "system", "content": "s"}]},
            400,
            "messages: expected a message of the user",
        ),
        (call(tools={}), 400, "tools: expected a list"),
        (call(stream_options=[1]), 400, "stream_options: expected an object"),
    ],
)
def test_refuses_with_an_error_object(model, body, status, message):
    answer = model.post(CHAT, body)
    error = {"message": message, "type": "invalid_request_error", "param": None, "code": status}
    assert (answer.status, answer.json()) == (status, {"error": error})


def test_refuses_a_large_body_before_reading_it(model):
    connection = http.client.HTTPConnection("127.0.0.1", model.port, timeout=10)
    connection.putrequest("POST", CHAT)
    connection.putheader("Content-Length", "999999999")
    connection.endheaders()
    response = connection.getresponse()
    message = json.loads(response.read())["error"]["message"]
    connection.close()
    assert (response.status, message) == (413, "body: expected at most 4194304 bytes, got 999999999")


def test_knows_no_other_path(model):
    assert model.get("/").status == 404
    assert model.post("/v1/completions", {}).status == 404


def test_exits_cleanly_on_sigterm_in_the_middle_of_an_answer(start):
    slow = start(SCRIPT, env={"TOKEN_DELAY_MS": "200"})
    body = json.dumps(call(stream=True)).encode()
    with socket.create_connection(("127.0.0.1", slow.port)) as client:
        client.sendall(b"POST %s HTTP/1.1\r\nContent-Length: %d\r\n\r\n%s" % (CHAT.encode(), len(body), body))
        assert client.recv(100).startswith(b"HTTP/1.1 200")
        assert slow.stop() == (0, "")


@pytest.mark.parametrize(
    ("env", "message"),
    [
        ({"PORT": "0"}, "PORT: expected a whole number from 1 to 65535, got '0'"),
        ({"HOST": "example"}, "HOST: expected an IPv4 address or localhost, got 'example'"),
        (
            {"HOST": "0.0.0.0"},
            "HOST: '0.0.0.0' is not a loopback address; set ALLOW_NON_LOOPBACK=1 to bind it",
        ),
        ({"TOKEN_DELAY_MS": "-1"}, "TOKEN_DELAY_MS: expected a whole number from 0 to 10000, got '-1'"),
    ],
)
def test_refuses_bad_settings_in_one_line(refuse, env, message):
    assert refuse(SCRIPT, env) == (2, f"error: {message}\n")
