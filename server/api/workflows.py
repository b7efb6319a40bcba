"""Workflows on the management listener: register, list, describe, unregister (contract: workflows, section 2)."""

from __future__ import annotations

import asyncio
from typing import Any

from fastapi import FastAPI, Request, Response

from ..settings import Settings
from ..workflows import Workflow, WorkflowRegistry
from .errors import TookTooLong
from .faces import PrettyJSON, object_of, operation, status
from .operations import archive_url, page_of, require_model_api
from .parameters import Parameters

REGISTERING = {
    "url": "a file or folder of the workflow store, or an allowed URL",
    "workflow_name": "the name to serve under, instead of the manifest's",
    "response_timeout": "seconds a node may take for a batch",
    "startup_timeout": "seconds a worker may take to load a node",
}
LISTING = {"limit": "workflows a page, at most 100", "next_page_token": "where the page begins"}
CHANGED = {200: object_of(status="string")}


def add_workflows(app: FastAPI, workflows: WorkflowRegistry, settings: Settings) -> None:
    """Give the management application its routes for workflows."""
    face = _Workflows(workflows, settings)
    one, add = "/workflows/{workflow_name}", app.add_api_route
    add("/workflows", face.list, methods=["GET"], **operation("listWorkflows", "List workflows", LISTING))
    registering = operation("registerWorkflow", "Register a workflow", REGISTERING, CHANGED)
    add("/workflows", face.register, methods=["POST"], **registering)
    add(one, face.describe, methods=["GET"], **operation("describeWorkflow", "Describe a workflow"))
    removing = operation("unregisterWorkflow", "Unregister a workflow", answers=CHANGED)
    add(one, face.unregister, methods=["DELETE"], **removing)


class _Workflows:
    """One method a route; the texts are TorchServe's."""

    def __init__(self, workflows: WorkflowRegistry, settings: Settings) -> None:
        self._workflows = workflows
        self._settings = settings

    async def list(self, request: Request) -> Response:
        """List workflows by name, a page at a time."""
        page, found = page_of(sorted(self._workflows.names()), Parameters.of_query(request))
        workflows = [self._workflows.get(name) for name in page]
        return PrettyJSON(found | {"workflows": [{"workflowName": w.name, "workflowUrl": w.url} for w in workflows]})

    async def register(self, request: Request) -> Response:
        """Register a workflow, and load its nodes."""
        require_model_api(self._settings)
        asked = await Parameters.of(request)
        response, startup = asked.integer("response_timeout"), asked.integer("startup_timeout")
        workflow = await self._workflows.register(
            archive_url(asked),
            asked.text("workflow_name") or None,
            None if response is None else float(response),
            None if startup is None else float(startup),
        )
        return status(f"Workflow {workflow.name} has been registered and scaled successfully.")

    async def describe(self, workflow_name: str) -> Response:
        """Describe a workflow."""
        return PrettyJSON([described(self._workflows.get(workflow_name))])

    async def unregister(self, workflow_name: str) -> Response:
        """Take a workflow away, and its nodes with it."""
        require_model_api(self._settings)
        try:
            async with asyncio.timeout(self._settings.unregister_model_timeout):
                await self._workflows.unregister(workflow_name)
        except TimeoutError as error:
            raise TookTooLong(f"Timed out while cleaning resources: {workflow_name}") from error
        return status(f'Workflow "{workflow_name}" unregistered')


def described(workflow: Workflow) -> dict[str, Any]:
    """A workflow in TorchServe's fields; its graph is a text, as Java prints a map."""
    defaults = workflow.spec.defaults
    dag = ", ".join(f"{name}=[{', '.join(following)}]" for name, following in workflow.spec.dag.items())
    return {
        "workflowName": workflow.name,
        "workflowUrl": workflow.url,
        "minWorkers": defaults.min_workers,
        "maxWorkers": defaults.max_workers,
        "batchSize": defaults.batch_size,
        "maxBatchDelay": round(defaults.max_batch_delay * 1000),
        "workflowDag": f"{{{dag}}}",
    }
