"""Helm charts as they come: the archive, what helm renders from it, and the images in that."""
