"""Applications built on the ``m`` platform."""
