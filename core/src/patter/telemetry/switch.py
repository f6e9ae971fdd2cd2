"""Whether OpenTelemetry is on. Imports nothing of it: neither to find out, nor when it is off (OB-01)."""

from __future__ import annotations

from collections.abc import Mapping
from importlib.machinery import PathFinder
from importlib.util import find_spec
from typing import Final

from patter.errors import ConfigError
from patter.plugins.settings import Variable

ENABLED: Final = Variable(
    "PATTER_OTEL_ENABLED",
    "1, true or yes turns traces on, where `opentelemetry-sdk` is installed; anything else leaves them off.",
    "0",
)
ENDPOINT: Final = Variable(
    "OTEL_EXPORTER_OTLP_ENDPOINT",
    "Where traces go over OTLP/HTTP, at this address and `/v1/traces`; needs `opentelemetry-exporter-otlp-proto-http`.",
    "none",
)

#: what the documentation lists
VARIABLES: Final = (ENABLED, ENDPOINT)

_ON: Final = ("1", "true", "yes")


def is_on(environ: Mapping[str, str]) -> bool:
    """Whether the environment asks for traces and the SDK is there to make them."""
    return is_wanted(environ) and is_installed()


def is_wanted(environ: Mapping[str, str]) -> bool:
    """Whether the environment asks for traces."""
    return environ.get(ENABLED.name, "").strip().lower() in _ON


def is_installed() -> bool:
    """Whether OpenTelemetry's SDK can be imported."""
    # `find_spec("opentelemetry.sdk")` would import the package it lies in.
    namespace = find_spec("opentelemetry")
    if namespace is None or namespace.submodule_search_locations is None:
        return False
    return PathFinder.find_spec("opentelemetry.sdk", namespace.submodule_search_locations) is not None


def otlp_target(environ: Mapping[str, str]) -> str | None:
    """Where spans are sent over OTLP/HTTP; None when no endpoint is set (OB-08).

    Raises `ConfigError` for an endpoint that is no http or https address.
    """
    endpoint = environ.get(ENDPOINT.name, "").strip()
    if not endpoint:
        return None
    if not endpoint.startswith(("http://", "https://")):
        raise ConfigError(
            f"{ENDPOINT.name} must be an http or https address; OTLP over gRPC is not supported"
        )
    return endpoint.rstrip("/") + "/v1/traces"
