"""Painting images on layouts."""
