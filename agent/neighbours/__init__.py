"""What is said in calls that other processes carry, and an operator's hand on them.

page ─▶ LiveNeighbours ─┬─ Unix socket, DATA/live/… ─▶ another process of this machine ─▶ Answers ─▶ LiveCalls
                        └─ POST /peers/live ─▶ any process of another machine ─ Unix socket ─▶ the one that carries it

A question is one sealed line (`seals.py`); the answer is lines of JSON (`answers.py`).
"""

from agent.neighbours.neighbours import LiveNeighbours as LiveNeighbours
