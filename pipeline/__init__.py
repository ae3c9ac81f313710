"""The distributed workflow: datasets, stores, the engine, its stages and the command line."""
