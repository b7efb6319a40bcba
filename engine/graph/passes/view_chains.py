"""simplify_views(), which brings chains of views into order, and operations on rows before the rows are turned."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from ..ir import Graph, Node, Value
from .draft import Draft
from .elementwise import BINARY, UNARY
from .views import Atom, Atoms, View, factors_of

VIEWS = ("reshape", "permute", "getitem")


def simplify_views(graph: Graph) -> Graph:
    """Write every chain of reshapes and permutes as one that splits dims, one that orders them, one that merges them.

    Splitting and ordering need no copy, whatever the source's strides. Functions of single elements, layer norms and
    linear layers are done to what is seen, in its own order, so that views which undo each other meet.
    """
    draft = _Chains(graph)
    for node in graph.nodes:
        if not (draft.view(node) if node.op in VIEWS else draft.sink(node)):
            draft.keep(node)
    return draft.finish()


class _Chains(Draft):
    def __init__(self, graph: Graph) -> None:
        super().__init__(graph)
        self.views: dict[str, View] = {}

    def seen(self, value: Any) -> View | None:
        """A value as a view of what it comes from, or of itself."""
        if not isinstance(value, Value):
            return None
        return self.views.get(value.name) or View.whole(value)

    def view(self, node: Node) -> bool:
        """A view of a view as what both do together."""
        source = self.seen(node.inputs[0])
        view = source.through(node) if source else None
        if view is None or source is None:
            return False
        self.views[node.output.name] = view
        if view.source == self.now(node.inputs[0]):
            self.keep(node)
        else:
            self.write(view, node)
        return True

    def sink(self, node: Node) -> bool:
        """An operation on what is seen rather than on the view of it, where it does not matter to it."""
        first = next((o for o in node.inputs if isinstance(o, Value) and o.name in self.views), None)
        view = self.views[first.name] if first else None
        if view is None or view.chosen or view.is_whole or len(node.outputs) > 1:
            return False
        if node.op in UNARY or node.op in BINARY:
            return self._elementwise(node, view)
        if node.inputs[0] != first:
            return False
        if node.op == "layer_norm" and node.attributes["dims"] == 1 and view.dims[-1] == view.atoms[-1]:
            return self._done(node, (view.source, *node.inputs[1:]), view, view.source.shape)
        return node.op == "linear" and self._linear(node, view)

    def _elementwise(self, node: Node, view: View) -> bool:
        """All operands are numbers, or sources of one shape that are seen alike."""
        inputs: list[Any] = []
        for operand in node.inputs:
            number = self.number(operand)
            other = self.views.get(operand.name) if isinstance(operand, Value) else None
            if number is not None and (not isinstance(operand, Value) or not operand.shape):
                inputs.append(operand)
            elif other is not None and _alike(other, view):
                inputs.append(other.source)
            else:
                return False
        return self._done(node, tuple(inputs), view, view.source.shape)

    def _done(self, node: Node, inputs: tuple[Any, ...], view: View, shape: Any) -> bool:
        """Write a node on sources, and the view of its result."""
        output = Value(self.fresh(node.output.name), shape, node.output.dtype)
        self.keep(replace(node, inputs=inputs, outputs=(output,)))
        self._show(node, view.of(output, view.atoms))
        return True

    def _linear(self, node: Node, view: View) -> bool:
        """A linear layer on rows in the order in which the source has them."""
        weight, rows = node.inputs[1], view.dims[:-1]
        ordered = view.in_source(atom for dim in rows for atom in dim)
        features = factors_of(node.output.shape[-1])
        alone = tuple((atom,) for atom in ordered)
        if not isinstance(weight, Value) or len(weight.shape) != 2 or rows == alone or not ordered or not features:
            return False
        into = replace(view, dims=(*alone, view.dims[-1]))
        source = self.written(into, node)
        last: Atoms = (Atom(features),) if features.number > 1 else ()
        shape = (*into.shape[:-1], node.output.shape[-1])
        output = Value(self.fresh(node.output.name), shape, node.output.dtype)
        self.keep(replace(node, inputs=(source, *node.inputs[1:]), outputs=(output,)))
        self._show(node, View(output, (*alone, last), (*rows, last)))
        return True

    def _show(self, node: Node, view: View) -> None:
        self.views[node.output.name] = view
        self.write(view, node)

    def write(self, view: View, node: Node) -> None:
        """Write a view under the name of a node's output."""
        made = self.written(view, node)
        self.stand_in(node.output, made)

    def written(self, view: View, node: Node) -> Value:
        """Write a view: split, choose, order, merge, as far as there is anything to do."""
        value, order = view.source, view.in_source((*view.order, *view.chosen))
        left = tuple(atom for atom in order if atom not in view.chosen)
        if left != view.order or view.chosen:
            value = self._step("reshape", value, tuple(a.factors.size for a in order), node)
            if view.chosen:
                index = tuple(view.chosen.get(atom, slice(None)) for atom in order)
                value = self._step("getitem", value, tuple(a.factors.size for a in left), node, index=index)
            if left != view.order:
                dims = tuple(left.index(atom) for atom in view.order)
                value = self._step("permute", value, tuple(a.factors.size for a in view.order), node, dims=dims)
        return self._step("reshape", value, view.shape, node)

    def _step(self, op: str, value: Value, shape: Any, node: Node, **attributes: Any) -> Value:
        if op == "reshape":
            if value.shape == shape:
                return value
            attributes = {"shape": shape}
        like = replace(node.output, dtype=value.dtype)
        return self.add(op, (value,), like, shape, layer=node.layer, **attributes)


def _alike(view: View, other: View) -> bool:
    """Whether two views do the same to sources of one shape, and nothing is left out."""
    same = view.source.shape == other.source.shape and view.signature() == other.signature()
    return same and not view.chosen and not other.chosen
