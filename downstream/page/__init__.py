"""Parts of the report: gains of classes and conditions, colours of labels, doubted pixels, cost, provenance."""
