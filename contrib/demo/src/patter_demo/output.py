"""The files of a conversation: recording, transcript and figures."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from patter.environment import Environment
from patter_demo.recording import write_recording
from patter_demo.report import Report, make_report

if TYPE_CHECKING:
    from patter_demo.evidence import Evidence

WAV = "call.wav"
TRANSCRIPT = "transcript.txt"
FIGURES = "call.json"


def output_folder(chosen: str | None, environment: Environment | None = None) -> Path:
    """The folder to write to, made now: `chosen`, else one named after the time. Raises `OSError`."""
    if chosen is not None:
        folder = Path(chosen)
    else:
        wall = (environment or Environment()).clock.wall()
        local = datetime.fromtimestamp(wall, UTC).astimezone()
        folder = Path("patter-demo") / local.strftime("%Y-%m-%d-%H%M%S")
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def write_all(evidence: Evidence, folder: Path) -> Report:
    """Write the three files and return the report. Raises `OSError`."""
    wav, transcript = folder / WAV, folder / TRANSCRIPT
    report = make_report(evidence, str(wav), str(transcript))
    write_recording(wav, evidence.said, evidence.heard, evidence.started)
    transcript.write_text(transcript_text(report), encoding="utf-8")
    details: dict[str, Any] = {**report.as_json(), "problems": list(report.problems)}
    (folder / FIGURES).write_text(json.dumps(details, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    return report


def transcript_text(report: Report) -> str:
    """The conversation as people read it; the agent's lines are what was heard of them."""
    lines = []
    for turn in report.turns:
        minutes, seconds = divmod(int(turn["heard_ms"]) // 1000, 60)
        speaker = "caller" if turn["role"] == "user" else "agent "
        cut = " (interrupted)" if turn["interrupted"] else ""
        lines.append(f"{minutes:02}:{seconds:02}  {speaker}  {turn['text']}{cut}")
    return "\n".join([*lines, ""])
