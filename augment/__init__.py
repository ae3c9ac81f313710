"""The LUMEN model: backbones, neural layouts, adapters, sampling and metrics on arrays and tensors."""
