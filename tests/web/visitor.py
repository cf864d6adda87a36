"""A browser without a screen for the dashboard's tests, and the server for those with one."""

import asyncio
import re
import socket
import threading
from collections.abc import Mapping
from typing import Any, Self

import httpx
import uvicorn

from tests.support.eventually import eventually


class Visitor:
    """Asks an ASGI app, keeps cookies, and fills in forms as a browser without JavaScript does.

    Args:
        app: the dashboard, or what it is mounted in.
        peer: the address it comes from.
        host: the name it asks for.
        headers: sent with every request.
    """

    def __init__(
        self,
        app: Any,
        *,
        peer: str = "127.0.0.1",
        host: str = "127.0.0.1:9292",
        headers: Mapping[str, str] | None = None,
    ) -> None:
        self._app = app
        self._peer = peer
        self._base = f"http://{host}"
        self._headers = dict(headers or {})
        self.cookies = httpx.Cookies()

    def request(self, method: str, path: str, **options: Any) -> httpx.Response:
        """One request; redirects are not followed."""
        answers: list[httpx.Response | BaseException] = []

        async def ask() -> None:
            transport = httpx.ASGITransport(
                self._app, client=(self._peer, 50_000), raise_app_exceptions=True
            )
            async with httpx.AsyncClient(
                transport=transport,
                base_url=self._base,
                headers=self._headers,
                cookies=self.cookies,
            ) as client:
                answers.append(await client.request(method, path, **options))
                self.cookies = client.cookies

        def run() -> None:
            try:
                asyncio.run(ask())
            except BaseException as err:  # noqa: BLE001 - raised again below
                answers.append(err)

        # In a thread of its own: Playwright has a loop in this one.
        thread = threading.Thread(target=run)
        thread.start()
        thread.join()
        answer = answers[0]
        if isinstance(answer, BaseException):
            raise answer
        return answer

    def get(self, path: str, **options: Any) -> httpx.Response:
        """Ask for a page."""
        return self.request("GET", path, **options)

    def json(self, path: str) -> Any:
        """Ask for a page's JSON twin."""
        answer = self.get(path, headers={"Accept": "application/json"})
        assert answer.headers["content-type"] == "application/json", answer.text
        return answer.json()

    def token(self, page: str = "/") -> str:
        """The token of the forms on a page."""
        found = re.search(r'name="_token" value="([^"]+)"', self.get(page).text)
        assert found, f"no form on {page}"
        return found[1]

    def post(self, path: str, *, page: str = "", **fields: Any) -> httpx.Response:
        """Send a form as the browser would that shows this page."""
        data = {"_token": self.token(page or path), **fields}
        return self.request("POST", path, data=data, headers={"Sec-Fetch-Site": "same-origin"})


class Served:
    """An ASGI app on a port of 127.0.0.1, in a thread; use it in ``with``."""

    def __init__(self, app: Any) -> None:
        self._socket = socket.socket()
        self._socket.bind(("127.0.0.1", 0))
        self.port = self._socket.getsockname()[1]
        config = uvicorn.Config(app, log_level="warning", lifespan="off", proxy_headers=False)
        self._server = uvicorn.Server(config)
        self._thread = threading.Thread(
            target=self._server.run, kwargs={"sockets": [self._socket]}, daemon=True
        )

    @property
    def url(self) -> str:
        """Without a slash at the end."""
        return f"http://127.0.0.1:{self.port}"

    def __enter__(self) -> Self:
        self._thread.start()
        eventually(lambda: self._server.started)
        return self

    def __exit__(self, *_: object) -> None:
        self._server.should_exit = True
        self._thread.join(timeout=10)
        self._socket.close()
        assert not self._thread.is_alive(), "the server did not stop"
