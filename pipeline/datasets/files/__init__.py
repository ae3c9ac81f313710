"""Reading what datasets are stored in: folders, archives, images, JSON."""
