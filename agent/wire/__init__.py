"""The second port, between processes: PersonaPlex's /api/chat as functions of messages, without I/O.

engine's process: engines/personaplex/server ══ these messages ══ engines/remote, or anybody's client
"""
