"""The account of the tests, and its keys."""

from __future__ import annotations

ACCOUNT = "AC" + "3" * 32
KEY = "SK" + "4" * 32
SECRETS = ("the-auth-token", "the-key-secret")
