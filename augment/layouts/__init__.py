"""Neural layouts: dense features projected on the components of a dataset, and all that is done with them."""
