"""The folder of a run: its stores and artifacts, what they were made from, and what has changed."""
