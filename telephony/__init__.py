"""The phone network; knows no persona, database or model."""
