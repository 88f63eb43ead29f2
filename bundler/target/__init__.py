"""Describing isolated hosts: the probe, its short form, stock targets, and whether a recipe fits one."""
