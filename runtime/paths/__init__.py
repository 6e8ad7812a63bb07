"""One file a path: ways to produce an edited answer that leave the weights alone."""
