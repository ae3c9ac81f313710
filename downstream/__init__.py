"""What the data was worth: mmsegmentation training on stores, comparison and report."""
