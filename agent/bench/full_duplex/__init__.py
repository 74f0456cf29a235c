"""Full-Duplex-Bench (arXiv 2503.04721 and 2507.23159) against any engine: when it speaks, and when it stops.

samples ─▶ answering: input.wav through an engine ─▶ output.wav, output.json ─▶ scores ─▶ report
"""
