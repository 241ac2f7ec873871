"""The three small machines, explored to the last state: their graphs, their tables, their pictures.

`python -m tests.protocol.machines` writes `docs/floor.md`, `docs/handoff.md` and the picture in `docs/guardrails.md`; the machines' tests
compare them, and the tables in the modules' docstrings, with what the code does.
"""

from __future__ import annotations

import inspect
from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Generic, TypeVar

import attrs

from tests.protocol.driver import brief, greeter, support
from trio_codex.protocol import floor, guardrails, handoff
from trio_codex.protocol.effects import ToolCall
from trio_codex.protocol.floor import Cause, Floor, Request
from trio_codex.protocol.settings import Briefing

DOCS = Path(__file__).parents[2] / "docs"

S = TypeVar("S")


@attrs.frozen
class Edge(Generic[S]):
    """One step of a machine: from where, on what, to where, and what follows."""

    before: S
    given: Any
    after: S
    outcomes: tuple[Any, ...]


def explore(
    start: S, inputs: Callable[[S], Iterable[Any]], step: Callable[[S, Any], tuple[S, tuple[Any, ...]]]
) -> list[Edge[S]]:
    """All steps from all states that can be reached, breadth first."""
    edges: list[Edge[S]] = []
    seen = {start}
    queue = deque([start])
    while queue:
        before = queue.popleft()
        for given in inputs(before):
            after, outcomes = step(before, given)
            edges.append(Edge(before, given, after, outcomes))
            if after not in seen:
                seen.add(after)
                queue.append(after)
    return edges


def states(edges: Iterable[Edge[S]]) -> set[S]:
    """All states of a graph."""
    return {state for edge in edges for state in (edge.before, edge.after)}


def leads_to(edges: Sequence[Edge[S]], good: Callable[[S], bool]) -> set[S]:
    """The states from which a good one can be reached."""
    sources: dict[S, set[S]] = {}
    for edge in edges:
        sources.setdefault(edge.after, set()).add(edge.before)
    found = {state for state in states(edges) if good(state)}
    queue = deque(found)
    while queue:
        for before in sources.get(queue.popleft(), set()) - found:
            found.add(before)
            queue.append(before)
    return found


# --- the floor ---------------------------------------------------------------------------------------------------------


@attrs.frozen
class Table:
    """A floor and whoever has come to it so far: every request comes once, with an asker of its own name."""

    floor: Floor = attrs.field(factory=Floor)
    came: frozenset[str] = frozenset()


def request(name: str) -> Request:
    """t…: a turn, m…: a message, a…: an ask."""
    causes = {"t": {Cause.TURN}, "m": {Cause.MESSAGE}}.get(name[0], set())
    return Request(event_id=name, causes=frozenset(causes), askers=frozenset({name}))


def floor_inputs(*names: str, lawful: bool) -> Callable[[Table], Iterable[floor.Given]]:
    """What can happen at a table. `lawful`: the server starts no response while one runs, and refuses only what was sent."""

    def inputs(table: Table) -> Iterable[floor.Given]:
        holder, sent = table.floor.holder, floor.in_flight(table.floor)
        for name in names:
            if name not in table.came:
                yield floor.Want(request(name))
                yield floor.Want(request(name), said_before=True)
            yield floor.Withdraw(name)
        yield floor.Hold(not table.floor.held)
        running = getattr(holder, "response_id", None)
        for response_id in ("R", "S"):
            if running is None or (response_id != running and not lawful):
                yield floor.Created(response_id, ours=False)
                if sent is not None or not lawful:
                    yield floor.Created(response_id, ours=True)
            if running == response_id or isinstance(holder, floor.Blocked) or not lawful:
                yield floor.Done(response_id)
        if isinstance(holder, floor.Contested) and lawful:
            yield floor.Created("S" if running == "R" else "R", ours=True)  # ours came just after theirs was done
        refusable = {known.event_id for known in floor.requests(table.floor)[:1] if not isinstance(holder, floor.Idle)}
        for event_id in sorted(refusable) if lawful else names:
            yield floor.Refused(event_id, race=True)
            yield floor.Refused(event_id, race=False)

    return inputs


