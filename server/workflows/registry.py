"""WorkflowRegistry: how workflows come and go; their nodes are models of the model registry."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from functools import partial

from ...archiver import ArchiveError, WorkflowManifest, unpack_workflow
from ..errors import InvalidRequest, InvalidWorkflow, ServingError, WorkflowConflict, WorkflowFailed, WorkflowNotFound
from ..metrics.metrics import Metrics
from ..registry import NAME, Model, ModelRegistry, Registration
from ..settings import Settings
from ..store import Store, Unpacked
from .spec import Node, WorkflowSpec
from .workflow import Workflow

HANDLER_BYTES = 1 << 20


class _Entry:
    """A workflow with what it has brought: its files, and the models of its nodes."""

    def __init__(self, workflow: Workflow, files: Unpacked[WorkflowManifest], models: Iterable[Model]) -> None:
        self.workflow = workflow
        self.files = files
        self.models = tuple(models)


class WorkflowRegistry:
    """All workflows of a server."""

    def __init__(self, settings: Settings, registry: ModelRegistry, metrics: Metrics) -> None:
        """Be empty; `close()` removes what will have been unpacked."""
        self._registry = registry
        self._metrics = metrics
        self._store = Store(
            settings.workflow_store or settings.model_store,
            settings.temp_dir,
            settings.allowed_urls,
            unpack=unpack_workflow,
            not_found=WorkflowNotFound,
            what="Workflow",
            missing="Workflow not found in workflow store: {}",
        )
        self._entries: dict[str, _Entry] = {}
        self._coming: set[str] = set()
        """Names of workflows whose models are being loaded."""

    async def register(
        self,
        url: str,
        name: str | None = None,
        response_timeout: float | None = None,
        startup_timeout: float | None = None,
    ) -> Workflow:
        """Unpack a workflow, and register its nodes as models with their workers; waits until all are loaded.

        When one of them fails, all are taken back.
        Raises: WorkflowNotFound, WorkflowConflict, InvalidWorkflow, InvalidDag, WorkflowFailed, DownloadFailed
        """
        try:
            files = await self._store.fetch(url)
        except ArchiveError as error:
            raise InvalidWorkflow(str(error)) from error
        name = name or files.manifest.name or files.stem
        try:
            with self._reserved(name):
                spec = await asyncio.to_thread(_specification, files)
                self._check_names(name, spec)
                nodes = partial(self._node, name, files, response_timeout, startup_timeout)
                models = await self._registered(name, [nodes(node) for node in spec.nodes])
                workflow = Workflow(name, url, spec, partial(self._model_of, name), self._metrics)
                self._entries[name] = _Entry(workflow, files, models)
        except BaseException:
            await asyncio.shield(asyncio.ensure_future(self._store.discard(files)))
            raise
        return workflow

    def get(self, name: str) -> Workflow:
        """The workflow of this name. Raises WorkflowNotFound."""
        return self._of(name).workflow

    def names(self) -> list[str]:
        """The names of all workflows."""
        return list(self._entries)

    async def unregister(self, name: str) -> None:
        """Take a workflow away, and its models, which serve what they have. Raises WorkflowNotFound."""
        entry = self._of(name)
        del self._entries[name]
        try:
            await asyncio.gather(*map(self._registry.withdraw, entry.models))
        finally:
            await asyncio.shield(asyncio.ensure_future(self._store.discard(entry.files)))

    def close(self) -> None:
        """Remove everything that was unpacked; the models are the model registry's to end."""
        self._store.close()

    def _of(self, name: str) -> _Entry:
        entry = self._entries.get(name)
        if entry is None:
            raise WorkflowNotFound(f"Workflow not found: {name}")
        return entry

    @contextmanager
    def _reserved(self, name: str) -> Iterator[None]:
        """Keep a name while its workflow is being registered. Raises WorkflowConflict."""
        if name in self._entries or name in self._coming:
            raise WorkflowConflict(f"Workflow {name} is already registered.")
        self._coming.add(name)
        try:
            yield
        finally:
            self._coming.discard(name)

    def _check_names(self, name: str, spec: WorkflowSpec) -> None:
        """See that the models of the nodes can have their names. Raises InvalidRequest, WorkflowConflict."""
        for node in spec.nodes:
            if not NAME.fullmatch(called := model_name(name, node.name)):
                raise InvalidRequest(
                    f"{called!r} cannot be the name of a model: no / and no control characters, at most 256"
                )
        there = set(self._registry.names())
        taken = [node.name for node in spec.nodes if model_name(name, node.name) in there]
        if taken:
            raise WorkflowConflict(
                f"Model {model_name(name, taken[0])} is there already; node {taken[0]} needs its name"
            )

    def _model_of(self, workflow: str, node: str) -> Model:
        return self._registry.get(model_name(workflow, node))

    def _node(
        self,
        workflow: str,
        files: Unpacked[WorkflowManifest],
        response_timeout: float | None,
        startup_timeout: float | None,
        node: Node,
    ) -> Registration:
        """How a node is registered: a model by its own archive, a function by the workflow's folder."""
        return Registration(
            url=node.url or str(files.model_dir),
            model_name=model_name(workflow, node.name),
            handler=None if node.url else f"{files.manifest.handler}:{node.name}",
            batch_size=node.batch_size,
            max_batch_delay=node.max_batch_delay,
            initial_workers=node.max_workers if node.url else 1,
            response_timeout=response_timeout,
            startup_timeout=startup_timeout,
            role="node" if node.url else "function",
        )

    async def _registered(self, workflow: str, nodes: list[Registration]) -> list[Model]:
        """The models of all nodes, side by side; all or none."""
        tasks = [asyncio.ensure_future(self._registry.register(node)) for node in nodes]
        failures: list[str] = []
        try:
            for node, outcome in zip(nodes, await asyncio.gather(*tasks, return_exceptions=True), strict=True):
                if isinstance(outcome, BaseException):
                    told = outcome.explained() if isinstance(outcome, ServingError) else str(outcome)
                    failures.append(f"Workflow Node {node.model_name} failed to register. Details: {told}")
            if failures:
                raise WorkflowFailed(f"Workflow {workflow} has failed to register. Failures: [{', '.join(failures)}]")
        except BaseException:
            await asyncio.shield(asyncio.ensure_future(self._taken_back(tasks)))
            raise
        return [task.result() for task in tasks]

    async def _taken_back(self, tasks: list[asyncio.Task[Model]]) -> None:
        await asyncio.wait(tasks)
        models = [task.result() for task in tasks if not task.cancelled() and not task.exception()]
        await asyncio.gather(*(self._registry.withdraw(model, drain_timeout=0) for model in models))


def model_name(workflow: str, node: str) -> str:
    """What the model of a node is called (contract: workflows, section 1)."""
    return f"{workflow}__{node}"


def _specification(files: Unpacked[WorkflowManifest]) -> WorkflowSpec:
    """What the archive says; its handler file is looked through and not run. Raises InvalidWorkflow, InvalidDag."""
    functions = None
    if handler := files.manifest.handler:
        with (files.model_dir / handler).open("rb") as file:
            functions = file.read(HANDLER_BYTES).decode("utf-8", "replace")
    return WorkflowSpec.read(files.model_dir / files.manifest.spec_file, functions)
