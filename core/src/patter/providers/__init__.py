"""The eight interfaces that plugins implement, one file each, with their events.

Import from the files (`from patter.providers.stt import STT, Final`) or, for the names that plugin modules need at
import time, from `patter` itself. This package imports nothing, so that a barge-in strategy costs its user no numpy.
"""
