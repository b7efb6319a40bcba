"""HTTP on the wire: listeners, TLS, the protocol, and what a client may cost."""
