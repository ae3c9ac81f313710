"""Checks that `lumen plan` and `lumen run` make before any work, so that a fault is one line and not a failed run.

- `resources`: whether this machine or the cluster has the CPUs and GPUs that the stages request.
- `labels`, by the rules in `label_rules`: whether some labels and images of each split can be read and learned from.
- `models`: whether the backbone, the base model and the captioner fit together, by their configurations alone.
- `prompts`: whether the templates and domains fit the text encoder.
"""
