"""`parley bench gateway`: many simulated phones in one process, one server in another, the audio itself measured.

Run ── pipe ──▶ phones (their own process) ══ sockets ══▶ server (its own process) ◀── pipe ── Run
 └─ what each phone said and heard ─▶ bursts ─▶ latency          CPU, memory, loop lag ─┘
"""
