"""PersonaPlex on torch: many full-duplex calls on one device."""
