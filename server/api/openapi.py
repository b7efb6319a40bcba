"""What our descriptions have that FastAPI's lack, and the reverse: errors in our shape, no parameters by accident."""

from __future__ import annotations

from typing import Any

VERSION = "3.0.1"
"""The OpenAPI version that TorchServe's description declares."""

JSON = "application/json"
ERROR = {
    "type": "object",
    "required": ["code", "type", "message"],
    "properties": {
        "code": {"type": "integer", "description": "the status"},
        "type": {"type": "string", "description": "TorchServe's name of the error"},
        "message": {"type": "string"},
        "error": {"type": "string", "description": "the message again, under /v2"},
        "detail": {"type": "string", "description": "what went wrong in the handler, for who manages models"},
    },
}
COMPONENTS = {"schemas": {"Error": ERROR}}
SCHEME = {"type": "http", "scheme": "bearer", "description": "A token that opens this listener, or this model"}
WITHOUT_TOKEN = {"/ping", "/v2/health/live", "/v2/health/ready", "/api-description", "/"}
"""Paths that need no token (gate.py); each has operations of that kind alone."""
REFUSAL = {"description": "What is wrong", "content": {JSON: {"schema": {"$ref": "#/components/schemas/Error"}}}}


def tidy(document: dict[str, Any], secured: bool = False) -> dict[str, Any]:
    """FastAPI's description of an app, made to say what the app does; `secured` says that it asks for tokens."""
    for path, operations in document["paths"].items():
        for operation in operations.values():
            if secured and path in WITHOUT_TOKEN:
                operation["security"] = []
            operation["parameters"] = [each for each in operation.get("parameters", []) if not _accident(each)]
            for parameter in operation["parameters"]:
                parameter["schema"] = {"type": "string"}
            operation["responses"].pop("422", None)
            operation["responses"].setdefault("default", REFUSAL)
            for response in operation["responses"].values():
                _open(response.get("content", {}).get(JSON, {}))
    document |= protection(secured)
    return document


def protection(secured: bool) -> dict[str, Any]:
    """The schemas and, where tokens are asked for, how they are shown."""
    if not secured:
        return {"components": COMPONENTS}
    return {"components": COMPONENTS | {"securitySchemes": {"token": SCHEME}}, "security": [{"token": []}]}


def _accident(parameter: dict[str, Any]) -> bool:
    """Whether FastAPI has taken an endpoint's optional argument for a query parameter: ours are described by hand."""
    return bool(parameter["in"] == "query" and "title" in parameter["schema"])


def _open(content: dict[str, Any]) -> None:
    """JSON of a form that is not described may be anything; FastAPI takes it for text."""
    if content.get("schema") == {"type": "string"}:
        content["schema"] = {}
