"""The figures of a phone for Prometheus: an endpoint ``/metrics`` on its server."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from patter import hookimpl
from patter.plugins.settings import Variable

if TYPE_CHECKING:
    from patter import Patter

TOKEN = Variable(
    "PATTER_PROMETHEUS_TOKEN",
    "Who reads /metrics must send this as a bearer token. Without one only this machine may read it.",
    "none",
)

#: what the documentation lists
VARIABLES = (TOKEN,)


@hookimpl
def patter_configure(phone: Patter) -> None:
    """Each phone has figures of its own."""
    from patter_prometheus.observer import PhoneObserver

    phone.register(PhoneObserver(phone), name="prometheus figures")


@hookimpl
def patter_add_routes(app: Any, phone: Patter) -> None:
    """The endpoint."""
    from patter_prometheus.endpoint import add_endpoint
    from patter_prometheus.observer import observer_of

    add_endpoint(app, observer_of(phone).registry, phone.plugins.environ.get(TOKEN.name, ""))
