"""What the simulators that ship with plugins are built of: a vendor's server on loopback that hears and speaks tones.

For whoever writes a simulator; nothing that makes calls imports it, and it imports nothing of `patter.testing`.
"""
