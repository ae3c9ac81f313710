"""What is in a scene: the street, buildings, vehicles, people, the light and the camera. Imports no rendering."""
