"""How a scene becomes an image: rasterisation, shading, shadows, weather, lens."""
