"""The Twilio carrier."""

from __future__ import annotations

from patter import CarrierRecord, hookimpl


@hookimpl
def patter_register_carrier() -> list[CarrierRecord]:
    """The carrier ``twilio``."""
    return [
        CarrierRecord(
            "twilio",
            "patter_twilio.carrier:TwilioCarrier",
            config="patter_twilio.config:TwilioConfig",
            env={
                "account_sid": "TWILIO_ACCOUNT_SID",
                "auth_token": "TWILIO_AUTH_TOKEN",
                "api_key_sid": "TWILIO_API_KEY",
                "api_key_secret": "TWILIO_API_SECRET",
                "region": "TWILIO_REGION",
                "edge": "TWILIO_EDGE",
            },
            description="Twilio Programmable Voice and Media Streams",
            marks=True,
            clear=True,
            transfers=("cold", "warm"),
            recording=True,
            machine_detection=True,
            sip=True,
            speaks=True,
            stream=("mulaw", 8000),
            default_ring_s=60.0,
            billing_increment_s=60,
            prices="patter_twilio:prices.json",
            reports_bill=True,
            simulator="patter_twilio.simulator:Simulator",
        )
    ]
