"""The passes: each a function from graph to graph that keeps its meaning."""
