"""Forecasting how something moves in 3-D, on the ``m`` platform."""
