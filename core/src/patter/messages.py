"""`on_message`: the application answers the caller itself, in place of a language model."""

from __future__ import annotations

import inspect
import logging
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast

from patter.errors import ConfigError, InputError
from patter.outbound_addresses import check_allow_hosts, check_url

if TYPE_CHECKING:
    from patter.call.call import Call
    from patter.providers.llm import Message

logger = logging.getLogger(__name__)

#: schemes of a message webhook
SCHEMES = ("http", "https", "ws", "wss")


@dataclass(frozen=True, slots=True)
class CallerMessage:
    """What the caller said in one turn, for `on_message`.

    Attributes:
        text: what was said.
        call_id: the call's id.
        caller: the caller's number, as the carrier gives it.
        callee: the number that was called.
        history: what was said before, as heard, the oldest entry first.
    """

    text: str
    call_id: str
    caller: str
    callee: str
    history: tuple[Message, ...] = ()


class MessageWebhook:
    """A server that answers the caller (TL-07).

    `http(s)` URLs get a POST for each turn, `ws(s)` URLs a socket. Plain `http` and `ws` are used, with a warning:
    anybody on the way can read what is said, and change it.

    Args:
        url: where it listens. It may come from outside, so addresses that are not public are refused.
        secret: key of the HMAC-SHA256 that goes along in ``X-Patter-Signature``; None sends none.
        allow_hosts: host names and addresses that are reached wherever they are, such as ``["localhost"]`` in a test.

    Raises:
        ConfigError: the URL or the list cannot be used.
    """

    __slots__ = ("allow_hosts", "host", "secret", "streams", "url")

    def __init__(self, url: str, *, secret: str | None = None, allow_hosts: Iterable[str] = ()) -> None:
        try:
            self.allow_hosts = check_allow_hosts("on_message", allow_hosts)
            target = check_url(url, self.allow_hosts, schemes=SCHEMES)
        except InputError as error:
            raise ConfigError(f"on_message: {error}") from None
        if secret == "":
            raise ConfigError("on_message: the secret is empty; leave it out to sign nothing")
        self.url = target.url
        self.host = target.host
        self.secret = secret
        self.streams = target.scheme in ("ws", "wss")
        if target.scheme in ("http", "ws"):
            logger.warning(
                "on_message: what is said goes to %s unencrypted; use %ss://", target.host, target.scheme
            )

    def __repr__(self) -> str:
        return f"<MessageWebhook at {self.host}>"


#: what answers the caller in place of a model
MessageHandler = Callable[[CallerMessage], Any] | Callable[[CallerMessage, "Call"], Any] | MessageWebhook


def message_handler(value: Any) -> MessageHandler:
    """`value` as a handler: a URL becomes a `MessageWebhook`. Raises `ConfigError` for what cannot answer."""
    if isinstance(value, MessageWebhook):
        return value
    if isinstance(value, str):
        return MessageWebhook(value)
    if not callable(value) or isinstance(value, type):
        raise ConfigError("on_message must be a function, a URL or a MessageWebhook")
    if any(inspect.isgeneratorfunction(one) for one in (value, type(value).__call__)):
        raise ConfigError("on_message: a generator would keep all calls waiting; write it as async def")
    try:
        inspect.signature(value).bind(*((None, None) if takes_call(value) else (None,)))
    except TypeError:
        raise ConfigError(
            "on_message must take one argument, the caller's message, or two, the message and the call"
        ) from None
    except ValueError:
        pass  # there is no signature to look at
    return cast("MessageHandler", value)


def takes_call(function: Callable[..., Any]) -> bool:
    """Whether a message handler has a second positional parameter, which is the call (CC-08)."""
    try:
        parameters = inspect.signature(function).parameters.values()
    except (TypeError, ValueError):
        return False
    positional = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
    return sum(parameter.kind in positional for parameter in parameters) >= 2
