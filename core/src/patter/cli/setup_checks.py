"""Whether an agent and a phone could carry a call here, checked as far as is possible without a connection.

Nothing is dialled and nothing listens: providers are made, which opens nothing, and asked what they take and give.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from patter.audio.convert import Converter
from patter.audio.formats import MULAW_8K, AudioFormat
from patter.cli.diagnosis import diagnose
from patter.client import Patter
from patter.environment import Environment
from patter.errors import PatterError
from patter.phone_settings import read_settings
from patter.plugins import PluginManager, SharedObjectPool, build
from patter.plugins.listing import first_line
from patter.providers.context import ProviderContext
from patter.records import PROVIDER_KINDS, ProviderKind
from patter.redaction import redact
from patter.server.address import PublicAddress
from patter.server.host import DeskHost
from patter.server.trunks import make_trunks

if TYPE_CHECKING:
    from patter.agent import Agent
    from patter.call.plan import CallPlan, Part
    from patter.providers.carrier import Carrier

#: options of an agent that may name a provider by a reference
_REFERENCES: dict[str, ProviderKind] = {
    "stt": "stt",
    "llm": "llm",
    "tts": "tts",
    "engine": "realtime",
    "vad": "vad",
    "noise_filter": "noise_filter",
}
#: what the flags of an engine's record say, after "can" or "cannot"
_ABILITIES: Final = {
    "turn_events": "tell when the caller speaks",
    "client_interrupt": "be asked to answer and to stop",
    "native_greeting": "protect its first message by itself",
    "truncate": "forget what was not heard",
    "reconnect": "go on after a lost connection",
}
#: the formats in which a provider takes or gives audio
FormatsOf = Callable[[Any], tuple[AudioFormat, ...]]
_NO_ADDRESS = (
    "no public address is known, so no carrier can reach this phone: set --webhook-url, PATTER_WEBHOOK_URL or "
    "webhook_url under [phone] in patter.toml to an https address that leads here, such as a tunnel's"
)
_NO_CARRIER = (
    "no carrier is named, so no telephone call comes in: set --carrier, PATTER_CARRIER or carrier under [phone] in "
    "patter.toml (`patter providers carrier` lists those that are installed)"
)


@dataclass(frozen=True, slots=True)
class Finding:
    """What one check found. `problem` says what is wrong, which setting it is and what to do; empty when all is well."""

    area: str
    text: str
    problem: str = ""


@dataclass(frozen=True, slots=True)
class PhoneOptions:
    """What the command line says of the phone; None leaves it to file and environment."""

    config: str | None = None
    carrier: str | None = None
    phone_number: str | None = None
    webhook_url: str | None = None


def check_setup(
    load: Callable[[], Agent], options: PhoneOptions, manager: PluginManager
) -> Iterator[Finding]:
    """Check everything between an agent and its caller, part by part; never raises for what it finds."""
    try:
        yield from _settings_file(options, manager)
        phone = Patter(
            options.carrier,
            config=options.config,
            manager=manager,
            phone_number=options.phone_number,
            webhook_url=options.webhook_url,
        )
    except PatterError as error:
        yield Finding("settings", "the phone's settings", first_line(error))
        return
    yield _public_address(phone)
    carriers = yield from _carriers(phone, options)
    try:
        agent = phone.complete(load())
    except PatterError as error:
        yield Finding("agent", "the agent", first_line(error))
        return
    yield from _keys(agent, manager)
    try:
        plan = phone.planner.plan_once(agent)
    except PatterError as error:
        yield Finding("agent", "its providers and rules", first_line(error))
        return
    yield from _manner(plan)
    for line_format in {one.audio_format() for one in carriers} or {MULAW_8K}:
        yield from _audio_path(manager, plan, line_format)


def _settings_file(options: PhoneOptions, manager: PluginManager) -> Iterator[Finding]:
    file = read_settings(options.config, manager.environ)
    yield Finding(
        "settings", "the settings file can be read" if file.phone or file.agent else "no settings file"
    )
    for kind, tables in file.providers.items():
        if kind not in PROVIDER_KINDS:
            kinds = ", ".join(PROVIDER_KINDS)
            yield Finding(
                "settings", f"[{kind}]", f"no kind of provider has this name, so nothing reads it: {kinds}"
            )
            continue
        for name in tables:
            if manager.find(kind, name) is None:
                problem = (
                    f"no installed plugin provides it: install one, or take [{kind}.{name}] out of the file"
                )
                yield Finding("settings", f"[{kind}.{name}]", problem)


def _public_address(phone: Patter) -> Finding:
    url = phone.settings.webhook_url
    if url is None:
        return Finding("public address", "webhook_url", _NO_ADDRESS)
    return Finding("public address", f"carriers reach this phone at {redact(url)}")


def _carriers(phone: Patter, options: PhoneOptions) -> Generator[Finding, None, list[Carrier]]:
    """Findings about the carriers; returns those that could be made."""
    named = options.carrier or phone.carrier_reference
    if named is None:
        yield Finding("carrier", "carrier", _NO_CARRIER)
        return []
    made: list[Carrier] = []
    environment = Environment()
    address = PublicAddress(phone.settings.webhook_url)
    try:
        context = ProviderContext(environment, SharedObjectPool())
        for trunk in make_trunks(phone.plugins, phone.planner, context, named):
            name, carrier = trunk.record.name, trunk.carrier
            carrier.attach(DeskHost(name, phone.switchboard, address, environment, ""))
            made.append(carrier)
            yield Finding("carrier", f"{name} for {redact(phone.settings.phone_number)}")
            if address.known:
                for webhook in carrier.webhooks():
                    yield Finding("carrier", f"webhook {webhook}: {address.webhook(name, webhook)}")
    except PatterError as error:
        yield Finding("carrier", "the carrier's settings", first_line(error))
    return made


def _keys(agent: Agent, manager: PluginManager) -> Iterator[Finding]:
    """For each provider that is named, whether it is installed and has what it needs; keys are never shown."""
    for option, kind in _REFERENCES.items():
        reference = getattr(agent, option)
        if not isinstance(reference, str):
            continue
        found = diagnose(manager, option, kind, reference)
        keys = ", ".join(f"{name} is {'set' if is_set else 'not set'}" for name, is_set in found.environment)
        yield Finding(option, found.reference + (f" ({keys})" if keys else ""), found.problem)


def _manner(plan: CallPlan) -> Iterator[Finding]:
    """How the agent takes turns, and what its engine is good for."""
    if "realtime" not in plan.parts:
        yield Finding("agent", f"a pipeline, whose turns are ended by: {plan.turn_end}")
        return
    decides = (
        "Patter decides when it answers and stops"
        if plan.patter_decides
        else "it answers and stops by itself"
    )
    yield Finding("agent", f"an engine: {decides}")
    part = plan.parts["realtime"]
    can = [what for flag, what in _ABILITIES.items() if getattr(part.resolved.record, flag)]
    cannot = [what for flag, what in _ABILITIES.items() if not getattr(part.resolved.record, flag)]
    for verb, listed in (("can", can), ("cannot", cannot)):
        if listed:
            yield Finding("engine", f"{part.reference} {verb} {', '.join(listed)}")


def _audio_path(manager: PluginManager, plan: CallPlan, line: AudioFormat) -> Iterator[Finding]:
    """How audio gets from the line to the recogniser, and from the voice to the line; of an engine, both."""
    context = ProviderContext(Environment(), SharedObjectPool(), "doctor", line)
    checks: tuple[tuple[ProviderKind, FormatsOf], ...] = (
        ("stt", lambda stt: (line if line in stt.input_formats() else stt.input_formats()[0],)),
        ("realtime", lambda engine: engine.audio_formats()),
        ("tts", lambda tts: (tts.output_format(),)),
    )
    for kind, formats_of in checks:
        if kind in plan.parts:
            yield _path_of(manager, plan.parts[kind], context, line, formats_of)


def _path_of(
    manager: PluginManager,
    part: Part,
    context: ProviderContext,
    line: AudioFormat,
    formats_of: FormatsOf,
) -> Finding:
    kind = "engine" if part.resolved.kind == "realtime" else part.resolved.kind
    try:
        formats = formats_of(build(manager, part.resolved, context, sources=part.sources))
        for theirs in formats:
            Converter(line, theirs)
            Converter(theirs, line)
    except Exception as error:  # a plugin's own code
        problem = (
            f"{type(error).__name__}: {redact(error)}: choose other settings of {kind}, or another {kind}"
        )
        return Finding("audio", f"{kind} {part.reference}", problem)
    ways = dict.fromkeys(
        "untouched" if theirs == line else f"converted, {theirs.encoding.value} at {theirs.rate} Hz"
        for theirs in formats
    )
    how = " and ".join(ways)
    return Finding(
        "audio", f"{kind} {part.reference}: the line's {line.encoding.value} at {line.rate} Hz, {how}"
    )
