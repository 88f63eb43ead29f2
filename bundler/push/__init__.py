"""A bundle into a registry, straight from its file: whole, or the images that it carries."""
