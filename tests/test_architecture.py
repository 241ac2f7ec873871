"""The shape of the house: who may import whom, and what an import may cost."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import trio_codex

ROOT = Path(trio_codex.__file__).parent

# Bottom to top; an import never points up. Rooms that share a row may know each other, unless SEPARATE says otherwise.
LAYERS = [
    {"errors", "given", "verdicts", "logs", "audio", "waiters"},
    {
        "agent",
        "body",
        "callables",
        "credentials",
        "delays",
        "docstrings",
        "endpoints",
        "events",
        "grammar",
        "hosted",
        "http",
        "outgoing",
        "proxies",
        "schema",
        "secret",
        "signatures",
        "sse",
        "structuring",
        "tools",
        "trust",
    },
    {"protocol", "speech"},
    {"transport", "tool_running", "recording"},
    {"session", "voice", "rest", "diagnostics", "server", "mcp"},
    {"device", "telemetry", "testing"},
    {"pytest_plugin"},
    {"cli", "__main__"},
]
LEVEL = {room: level for level, rooms in enumerate(LAYERS) for room in rooms}
SEPARATE = [{"protocol", "speech"}, {"session", "voice", "rest", "diagnostics", "server"}]

# The core is pure: no I/O, no clock, no randomness, no logging, no tasks.
FORBIDDEN_IN_CORE = {
    "trio",
    "time",
    "datetime",
    "random",
    "secrets",
    "logging",
    "socket",
    "asyncio",
    "httpx",
    "os",
    "threading",
}

MODULES = sorted(ROOT.rglob("*.py"))


def imports(path: Path) -> set[str]:
    """Everything a module imports, at any depth, except what only type checkers see."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    for node in ast.walk(tree):
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING":
            node.body = []
    found: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative imports hide who knows whom"
            found |= {node.module or ""} | {f"{node.module}.{alias.name}" for alias in node.names}
    return found


def room_of(path: Path) -> str:
    return path.relative_to(ROOT).with_suffix("").parts[0]


def rooms_imported(path: Path) -> set[str]:
    parts = (name.split(".") for name in imports(path) if name.startswith("trio_codex."))
    return {part[1] for part in parts} & LEVEL.keys()


def test_every_room_has_a_layer() -> None:
    assert {room_of(path) for path in MODULES} - {"__init__"} <= LEVEL.keys()


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(ROOT)))
def test_imports_never_point_up(path: Path) -> None:
    room = room_of(path)
    if room == "__init__":
        return
    others = rooms_imported(path) - {room}
    assert not {other for other in others if LEVEL[other] > LEVEL[room]}
    for pair in SEPARATE:
        assert not (room in pair and others & pair)


@pytest.mark.parametrize("path", sorted((ROOT / "protocol").glob("*.py")), ids=lambda path: path.stem)
def test_the_core_is_pure(path: Path) -> None:
    assert not {name.split(".")[0] for name in imports(path)} & FORBIDDEN_IN_CORE


@pytest.mark.parametrize("room", ["session", "voice", "rest", "diagnostics", "server", "mcp", "cli"])
def test_the_core_is_seen_only_through_its_face(room: str) -> None:
    for path in (ROOT / room).rglob("*.py"):
        deep = {name for name in imports(path) if name.startswith("trio_codex.protocol.")}
        modules = {entry.stem for entry in (ROOT / "protocol").glob("*.py")}
        assert not {name for name in deep if name.split(".")[2] in modules}, path


def in_fresh_interpreter(code: str) -> str:
    done = subprocess.run([sys.executable, "-I", "-c", code], capture_output=True, text=True, check=True, timeout=60)
    return done.stdout.strip()


def test_importing_the_package_is_light() -> None:
    heavy = in_fresh_interpreter(
        "import sys, trio_codex\n"
        "heavy = {'trio', 'trio_websocket', 'httpx', 'numpy', 'soxr', 'starlette', 'hypercorn', 'hypothesis', 'attrs'}\n"
        "print(sorted(heavy & sys.modules.keys()))"
    )
    assert heavy == "[]"


def test_importing_the_package_takes_less_than_a_tenth_of_a_second() -> None:
    code = "import time; begin = time.process_time(); import trio_codex; print(time.process_time() - begin)"  # others may be busy
    assert any(float(in_fresh_interpreter(code)) < 0.1 for _ in range(25))  # neighbours slow the caches down as well


def test_the_session_does_not_import_what_only_others_need() -> None:
    heavy = in_fresh_interpreter(
        "import sys\nfrom trio_codex import open_realtime_session\n"
        "heavy = {'trio_websocket', 'httpx', 'numpy', 'soxr', 'starlette', 'hypercorn', 'hypothesis', 'pocketsphinx'}\n"
        "print(sorted(heavy & sys.modules.keys()), 'trio_codex.server' in sys.modules)"
    )
    assert heavy == "[] False"


def test_the_pytest_plugin_costs_nothing_until_it_is_used() -> None:
    heavy = in_fresh_interpreter(
        "import sys, trio_codex.pytest_plugin\n"
        "print(sorted({'trio', 'attrs', 'httpx', 'hypothesis', 'trio_codex.testing', 'trio_codex.server'} & sys.modules.keys()))"
    )
    assert heavy == "[]"


def test_the_testing_kit_needs_no_extra() -> None:
    heavy = in_fresh_interpreter(
        "import sys, trio_codex.testing, trio_codex.testing.voice, trio_codex.testing.threads\n"
        "heavy = {'numpy', 'soxr', 'starlette', 'hypercorn', 'hypothesis', 'pocketsphinx', 'pytest'}\n"
        "print(sorted(heavy & sys.modules.keys()))"
    )
    assert heavy == "[]"


def test_the_protocol_alone_leaves_trio_out() -> None:
    assert in_fresh_interpreter("import sys, trio_codex.protocol; print('trio' in sys.modules)") == "False"


def test_all_names_of_the_package_are_there() -> None:
    assert [name for name in trio_codex.__all__ if getattr(trio_codex, name, None) is None] == []
    assert set(trio_codex.__all__) <= set(dir(trio_codex))
