"""Training the layout adapter: examples, the random choices of a step, the objective."""
