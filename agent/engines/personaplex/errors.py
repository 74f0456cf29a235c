"""What the engine refuses; each message is one sentence for the operator that names the remedy."""

from agent.duplex import DuplexError, EngineUnavailable


class CheckpointError(EngineUnavailable):
    """A checkpoint that can't be loaded."""


class VoiceError(DuplexError):
    """A voice that does not exist or can't be read."""


class PromptError(DuplexError):
    """A role prompt that does not fit, or a way of drawing that the engine does not have."""