def floor_step(table: Table, given: floor.Given) -> tuple[Table, tuple[floor.Outcome, ...]]:
    """One step at a table."""
    after, outcomes = floor.step(table.floor, given)
    came = table.came | {given.request.event_id} if isinstance(given, floor.Want) else table.came
    return Table(after, came), outcomes


def floor_table() -> list[str]:
    """The table in the docstring of `floor`, from what the code does."""
    r = request("m")
    columns: dict[str, Callable[[str], floor.Given]] = {
        "Created(ours)": lambda running: floor.Created("S", ours=True),
        "Created(not ours)": lambda running: floor.Created("S", ours=False),
        "Done": lambda running: floor.Done(running),
        "Refused(race)": lambda running: floor.Refused("m", race=True),
        "Refused": lambda running: floor.Refused("m", race=False),
    }
    rows: dict[str, floor.Holder] = {
        "Idle": floor.Idle(),
        "Requested(r)": floor.Requested(r),
        "Contested(r)": floor.Contested(r, "R"),
        "Answering(r)": floor.Answering("R", r),
        "Answering": floor.Answering("R"),
        "Blocked": floor.Blocked(),
    }

    def cell(holder: floor.Holder, given: floor.Given) -> str:
        before = Floor(holder, held=True)
        after, outcomes = floor.step(before, given)
        if after == before:
            return "-"
        kept = "(r)" if getattr(after.holder, "request", None) else ""
        waits = ", r waits" if after.waiting else ""
        ends = ", r ends" if any(isinstance(outcome, floor.Ended) for outcome in outcomes) else ""
        return type(after.holder).__name__ + kept + waits + ends

    cells = {
        name: [cell(holder, make(getattr(holder, "response_id", "R"))) for make in columns.values()]
        for name, holder in rows.items()
    }
    return aligned("state \\ given", list(columns), cells)


def floor_label(given: floor.Given) -> str:
    """What an edge of the picture is called."""
    match given:
        case floor.Created(_, ours):
            return "Created, ours" if ours else "Created, not ours"
        case floor.Refused(_, race):
            return "Refused in a race" if race else "Refused"
        case floor.Hold(held):
            return "Hold" if held else "Let go"
        case _:
            return type(given).__name__


def floor_edges(*, lawful: bool = True, names: Sequence[str] = ("t", "m", "a")) -> list[Edge[Table]]:
    """The whole graph of a floor to which these requests come."""
    return explore(Table(), floor_inputs(*names, lawful=lawful), floor_step)


# --- the handoff -------------------------------------------------------------------------------------------------------

SOURCE, TARGET = brief(greeter), brief(support)


def call(call_id: str) -> ToolCall:
    """A call of the handoff to the target."""
    (way,) = greeter.resolved_handoffs()
    return ToolCall(call_id=call_id, name=way.name, arguments="{}", response_id="R", agent=greeter, handoff=way)


HANDOFF_INPUTS: Mapping[str, handoff.Given] = {
    "Requested": handoff.Requested(call("h1")),
    "Redirected": handoff.Redirected(TARGET),
    "Prepared": handoff.Prepared(TARGET),
    "PrepareFailed": handoff.PrepareFailed("it raised"),
    "Ended(True)": handoff.ResponseEnded(completed=True),
    "Ended(False)": handoff.ResponseEnded(completed=False, reason="interrupted"),
    "Interrupted": handoff.Interrupted(),
    "Updated": handoff.Updated(),
    "Refused": handoff.Refused("refused"),
}


def handoff_edges() -> list[Edge[handoff.State]]:
    """The whole graph of a handoff."""
    return explore(handoff.Settled(SOURCE), lambda state: HANDOFF_INPUTS.values(), handoff.step)


def handoff_name(state: handoff.State) -> str:
    """The name of a state in the table: `Preparing` has three."""
    match state:
        case handoff.Preparing(response_ended=True):
            return "Preparing¹"
        case handoff.Preparing(target=Briefing()):
            return "Preparing²"
        case _:
            return type(state).__name__


