"""Zero-shot forecasts of recordings: how models trained on generated motion do on measured motion.

    python -m benchmarks.real_recordings --data FOLDER --model trajectory-3d outputs/trajectory_3d/my_run

Recordings are not part of the project; the folder holds them under the file names of `catalogue`.
"""
