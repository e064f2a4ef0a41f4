"""Recordings as a source of training and evaluation windows: found, cut, shared out, shuffled, streamed."""
