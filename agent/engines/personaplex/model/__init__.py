"""The language model: weights only; everything that changes during a call is passed in."""
