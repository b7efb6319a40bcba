"""How a FastAPI app of ours is made: its errors in our shape, its description at OPTIONS / and /api-description."""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Mapping
from typing import Any

from fastapi import FastAPI, Request, Response
from starlette.exceptions import HTTPException

from ...archiver import ArchiveError
from ..errors import ServingError
from .errors import NoRoute, NotAllowed, WireError
from .openapi import JSON, VERSION, protection, tidy
from .responses import error_body, pretty

ANY = ["GET", "POST", "PUT", "DELETE", "HEAD", "PATCH"]

Handler = Callable[[Request, Any], Coroutine[Any, Any, Response]]


class PrettyJSON(Response):
    """JSON with two spaces of indentation and a newline at its end."""

    media_type = "application/json"

    def render(self, content: Any) -> bytes:
        """The bytes of `content`."""
        return pretty(content)


def status(text: str, code: int = 200, headers: Mapping[str, str] | None = None) -> PrettyJSON:
    """What management answers when there is nothing to show: `{"status": text}`."""
    return PrettyJSON({"status": text}, code, headers)


def make_app(title: str, version: str, operator: bool, secured: bool = False) -> FastAPI:
    """An app without routes but its description; `operator` says whether error details are shown.

    `secured` says that whoever runs it asks for tokens.
    """
    handler = _error_handler(operator)
    known = (ServingError, ArchiveError, WireError, HTTPException, Exception)
    app = FastAPI(
        title=title,
        version=version,
        exception_handlers=dict.fromkeys(known, handler),
        docs_url="/docs" if operator else None,
        redoc_url=None,
        openapi_url="/openapi.json" if operator else None,
        separate_input_output_schemas=False,
    )
    app.openapi_version = VERSION
    plain = app.openapi
    app.openapi = lambda: app.openapi_schema or tidy(plain(), secured)  # type: ignore[method-assign]

    async def describe() -> Response:
        return PrettyJSON(app.openapi())

    app.add_api_route("/", describe, methods=["OPTIONS"], operation_id="apiDescription", summary="What is served here")
    app.add_api_route(
        "/api-description", describe, methods=["GET"], operation_id="api-description", summary="What is served here"
    )
    app.add_api_route("/api-description", describe, methods=[m for m in ANY if m != "GET"], include_in_schema=False)
    return app


def operation(
    identity: str, summary: str, parameters: dict[str, str] | None = None, answers: dict[int, Any] | None = None
) -> dict[str, Any]:
    """How one operation describes itself; its query parameters are read by ourselves, leniently.

    `answers` are its statuses with the schemas of their JSON.
    """
    query = [
        {"name": name, "in": "query", "required": False, "description": text, "schema": {"type": "string"}}
        for name, text in (parameters or {}).items()
    ]
    found: dict[str, Any] = {"operation_id": identity, "summary": summary, "response_class": PrettyJSON}
    if query:
        found["openapi_extra"] = {"parameters": query}
    if answers:
        found["responses"] = {code: _answer(schema) for code, schema in answers.items()}
    return found


def object_of(**properties: Any) -> dict[str, Any]:
    """The schema of an object that has all these; a text is the name of a type."""
    schemas = {name: {"type": kind} if isinstance(kind, str) else kind for name, kind in properties.items()}
    return {"type": "object", "required": list(properties), "properties": schemas}


def _answer(schema: dict[str, Any]) -> dict[str, Any]:
    return {"description": "The answer", "content": {JSON: {"schema": schema}}}


def description_of_model(model: str, document: dict[str, Any]) -> dict[str, Any]:
    """What OPTIONS tells of one model: the operations of a document that name a model, with its name put in."""
    paths = document["paths"]
    named = {path.replace("{model_name}", model): item for path, item in paths.items() if "{model_name}" in path}
    return {
        "openapi": VERSION,
        "info": {"title": f"RESTful API for: {model}", "version": "1.0.0"},
        "paths": {path: _filled_in(item) for path, item in named.items()},
        **protection("security" in document),
    }


def _filled_in(operations: dict[str, Any]) -> dict[str, Any]:
    """The operations of a path without the parameter that is in its path now."""
    return {
        method: said | {"parameters": [p for p in said.get("parameters", []) if p["name"] != "model_name"]}
        for method, said in operations.items()
    }


def _error_handler(operator: bool) -> Handler:
    async def answer(request: Request, error: Exception) -> Response:
        if isinstance(error, HTTPException):
            error = NotAllowed() if error.status_code == 405 else NoRoute()
        status, body = error_body(error, operator, request.scope["path"])
        return Response(body, status, media_type="application/json")

    return answer
