"""Checks of data, models and resources before a run writes anything."""
