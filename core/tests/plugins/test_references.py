from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from patter.errors import ConfigError
from patter.plugins import Reference, parse_reference
from patter.plugins.references import LONGEST


@pytest.mark.parametrize(
    ("text", "reference"),
    [
        ("twilio", Reference("twilio")),
        (" twilio\n", Reference("twilio")),
        ("deepgram/nova-3", Reference("deepgram", "nova-3")),
        ("openrouter/meta-llama/x:free", Reference("openrouter", "meta-llama/x:free")),
        ("elevenlabs/flash?voice=rachel", Reference("elevenlabs", "flash", {"voice": "rachel"})),
        ("stop-words?words=stop,hold on", Reference("stop-words", None, {"words": "stop,hold on"})),
        ("espeak?voice=en-gb+f3", Reference("espeak", None, {"voice": "en-gb+f3"})),
        ("x?a=1%262&b==", Reference("x", None, {"a": "1&2", "b": "="})),
        ("x?url=http://h/p?q=1", Reference("x", None, {"url": "http://h/p?q=1"})),
        ("x/my model", Reference("x", "my model")),
        ("x?empty=", Reference("x", None, {"empty": ""})),
    ],
)
def test_reads_provider_model_and_settings(text, reference):
    assert parse_reference(text) == reference


@pytest.mark.parametrize(
    "text",
    [
        *(
            "",
            "/",
            "Deepgram",
            "deep gram",
            "-x",
            "x-",
            "x/",
            "x/ a",
            "x/a ?b=1",
            "x/\x1b[2J",
            "x" * (LONGEST + 1),
        ),
        *("x?", "x?a", "x?=1", "x?a=1&", "x?a=1&a=2", "x?a b=1", "x/m?model=n", "x?a=%ff"),
    ],
)
def test_refuses_what_does_not_follow_the_grammar(text):
    with pytest.raises(ConfigError):
        parse_reference(text)


def test_neither_an_error_nor_a_repr_shows_the_value_of_a_setting():
    with pytest.raises(ConfigError) as caught:
        parse_reference("Deepgram?api_key=hunter2")
    assert "hunter2" not in str(caught.value)
    assert "hunter2" not in repr(parse_reference("deepgram?api_key=hunter2"))
    assert str(parse_reference("deepgram/nova?api_key=hunter2")) == "deepgram/nova"


def test_the_model_is_one_of_the_values():
    assert parse_reference("x/m?a=1").values == {"model": "m", "a": "1"}
    assert parse_reference("x?a=1").values == {"a": "1"}


@given(st.text(max_size=60))
def test_any_text_is_read_or_refused(text):
    try:
        reference = parse_reference(text)
    except ConfigError:
        return
    assert parse_reference(str(reference)).provider == reference.provider
