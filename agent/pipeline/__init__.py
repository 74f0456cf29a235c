"""The media path of one call in pipecat's terms; nothing outside this folder knows its frames.

input ──▶ caller's tap ──▶ DuplexProcessor ──▶ output ──▶ agent's tap
"""
