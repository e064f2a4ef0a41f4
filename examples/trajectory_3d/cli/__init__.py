"""The commands: parsers that import nothing heavy, and one place that turns errors into exit codes."""
