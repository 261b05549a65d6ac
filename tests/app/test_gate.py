"""The gate: who may ask for what."""

import asyncio

import pytest

from tgn.app.gate import Gate


def answer(gate, path="/", method="GET", **headers):
    """Return the status that a request gets; 200 where it is let through."""
    sent = []

    async def receive():
        return {"type": "http.request", "body": b"", "more_body": False}

    async def send(message):
        sent.append(message)

    named = [(key.encode(), value.encode()) for key, value in headers.items()]
    scope = {"type": "http", "path": path, "method": method, "headers": named}
    asyncio.run(gate(scope, receive, send))
    return next(message["status"] for message in sent if "status" in message)


async def within(scope, receive, send):
    await send({"type": "http.response.start", "status": 200, "headers": []})


@pytest.mark.parametrize(
    ("listens", "host", "status"),
    [
        ("127.0.0.1", "127.0.0.1:7860", 200),
        ("127.0.0.1", "localhost:7860", 200),
        ("127.0.0.1", "[::1]:7860", 200),
        ("127.0.0.1", "evil.example", 403),
        ("127.0.0.1", "127.0.0.1.evil.example:7860", 403),
        ("127.0.0.1", "10.0.0.7:7860", 403),
        ("127.0.0.1", "[::1", 403),
        ("127.0.0.1", "", 403),
        ("box.example", "BOX.example:80", 200),
        ("0.0.0.0", "10.0.0.7:7860", 200),
        ("0.0.0.0", "evil.example:7860", 403),
    ],
)
def test_other_names_are_refused(listens, host, status):
    assert answer(Gate(within, listens), host=host) == status


def test_what_another_page_asks_is_refused():
    gate, own = Gate(within, "127.0.0.1"), {"host": "127.0.0.1:7860"}
    assert answer(gate, **own, origin="http://127.0.0.1:7860") == 200
    assert answer(gate, **own, origin="http://evil.example") == 403
    assert answer(gate, **own, origin="null") == 403


def test_only_events_of_the_page_are_posted():
    gate, own = Gate(within, "127.0.0.1"), {"host": "localhost"}
    assert answer(gate, "/gradio_api/queue/join", "POST", **own) == 200
    for path in ("upload", "upload/", "process_recording", "run/predict"):
        assert answer(gate, f"/gradio_api/{path}", "POST", **own) == 403
