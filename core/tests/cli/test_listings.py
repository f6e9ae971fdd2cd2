from __future__ import annotations

import json
import os
import subprocess
import sys

from patter.records import PROVIDER_KINDS

EARS = """
    from patter import STTRecord, TTSRecord, hookimpl

    @hookimpl
    def patter_register_stt():
        return [STTRecord("ears", "nowhere:Ears", env={"api_key": "EARS_API_KEY"}, aliases=("old-ears",),
                          description="hears", interims=True)]

    @hookimpl
    def patter_register_tts():
        return [TTSRecord("mouth", "nowhere:Mouth")]
"""
BROKEN = "import a_module_that_is_nowhere"


def test_core_alone_lists_nothing():
    environ = {**os.environ, "PATTER_DISABLE_PLUGIN_AUTOLOAD": "1"}
    command = [sys.executable, "-m", "patter", "plugins", "--json"]
    done = subprocess.run(command, capture_output=True, text=True, check=True, env=environ)
    assert (done.stdout, done.stderr) == ("[]\n", "")


def test_all_shows_what_core_registers_itself(patter):
    assert json.loads(patter("plugins", "--json", "--all").out) == [
        {
            "name": "patter.core",
            "dist": "",
            "version": "",
            "status": "ok",
            "hooks": ["patter_build", "patter_resolve"],
            "env": [],
            "problem": None,
        }
    ]
    assert "No plugins are installed." in patter("plugins").out


def test_plugins_shows_each_with_what_is_wrong(patter):
    patter.install("patter-ears", EARS)
    patter.install("patter-more-ears", EARS)
    patter.install("patter-broken", BROKEN)
    rows = {row["dist"]: row for row in patter.mine(json.loads(patter("plugins", "--json").out))}
    assert {dist: row["status"] for dist, row in rows.items()} == {
        "patter-broken": "failed",
        "patter-ears": "conflict",
        "patter-more-ears": "conflict",
    }
    assert rows["patter-ears"]["hooks"] == ["patter_register_stt", "patter_register_tts"]
    assert rows["patter-ears"]["env"] == ["EARS_API_KEY"]
    assert "patter-ears 1.0 and by patter-more-ears 1.0" in rows["patter-ears"]["problem"]
    assert "a_module_that_is_nowhere" in rows["patter-broken"]["problem"]
    text = patter("plugins").out
    assert "broken (patter-broken): import: ModuleNotFoundError" in text


def test_plugins_of_one_hook(patter):
    patter.install("patter-ears", EARS)
    patter.install("patter-keys", "from patter import hookimpl\n@hookimpl\ndef patter_dtmf(digit): pass")
    rows = json.loads(patter("plugins", "--json", "--hook", "patter_dtmf").out)
    assert [row["name"] for row in rows] == ["keys"]
    assert "No plugins implement patter_startup." in patter("plugins", "--hook", "patter_startup").out
    assert patter("plugins", "--hook", "patter_dtfm").code == 2
    assert "did you mean patter_dtmf" in patter.err


def test_a_blocked_plugin_is_listed_as_such(patter, monkeypatch):
    patter.install("patter-broken", BROKEN)
    monkeypatch.setenv("PATTER_DISABLE_PLUGINS", "broken")
    (row,) = patter.mine(json.loads(patter("plugins", "--json").out))
    assert row["status"] == "blocked"


def test_providers_lists_kinds_names_variables_and_capabilities(patter):
    patter.install("patter-ears", EARS)
    rows = json.loads(patter("providers", "--json").out)
    assert [(row["kind"], row["name"]) for row in rows] == [("stt", "ears"), ("tts", "mouth")]
    assert rows[0] == {
        "kind": "stt",
        "name": "ears",
        "status": "ok",
        "dists": ["patter-ears"],
        "aliases": ["old-ears"],
        "description": "hears",
        "env": {"api_key": "EARS_API_KEY"},
        "capabilities": {
            "endpoints": False,
            "interims": True,
            "word_times": False,
            "reconnects": False,
            "reports_bill": False,
        },
    }
    text = patter("providers", "stt").out
    assert "EARS_API_KEY" in text
    assert "mouth" not in text


def test_providers_shows_a_conflict(patter):
    patter.install("patter-ears", EARS)
    patter.install("patter-more-ears", EARS)
    rows = json.loads(patter("providers", "stt", "--json").out)
    assert [(row["name"], row["status"], row["dists"]) for row in rows] == [
        ("ears", "conflict", ["patter-ears", "patter-more-ears"]),
        ("old-ears", "conflict", ["patter-ears", "patter-more-ears"]),
    ]
    assert "conflict: see patter doctor" in patter("providers").out


def test_providers_of_a_kind_that_nothing_provides(patter):
    for kind in PROVIDER_KINDS:
        assert json.loads(patter("providers", kind, "--json").out) == []
        assert f"No {kind} installed." in patter("providers", kind).out
