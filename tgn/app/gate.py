"""Which requests the page answers: those that know it by its address, and no uploads."""

import ipaddress
import socket
from urllib.parse import urlsplit

from starlette.datastructures import Headers
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Receive, Scope, Send

OWN = frozenset({"localhost", "127.0.0.1", "::1"})
EVERYWHERE = ("0.0.0.0", "::")  # what --host says to listen on all addresses
EVENTS = ("/queue/join", "/cancel", "/reset")  # all that the page itself posts: no files


class Gate:
    """Refuses requests that come by another name (403), and uploads.

    A page of somebody else may let its own name lead to this machine (DNS rebinding): the browser
    then sends what it sends to that page here. Its requests have that name as their host.

    Args:
        app: answers the others.
        host: that the page listens on. If it is every address, any address will do as a name, and
            the name of this machine.
    """

    def __init__(self, app: ASGIApp, host: str) -> None:
        self.app, self.is_everywhere = app, host in EVERYWHERE
        self.names = {*OWN, host.lower()}
        if self.is_everywhere:
            self.names |= {socket.gethostname().lower(), socket.getfqdn().lower()}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request, or refuse it."""
        refusal = "" if scope["type"] == "lifespan" else self._refusal(scope)
        answer = PlainTextResponse(refusal, 403) if refusal else self.app
        await answer(scope, receive, send)

    def _refusal(self, scope: Scope) -> str:
        headers = Headers(scope=scope)
        origin = headers.get("origin")
        if not self._is_known(f"//{headers.get('host', '')}"):
            return "refused: the page is opened by the address that tgn app has shown"
        if origin is not None and not self._is_known(origin):
            return "refused: another page has asked"
        if scope.get("method") == "POST" and not scope["path"].rstrip("/").endswith(EVENTS):
            return "refused: nothing is uploaded"
        return ""

    def _is_known(self, address: str) -> bool:
        try:
            name = urlsplit(address).hostname or ""
        except ValueError:
            return False
        return name in self.names or (self.is_everywhere and _is_number(name))


def _is_number(name: str) -> bool:
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True
