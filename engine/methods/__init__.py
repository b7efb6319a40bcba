"""The methods of Tensor, by family; each passes the one door, `apply`."""
