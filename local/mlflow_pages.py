"""MLflow's server with the registered models as its start page.

MLflow 3 opens its GenAI pages unless the browser remembers another choice, and no server setting changes that. This server answers
as MLflow does. If the browser has no choice yet, its start page shows the registered models, with *Model training* chosen and
without assistant and advertisement. A later choice of the user stays. Run it with `mlflow server --app-name aimaas`:
`pyproject.toml` declares it under MLflow's entry point `mlflow.app`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from starlette.middleware.base import BaseHTTPMiddleware, RequestResponseEndpoint
from starlette.requests import Request
from starlette.responses import Response

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


class OpensOnModels(BaseHTTPMiddleware):
    """Inserts the script before all others of the start page, and passes all other answers unchanged."""

    async def dispatch(self, request: Request, call_next: RequestResponseEndpoint) -> Response:
        """Answer one request."""
        if request.scope["path"] not in ("", "/") or request.method != "GET":
            return await call_next(request)
        kept = [(k, v) for k, v in request.scope["headers"] if k not in (b"if-none-match", b"if-modified-since")]
        request.scope["headers"] = kept
        answer = await call_next(request)
        page = b"".join([part async for part in answer.body_iterator])  # type: ignore[attr-defined]
        headers = {k: v for k, v in answer.headers.items() if k not in ("content-length", "etag")}
        return Response(page.replace(b"<head>", b"<head>" + _SCRIPT, 1), answer.status_code, headers)


def create_app() -> FastAPI:
    """Return MLflow's app with the middleware. MLflow calls this in each worker."""
    from mlflow.server.fastapi_app import app

    app.add_middleware(OpensOnModels)
    found: FastAPI = app
    return found
