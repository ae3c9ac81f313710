"""Measures of synthetic images: arrays in, numbers out. docs/measures.md says when each is to be believed."""
