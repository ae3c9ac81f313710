"""Finding images and labels that belong together by name, and reporting what is missing or not read."""
