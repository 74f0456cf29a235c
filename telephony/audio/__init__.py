"""The phone's audio: µ-law, resampling between the phone's 8 kHz and an engine's 24 kHz, and framing."""
