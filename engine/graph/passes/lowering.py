"""lower(), which applies all passes in order."""

from __future__ import annotations

from collections.abc import Callable

from ..ir import Graph
from ..memory import at_home
from .attention import recognise_attention
from .channels_last import to_channels_last
from .cleaning import fold_constants, merge_equal, remove_dead
from .clips import clip_inputs
from .draft import Draft
from .endings import fuse_endings
from .functions import recognise_functions
from .identities import remove_identities
from .joins import unify_joins
from .norms import recognise_norms
from .padding import drop_padded_taps, fold_padding
from .pools import pool_before_pointwise
from .products import lower_products, merge_products, unify_products
from .scaling import fold_scaling, merge_scaling
from .view_chains import simplify_views

Pass = Callable[[Graph], Graph]


def align_constants(graph: Graph) -> Graph:
    """Lay every constant out in order from a cache line's beginning, so that no plan has to."""
    draft = Draft(graph)
    draft.constants = {name: at_home(array) for name, array in draft.constants.items()}
    for node in graph.nodes:
        draft.keep(node)
    return draft.finish()


PASSES: tuple[Pass, ...] = (
    remove_dead,
    merge_equal,
    fold_constants,
    remove_identities,
    recognise_functions,
    recognise_norms,
    unify_products,
    unify_joins,
    fold_padding,
    drop_padded_taps,
    fold_scaling,
    simplify_views,
    recognise_attention,
    pool_before_pointwise,
    merge_products,
    to_channels_last,
    remove_identities,
    simplify_views,
    merge_equal,
    fold_scaling,
    merge_scaling,
    lower_products,
    fuse_endings,
    clip_inputs,
    align_constants,
)


def lower(graph: Graph) -> Graph:
    """The graph as executors want it: images with channels last, products fused with what surrounds them."""
    for apply in PASSES:
        graph = apply(graph)
    return graph.validate()
