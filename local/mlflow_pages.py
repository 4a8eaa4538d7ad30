"""MLflow's server with the registered models as its start page.

MLflow 3 opens its GenAI pages unless the browser remembers another choice, and no server setting changes that. This server answers
as MLflow does. If the browser has no choice yet, its start page shows the registered models, with *Model training* chosen and
without assistant and advertisement. A later choice of the user stays. Run it with `mlflow server --app-name aimaas`:
`pyproject.toml` declares it under MLflow's entry point `mlflow.app`.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, MutableMapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from fastapi import FastAPI

APP_NAME = "aimaas"
_SCRIPT = b"""<script>
try {
  const usual = {
    "mlflow.workflowType_v1": '"machine_learning"', "mlflow.assistant.fab.autoOpenedOnFirstLoad_v1": "true",
    "_mlflow_model_registry_promo_modal_dismissed": "true",
  };
  for (const [key, value] of Object.entries(usual)) localStorage.getItem(key) || localStorage.setItem(key, value);
} catch (e) {}
if (!location.hash) history.replaceState(null, "", "#/models");
</script>"""

Message = MutableMapping[str, Any]
Send = Callable[[Message], Awaitable[None]]
Receive = Callable[[], Awaitable[Message]]
App = Callable[[Message, Receive, Send], Awaitable[None]]


class OpensOnModels:
    """ASGI middleware that inserts the script into the start page, and passes all other answers unchanged."""

    def __init__(self, app: App) -> None:
        self._app = app

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] != "http" or scope["path"] not in ("", "/") or scope["method"] != "GET":
            await self._app(scope, receive, send)
            return
        fresh = [(k, v) for k, v in scope["headers"] if k not in (b"if-none-match", b"if-modified-since")]
        await self._app({**scope, "headers": fresh}, receive, _StartPage(send))


class _StartPage:
    """Collects the page, which is small, and sends it with the script before all other scripts."""

    def __init__(self, send: Send) -> None:
        self._send, self._body = send, b""
        self._head: Message = {}

    async def __call__(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self._head = message
            return
        self._body += message.get("body", b"")
        if message.get("more_body"):
            return
        body = self._body.replace(b"<head>", b"<head>" + _SCRIPT, 1)
        kept = [(k, v) for k, v in self._head["headers"] if k.lower() not in (b"content-length", b"etag")]
        await self._send({**self._head, "headers": [*kept, (b"content-length", b"%d" % len(body))]})
        await self._send({"type": "http.response.body", "body": body})


def create_app() -> FastAPI:
    """Return MLflow's app with the middleware. MLflow calls this in each worker."""
    from mlflow.server.fastapi_app import app

    app.add_middleware(OpensOnModels)
    found: FastAPI = app
    return found
