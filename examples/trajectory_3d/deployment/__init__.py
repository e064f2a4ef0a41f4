"""A model as a folder that serves it anywhere."""
