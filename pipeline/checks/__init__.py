"""Checks that `lumen plan` and `lumen run` make before any work, so that a fault is one line and not a failed run.

- `resources`: whether this machine or the cluster has the CPUs and GPUs that the stages request.
- `labels`: whether some labels and images of each split can be read and learned from. `label_scan` reads labels and
  counts their classes, `label_rules` has the faults.
- `hub`: whether each model is in a folder, in the cache of the hub or on the hub.
- `models`: whether the backbone, the base model and the captioner fit together, by their configurations alone.
- `prompts`: whether the templates and domains fit the text encoder.
"""
