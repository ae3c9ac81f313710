"""Reading the files of datasets: folder trees, images and JSON."""
