"""m: mixture-of-experts transformers for continuous sequences of any dimension."""

__version__ = "0.1.0"
