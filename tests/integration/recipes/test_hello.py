import socket

SCRIPT = "hello/service/hello.py"


def test_greets_and_is_ready_without_any_settings_but_a_port(start):
    hello = start(SCRIPT)
    assert hello.get("/").json() == {"greeting": "Hello from the other side of the air gap."}
    assert (hello.get("/health").status, hello.get("/health").json()) == (200, {"status": "healthy"})
    assert (hello.get("/ready").status, hello.get("/ready").json()) == (200, {"status": "ready"})


def test_answers_404_and_405_family_without_leaving(start):
    hello = start(SCRIPT)
    assert (hello.get("/other").status, hello.get("/other").json()) == (404, {"error": "no such path"})
    assert hello.post("/", {}).status == 501
    assert hello.get("/health").status == 200


def test_exits_cleanly_on_sigterm_with_a_connection_open(start):
    hello = start(SCRIPT)
    with socket.create_connection(("127.0.0.1", hello.port)):
        assert hello.stop() == (0, "")


def test_refuses_a_bad_port_in_one_line(refuse):
    expected = "error: PORT: expected a whole number from 1 to 65535, got '99999'\n"
    assert refuse(SCRIPT, {"PORT": "99999"}) == (2, expected)


def test_says_that_the_port_is_taken(start, refuse):
    hello = start(SCRIPT)
    expected = f"error: cannot bind '127.0.0.1' port {hello.port}: Address already in use\n"
    assert refuse(SCRIPT, {"PORT": str(hello.port)}) == (1, expected)
