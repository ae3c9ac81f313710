"""How a scene becomes an image: rasterisation, light, weather, lens."""
