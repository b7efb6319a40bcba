"""Graphs as modules."""

import numpy as np
import pytest
from numserve.engine import ShapeError, Tensor, nn
from numserve.engine.compiled import compile_module
from numserve.engine.graph import GraphModule, capture


def a_graph():
    class Scaled(nn.Module):
        def __init__(self):
            super().__init__()
            self.body = nn.Sequential(nn.Linear(3, 4), nn.ReLU())
            self.register_buffer("steps", Tensor(np.arange(4)))

        def forward(self, x):
            y = self.body(x)
            return {"scaled": y * self.steps, "plain": y}

    module = Scaled().eval()
    x = Tensor(np.random.default_rng(1).standard_normal((2, 3)).astype(np.float32))
    return module, capture(module, x), x


def test_a_graph_runs_as_a_module_with_the_same_structure():
    module, graph, x = a_graph()

    met = GraphModule(graph)(x)

    assert met.keys() == {"scaled", "plain"}
    np.testing.assert_allclose(met["scaled"].array, module(x)["scaled"].detach().array, rtol=1e-5, atol=1e-6)


def test_its_constants_are_its_state_under_their_dotted_names():
    module, graph, _ = a_graph()

    state = GraphModule(graph).state_dict()

    assert state.keys() == module.state_dict().keys()
    assert state["steps"].array.dtype == np.int64


def test_loaded_weights_reach_the_graph():
    _, graph, x = a_graph()
    module = GraphModule(graph)

    module.load_state_dict({name: Tensor(t.array * 0) for name, t in module.state_dict().items()})

    assert not module.graph.constants["body.0.weight"].any()
    assert not module(x)["plain"].array.any()


def test_it_is_compiled_by_its_own_graph():
    module, graph, x = a_graph()

    compiled = compile_module(GraphModule(graph), x)

    assert compiled.reason == ""
    np.testing.assert_allclose(compiled(x)["plain"].array, module(x)["plain"].detach().array, rtol=1e-5, atol=1e-6)


def test_inputs_can_be_given_by_name_and_must_fit():
    _, graph, x = a_graph()
    module = GraphModule(graph)

    assert module(x=x)["plain"].shape == (2, 4)
    with pytest.raises(ShapeError, match="met shape"):
        module(Tensor(np.zeros((2, 5), np.float32)))
    with pytest.raises(ShapeError, match="has the inputs x"):
        module()


def test_names_that_no_module_can_have_are_kept():
    _, graph, _ = a_graph()
    module = GraphModule(graph)

    module.keep_state({"forward": np.ones(1, np.float32), "a..b": np.ones(2), "steps.of": np.ones(3)})

    assert module.state["forward"].shape == (1,) and module.state["a..b"].shape == (2,)
    assert module.state["steps.of"].shape == (3,)
