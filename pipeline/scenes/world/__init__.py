"""What stands in a scene: the street, buildings, vehicles, people."""
