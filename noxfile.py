"""What is checked, and how: `nox -s lint types tests`, or one of the sessions below."""

from __future__ import annotations

import sys
from pathlib import Path

import nox

nox.options.default_venv_backend = "venv"
nox.options.sessions = ["lint", "types", "architecture", "tests", "examples"]

PYTHONS = ["3.11", "3.12", "3.13"]
PROJECT = nox.project.load_toml("pyproject.toml")


def install(session: nox.Session, *groups: str, extras: str = "local,mic") -> None:
    """Install the project in development mode with its test tools."""
    wanted = nox.project.dependency_groups(PROJECT, *groups) if groups else ()
    session.install("-e", f".[{extras}]", *wanted)


@nox.session
def lint(session: nox.Session) -> None:
    """Ruff for style and errors, flake8-async for structured concurrency."""
    session.install(*nox.project.dependency_groups(PROJECT, "lint"))
    session.run("ruff", "check", ".")
    session.run("ruff", "format", "--check", ".")
    # ASYNC109: a timeout= argument is the face that is fixed. ASYNC114, ASYNC128: startable functions are known by their task_status, which
    # they may hand on.
    # ASYNC124 and ASYNC9xx: whether an async function has a checkpoint of its own is said in its docstring where it matters.
    # ASYNC127: httpx is the client that the project is given.
    files = [str(path) for folder in ("trio_codex", "examples") for path in Path(folder).rglob("*.py")]
    session.run("flake8-async", "--disable=ASYNC109,ASYNC114,ASYNC124,ASYNC127,ASYNC128,ASYNC9", *files)


@nox.session
def types(session: nox.Session) -> None:
    """mypy on the package, pyright on what users see of it."""
    install(session, "test", "types")
    session.run("mypy")
    session.run("pyright", "--ignoreexternal", "--verifytypes", "trio_codex")


@nox.session
def architecture(session: nox.Session) -> None:
    """Layers, forbidden imports, light imports."""
    install(session, "test")
    session.run("pytest", "tests/test_architecture.py", *session.posargs)


@nox.session(python=PYTHONS)
def tests(session: nox.Session) -> None:
    """The whole suite, on each Python that is there."""
    install(session, "test")
    session.run("pytest", *session.posargs)


@nox.session
def properties(session: nox.Session) -> None:
    """The properties again, with many more examples."""
    install(session, "test")
    session.run("pytest", "--hypothesis-profile=thorough", "tests/protocol", *session.posargs)


@nox.session
def mutants(session: nox.Session) -> None:
    """Mutants of the core, all or those of some modules: `nox -s mutants -- floor history`. Hours for all of them; docs/mutation.md."""
    install(session, "test", "mutants")
    modules = session.posargs or ["*"]
    session.run("mutmut", "run", "--max-children", "1", *(f"trio_codex.protocol.{name}.*" for name in modules))
    session.run("python", "-m", "tests.protocol.mutants", *modules)


@nox.session
def examples(session: nox.Session) -> None:
    """Every example against the local server."""
    install(session, "test")
    session.run("pytest", "tests/test_examples.py", *session.posargs)


@nox.session(venv_backend="none")
def bench(session: nox.Session) -> None:
    """trio_codex measured beside others, each in an environment of its own. Takes minutes and wants a quiet machine."""
    session.run(sys.executable, "-m", "benchmarks", *session.posargs)
