"""A phone whose calls are watched."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from call_watch import Watch, current
from parking import Log, Vendors


@pytest.fixture
def watch(phone: Any) -> Iterator[Watch]:
    """What is told of the calls of `phone`, in a module marked with ``patter_phone(**WATCHED)``."""
    current.append(Watch(phone))
    yield current[-1]
    current.pop()


@pytest.fixture
def log(phone: Any) -> Log:
    """The vendors of the phone."""
    log = Log()
    phone.register(Vendors(log))
    return log
