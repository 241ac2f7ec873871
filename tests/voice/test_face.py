"""The names of `trio_codex.voice`: all there, none of them a module, and none paid for before it is used."""

from __future__ import annotations

import subprocess
import sys
import types

import trio_codex.voice
import trio_codex.voice.pipeline


def test_every_name_is_there() -> None:
    values = [getattr(trio_codex.voice, name) for name in trio_codex.voice.__all__]
    assert not [value for value in values if isinstance(value, types.ModuleType)]


def test_a_pipeline_of_ones_own_models_does_not_import_what_others_need() -> None:
    heavy = (
        "{'httpx', 'numpy', 'soxr', 'starlette', 'hypercorn', 'pocketsphinx', 'trio_websocket', 'trio_codex.server'}"
    )
    code = "import sys\nfrom trio_codex.voice import AudioInput, SimpleWorkflow, StreamedAudioInput, VoicePipeline\n"
    done = subprocess.run(
        [sys.executable, "-c", f"{code}print(sorted({heavy} & sys.modules.keys()))"],
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    assert done.stdout.strip() == "[]"
