"""The page that a browser gets: forecasts to look at, and the server's faces to read about."""
