"""The generator: base models, the layout ControlNet, its training and the batched sampler."""
