"""Deterministic simulation: random calls from a seed, judged by what Patter promises.

The level of the pure machines (`patter simulate --machines`): `draw` makes a call script from a seed, `stage` plays it
with the real machines, a virtual carrier and misbehaving providers, `invariants` judges what came of it, and `run`
does that many times over several processes.
"""
