"""The one error class of this room."""


class CheckpointError(ValueError):
    """A checkpoint that cannot be written or read; says which file, what is wrong, what to do."""
