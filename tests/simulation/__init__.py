"""A deterministic simulation: one seed decides every interleaving, crash, lost reply and fault of one history.

Virtual producers and workers run over the real scripts on a real server; the API is a model with the sandbox's
faults, and time is virtual. After each history the promises are checked against what really happened.
"""
