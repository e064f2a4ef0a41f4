"""The interactive report: one page that holds its data and its scripts, and asks no network for anything."""
