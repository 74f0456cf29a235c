"""Mimi, the streaming codec: 80 ms of audio ↔ eight codes. Weights only; state is passed in."""
