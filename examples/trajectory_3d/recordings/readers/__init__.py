"""Readers of recordings, one idea a module; see `examples.trajectory_3d.recordings.registry`."""
