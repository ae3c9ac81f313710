"""The tests; a package, so that its own name wins over a package of that name in an environment."""
