"""Deterministic simulation of whole calls (`patter simulate`): the real engine between misbehaving ends.

From a seed comes a script (`script`); `play` plays it on a virtual-time loop of its own with everything that Patter
has: switchboard, session, providers' seams, hooks, the carrier's media protocol. What is made up is the far end of
the media stream (`line`) and the providers, hooks and tools (`providers`, `user_code`). `checks` judges what came of
it, together with the invariants that the simulation of the machines has.
"""
