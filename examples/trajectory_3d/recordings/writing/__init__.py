"""Writers of trajectories, one idea a module; see `examples.trajectory_3d.recordings.writers`."""