def handoff_table() -> list[str]:
    """The table in the docstring of `handoff`, from what the code does."""
    cells: dict[str, list[str]] = {}
    for edge in handoff_edges():
        failed = any(isinstance(outcome, handoff.Failed) for outcome in edge.outcomes)
        name = handoff_name(edge.after) if edge.after != edge.before else "Failed" if failed else "-"
        row = cells.setdefault(handoff_name(edge.before), [])
        if len(row) < len(HANDOFF_INPUTS):
            row.append(name)
    order = ("Settled", "Preparing", "Preparing¹", "Preparing²", "Applying")
    return aligned("state \\ given", list(HANDOFF_INPUTS), {name: cells[name] for name in order})


# --- the guardrails ----------------------------------------------------------------------------------------------------

HOLDING = guardrails.Watch(every=2, holds=True)
FREE = guardrails.Watch(every=2, holds=False)
LONGEST = 3


def guardrail_inputs(state: guardrails.State) -> Iterable[guardrails.Given]:
    """What can happen to an answer of up to `LONGEST` characters."""
    length, sentence, whole, count = LONGEST, 0, 0, 2
    if isinstance(state, guardrails.Watching):
        length, sentence, whole, count = state.length, state.sentence, state.whole, len(state.watches)
    if length < LONGEST:
        yield guardrails.Said(length + 1, sentence, whole)
        yield guardrails.Said(length + 1, length + 1, whole)
        yield guardrails.Said(length + 1, length + 1, length + 1)
    yield guardrails.Ended()
    for index in range(count):
        yield guardrails.Passed(index)
        yield guardrails.Tripped(index)
    yield guardrails.CutOff()


def guardrail_edges(*watches: guardrails.Watch) -> list[Edge[guardrails.State]]:
    """The whole graph of an answer under these guardrails."""
    return explore(guardrails.Watching(watches), guardrail_inputs, guardrails.step)


def guardrail_name(state: guardrails.State) -> str:
    """The name of a state in table and picture."""
    match state:
        case guardrails.Watching(ended=True):
            return "Ending"
        case guardrails.Watching():
            return "Checking" if any(watch.checking for watch in state.watches) else "Open"
        case guardrails.Through(tripped=True):
            return "Tripped"
        case _:
            return type(state).__name__


def guardrail_table() -> list[str]:
    """The table in the docstring of `guardrails`, from what the code does with one that holds."""
    columns = ["Said", "Ended", "Passed", "Tripped", "CutOff"]
    cells: dict[str, dict[str, list[str]]] = {}
    for edge in guardrail_edges(HOLDING):
        row = cells.setdefault(guardrail_name(edge.before), {})
        after = guardrail_name(edge.after) if edge.after != edge.before else "-"
        if after not in (known := row.setdefault(type(edge.given).__name__, [])):
            known.append(after)
    order = ("Open", "Checking", "Ending", "Stopped", "Through", "Tripped")

    def cell(row: str, column: str) -> str:
        found = cells[row].get(column, ["-"])
        return " | ".join(sorted(name for name in found if name != "-" or len(found) == 1))

    return aligned("state \\ given", columns, {row: [cell(row, column) for column in columns] for row in order})


def guardrail_picture() -> str:
    """An answer under one guardrail that holds, with what follows."""
    arrows = []
    for edge in guardrail_edges(HOLDING):
        if edge.before != edge.after and (before := guardrail_name(edge.before)) is not None:
            follows = ", ".join(type(outcome).__name__.lower() for outcome in edge.outcomes)
            label = type(edge.given).__name__ + (f" / {follows}" if follows else "")
            arrows.append((before, label, guardrail_name(edge.after)))
    return picture(arrows, "Open")


# --- on paper ----------------------------------------------------------------------------------------------------------


def aligned(corner: str, columns: Sequence[str], cells: Mapping[str, Sequence[str]]) -> list[str]:
    """The lines of a table in columns."""
    lines = [[corner, *columns], *([name, *row] for name, row in cells.items())]
    widths = [max(len(line[at]) for line in lines) + 2 for at in range(len(columns) + 1)]
    return ["".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip() for line in lines]


