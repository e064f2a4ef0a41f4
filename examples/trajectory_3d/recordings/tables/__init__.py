"""Tables of named columns as tracks: one idea, used by every format that holds a table."""
