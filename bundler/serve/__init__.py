"""A verified bundle, served to hosts nearby without unpacking it: images, wheels, packages, files."""