def table_in(module: Any) -> list[str]:
    """The table in a module's docstring."""
    lines = (inspect.getdoc(module) or "").splitlines()
    start = next(at for at, line in enumerate(lines) if "state \\ given" in line)
    end = next(at for at in range(start, len(lines)) if not lines[at].strip())
    return [line.strip() for line in lines[start:end]]


def picture(arrows: Iterable[tuple[str, str, str]], start: str) -> str:
    """A Mermaid state diagram; arrows between the same states share a line."""
    labels: dict[tuple[str, str], list[str]] = {}
    for before, label, after in arrows:
        known = labels.setdefault((before, after), [])
        if label not in known:
            known.append(label)
    lines = [
        f"    {before} --> {after}: {'; '.join(sorted(found))}" for (before, after), found in sorted(labels.items())
    ]
    return "\n".join(["```mermaid", "stateDiagram-v2", f"    [*] --> {start}", *lines, "```"])


def floor_picture() -> str:
    """The floor, by who holds it; the queue is not shown."""
    arrows = []
    for edge in floor_edges():
        before, after = (type(table.floor.holder).__name__ for table in (edge.before, edge.after))
        creates = any(isinstance(outcome, floor.Create) for outcome in edge.outcomes)
        if before != after or creates:
            arrows.append((before, floor_label(edge.given) + (" / create" if creates else ""), after))
    return picture(arrows, "Idle")


def handoff_picture() -> str:
    """The handoff, with what it causes."""
    names = {id(given): name for name, given in HANDOFF_INPUTS.items()}
    arrows = []
    for edge in handoff_edges():
        if edge.before != edge.after:
            follows = ", ".join(type(outcome).__name__.lower() for outcome in edge.outcomes)
            label = names[id(edge.given)].replace("(True)", " well").replace("(False)", " badly")
            before, after = (handoff_name(state) for state in (edge.before, edge.after))
            arrows.append((before, label + (f" / {follows}" if follows else ""), after))
    plain = str.maketrans({"¹": "_response_over", "²": "_briefed"})
    return picture(((a.translate(plain), label, b.translate(plain)) for a, label, b in arrows), "Settled")


def page(title: str, text: str, table: Sequence[str], drawn: str, module: str) -> str:
    """A page of the documentation."""
    head = f"# {title}\n\n{text}\n\nDrawn from `{module}` by `python -m tests.protocol.machines`; a test compares it with the code.\n"
    return "\n".join([head, drawn, "", "```text", *table, "```", ""])


def guardrail_page() -> str:
    """The page about guardrails is written by hand down to where the machine is drawn."""
    path = DOCS / "guardrails.md"
    by_hand, heading, _ = path.read_text(encoding="utf-8").partition("\n## The machine\n")
    drawn = "Drawn from `trio_codex/protocol/guardrails.py` by `python -m tests.protocol.machines`, for one guardrail that holds."
    return "\n".join([by_hand + heading, drawn, "", guardrail_picture(), "", "```text", *guardrail_table(), "```", ""])


def pages() -> dict[Path, str]:
    """All pages that are drawn from machines."""
    floor_text = (
        "At most one `response.create` of ours is in flight, and none while a response is known to run. What wants an answer waits in a\n"
        "queue that the picture does not show: in `Idle` the first of it is requested at once, unless a handoff holds the floor.\n"
        "`/ create` marks the steps that send a `response.create`. A race is lost when the server's turn detection answered first."
    )
    handoff_text = (
        "A handoff is a transaction: the user's callables run, the calling response ends, the settings go out, the server acknowledges\n"
        "them, and only then does the target speak. Everything else leaves the source in charge, and the model is told why."
    )
    return {
        DOCS / "floor.md": page(
            "The floor: who answers", floor_text, floor_table(), floor_picture(), "trio_codex/protocol/floor.py"
        ),
        DOCS / "handoff.md": page(
            "The handoff: which agent speaks",
            handoff_text,
            handoff_table(),
            handoff_picture(),
            "trio_codex/protocol/handoff.py",
        ),
        DOCS / "guardrails.md": guardrail_page(),
    }


if __name__ == "__main__":
    for path, text in pages().items():
        path.write_text(text, encoding="utf-8")
