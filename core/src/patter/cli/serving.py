"""What ``patter serve`` does once it has a phone and an agent."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from patter.cli.running import StopSignals, say, wait_aloud

if TYPE_CHECKING:
    from patter.agent import Agent
    from patter.client import Patter

#: how often a start that takes its time is talked about, in s
LOADING_EVERY_S = 5.0
#: the webhook that carriers call when a call comes in
VOICE = "voice"

_NO_PUBLIC_URL = """\
No public address is known: no carrier can reach this server yet, so no call will come in.
  1. Get an https address that leads to {local}: a tunnel (cloudflared, ngrok),
     or a reverse proxy with a certificate on a machine of yours.
  2. Start again with it: --webhook-url https://... (or PATTER_WEBHOOK_URL, or webhook_url
     under [phone] in patter.toml).
  3. Enter at {carrier}, for calls that come in to {number}, as an HTTP POST:
       https://.../webhooks/{carrier}/{webhook}"""

_PUBLIC_URL = """\
Enter at {carrier}, for calls that come in to {number}, as an HTTP POST:
  {url}"""


async def serve(phone: Patter, agent: Agent) -> int:
    """Serve until a signal or the phone's own end. Raises what keeps the phone from serving."""
    with StopSignals() as stop:
        serving = asyncio.ensure_future(phone.serve(agent))
        stopped = asyncio.ensure_future(stop.requested.wait())
        ready = phone.ready
        await wait_aloud(
            lambda: "loading what the agent needs ...", serving, ready, stopped, every_s=LOADING_EVERY_S
        )
        if ready.done() and not ready.cancelled() and ready.exception() is None:
            print(announcement(phone), flush=True)
            await asyncio.wait({serving, stopped}, return_when=asyncio.FIRST_COMPLETED)
        if not serving.done() and stop.requested.is_set():
            await _end(phone, serving)
        stopped.cancel()
        if not serving.cancelled():
            await serving
    return 0


async def _end(phone: Patter, serving: asyncio.Future[None]) -> None:
    """Refuse new calls, end those that run, close everything: at most 10 s (LC-08)."""
    count = len(phone.switchboard.lines())
    calls = f" {_calls(count)}" if count else ""
    say(f"stopping{calls} (Ctrl-C again stops at once)")
    serving.cancel()
    await wait_aloud(lambda: f"still stopping: {_calls(len(phone.switchboard.lines()))} left ...", serving)
    say("stopped")


def _calls(count: int) -> str:
    return "1 call" if count == 1 else f"{count} calls"


def announcement(phone: Patter) -> str:
    """What a phone that listens tells whoever started it."""
    parts = []
    public = phone.settings.webhook_url
    number = phone.settings.phone_number or "your number"
    for name, trunk in phone.switchboard.trunks.items():
        webhooks = trunk.carrier.webhooks()
        webhook = VOICE if VOICE in webhooks else next(iter(webhooks), VOICE)
        if public is None:
            parts.append(_NO_PUBLIC_URL.format(local=phone.url, carrier=name, number=number, webhook=webhook))
        else:
            url = phone.webhook_url(name, webhook)
            parts.append(_PUBLIC_URL.format(carrier=name, number=number, url=url))
    health = f"{(public or phone.url).rstrip('/')}/health"
    parts.append(f"Health: {health}\nListening on {phone.url}; Ctrl-C stops.")
    return "\n".join(parts)
