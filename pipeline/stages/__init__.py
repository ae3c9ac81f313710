"""The stages of the workflow: what each one plans, reads and does with a batch."""
