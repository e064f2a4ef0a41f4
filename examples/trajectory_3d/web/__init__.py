"""What the project's pages share: how one is put together, its style, and how paths and tables are drawn."""
