"""Calls that do not come about: full, forged, without a secret or a token."""

from __future__ import annotations

from typing import Any

import aiohttp
import pytest
from parrot_phone import PUBLIC, Parrot, phone, ring, until

from patter.errors import ConfigError
from patter.net import session
from patter.providers.carrier import (
    MarkReached,
)
from patter.providers.context import ProviderContext
from patter.server.address import PublicAddress
from patter.server.application import add_routes, build_application
from patter.server.listener import Listener
from patter.testing.memory_network import MemoryNetwork
from patter.testing.virtual_loop import run_virtual
from patter_twilio.carrier import TwilioCarrier
from patter_twilio.config import TwilioConfig
from patter_twilio.simulator import (
    Faults,
)


def test_a_call_over_the_limit_hears_the_message_and_the_others_go_on() -> None:
    async def scenario() -> None:
        async with phone() as (_, simulator):
            calls = [await ring(simulator), await ring(simulator)]
            refused = await ring(simulator)
            await refused.wait_closed()
            assert refused.spoken == ["All our lines are busy."]
            assert refused.streams == []
            assert [call.status for call in calls] == ["in-progress"] * 2

    run_virtual(scenario(), network=MemoryNetwork())


@pytest.mark.behaviour("SC-01")
def test_wrong_or_missing_signatures_start_nothing() -> None:
    async def scenario() -> None:
        async with phone(faults=Faults(sign=False)) as (desk, simulator):
            call = await ring(simulator)
            await call.wait_closed()
            assert call.errors[0] == 11200
            assert any(event == "posted /webhooks/twilio/voice 403" for _, event in call.events)
            server = simulator.account.server_url
            async with session() as http:
                for name in ("voice", "status", "amd"):
                    async with http.post(
                        f"{server}/webhooks/twilio/{name}", data=dict(call.form())
                    ) as response:
                        assert response.status == 403
                token = desk.tokens.mint("call_x", "twilio")
                with pytest.raises(aiohttp.WSServerHandshakeError) as caught:
                    await http.ws_connect(f"{server}/ws/twilio/{token}")
                assert caught.value.status == 403
            assert (desk.offers, desk.heard, desk.detections, desk.registry.active()) == ([], [], [], ())
            assert desk.tokens.take(token, "twilio") == "call_x"

    run_virtual(scenario(), network=MemoryNetwork())


@pytest.mark.behaviour("SC-01")
def test_without_the_secret_the_server_is_not_built_and_foreign_routes_answer_503() -> None:
    async def scenario() -> None:
        address = PublicAddress(PUBLIC)
        desk = Parrot(address)
        config = TwilioConfig(account_sid="AC" + "0" * 32)
        carrier = TwilioCarrier(config, ProviderContext(desk.environment, shared=None))  # type: ignore[arg-type]
        with pytest.raises(ConfigError, match="TWILIO_AUTH_TOKEN"):
            build_application({"twilio": carrier}, desk, address=address, environment=desk.environment)

        class Mounted(TwilioCarrier):
            """As in an application that goes on although the carrier could not be attached."""

            def attach(self, host: Any) -> None:
                with pytest.raises(ConfigError):
                    super().attach(host)

        app = aiohttp.web.Application()
        mounted = Mounted(config, ProviderContext(desk.environment, shared=None))  # type: ignore[arg-type]
        add_routes(app, {"twilio": mounted}, desk, address=address, environment=desk.environment)
        listener = Listener(app, 0)
        await listener.start()
        async with session() as http:
            for name in ("voice", "status", "amd"):
                async with http.post(f"{listener.url}/webhooks/twilio/{name}", data={"a": "b"}) as response:
                    assert response.status == 503
        await listener.stop()
        assert desk.offers == []

    run_virtual(scenario(), network=MemoryNetwork())


@pytest.mark.behaviour("SC-04")
def test_a_media_token_is_of_one_call_and_of_one_use() -> None:
    async def scenario() -> None:
        async with phone() as (desk, simulator):
            call = await ring(simulator)
            await until(lambda: MarkReached("greeting") in desk.heard)
            used = desk.tokens.mint("call_x", "twilio")
            assert desk.claim("twilio", used) is not None
            for path in (used, "0" * 64, desk.tokens.mint("call_y", "another")):
                with pytest.raises(aiohttp.WSServerHandshakeError) as caught:
                    await simulator.connect(f"wss://voice.example.com/ws/twilio/{path}")
                assert caught.value.status == 403
            assert call.status == "in-progress"

    run_virtual(scenario(), network=MemoryNetwork())
