"""Where a prediction's path leads: TorchServe's routes, KServe's, SageMaker's, and the older ones."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Target:
    """Where a prediction's path leads. No model: it stands in the query or the form.

    With `workflow`, it is no model that is named but a workflow. With `open_inference`, a compressed body is unpacked
    before the handler gets it.
    """

    model: str | None
    version: str | None = None
    headers: Mapping[str, str] = field(default_factory=dict)
    with_query: bool = False
    open_inference: bool = False
    workflow: bool = False


def find_target(path: list[str]) -> Target | None:
    """Where a path leads, or None where it is no prediction's (contract: inference API, section 2)."""
    match path:
        case ["", "predictions" | "explanations" as route, model, *rest] if model:
            explain = str(route == "explanations")
            return Target(model, rest[0] if rest else None, {"url_path": "/".join(rest[1:]), "explain": explain})
        case ["", "v1", "models", named] if ":predict" in named or ":explain" in named:
            model, _, _ = named.partition(":")
            return Target(model, None, {"explain": str(":predict" not in named)})
        case ["", "v2", "models", model, "infer" | "explain" as verb]:
            return Target(model, None, {"explain": str(verb == "explain")}, open_inference=True)
        case ["", "v2", "models", model, "versions", version, "infer" | "explain" as verb]:
            return Target(model, version, {"explain": str(verb == "explain")}, open_inference=True)
        case ["", route, workflow] if workflow and route.lower() == "wfpredict":
            return Target(workflow, workflow=True)
        case ["", "invocations"]:
            return Target(None, with_query=True)
        case ["", "models", model, "invoke"]:
            return Target(model, with_query=True)
        case ["", model, "predict"]:
            return Target(model, with_query=True)
        case ["", model, version, "predict"]:
            return Target(model, version, with_query=True)
    return None
