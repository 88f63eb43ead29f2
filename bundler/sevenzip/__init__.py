"""7z archives that hold a bundle, read in place."""
