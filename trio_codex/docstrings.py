"""What a docstring says about its subject and its parameters, in the three styles in use: Google, numpy, Sphinx.

Sixty lines of our own instead of a dependency: of all that docstring parsers find (types, raises, examples,
attributes of returns) a model needs the opening text and one sentence per parameter, and types come from the
signature. What is not understood is left out, never an error.
"""

import inspect
import re
from collections.abc import Iterable, Iterator

import attrs

_PARAMETERS = (
    "args",
    "arguments",
    "parameters",
    "params",
    "attributes",
    "keyword args",
    "keyword arguments",
    "other parameters",
)
_OTHERS = (
    "returns",
    "return",
    "yields",
    "yield",
    "raises",
    "except",
    "exceptions",
    "warns",
    "examples",
    "example",
    "see also",
    "references",
)
_FIELD = re.compile(r":(?:param|parameter|arg|argument|key|keyword|var|ivar)\s+(?:[^:]*\s)?\*{0,2}(\w+)\s*:\s*(.*)")
_OTHER_FIELD = re.compile(r":(?:type|rtype|returns?|raises?|except|exception|meta|yields?)\b[^:]*:")
_GOOGLE = re.compile(r"\*{0,2}(\w+)\s*(?:\([^)]*\))?\s*:\s*(.*)")
_NUMPY = re.compile(r"\*{0,2}(\w+)(?:\s*,\s*\*{0,2}\w+)*\s*(?::.*)?$")


@attrs.frozen
class Docstring:
    """The opening text (up to the first section) and the text of each described parameter."""

    text: str = ""
    parameters: dict[str, str] = attrs.field(factory=dict)


def _indent(line: str) -> int:
    return len(line) - len(line.lstrip())


def _section(lines: list[str], number: int) -> tuple[str, bool] | None:
    """Say which section begins at this line, and whether in numpy's style (underlined)."""
    word = lines[number].strip().lower()
    underlined = number + 1 < len(lines) and re.fullmatch(r"-{3,}", lines[number + 1].strip()) is not None
    name = word.removesuffix(":")
    if name in (*_PARAMETERS, *_OTHERS) and (underlined or word.endswith(":")):
        return name, underlined
    return None


def _entries(body: Iterable[str], pattern: re.Pattern[str]) -> Iterator[tuple[str, str]]:
    """Split a section into its entries: a line at the section's own indent that fits, and the deeper lines below it."""
    lines = [line for line in body if line.strip()]
    base = min(map(_indent, lines), default=0)
    name, words = "", [""]
    for line in lines:
        if _indent(line) > base:
            words.append(line.strip())
            continue
        yield name, " ".join(words).strip()
        match = pattern.fullmatch(line.strip())
        name = match[1] if match else ""
        words = [match[2] if match and match.lastindex == 2 else ""]
    yield name, " ".join(words).strip()


def _sections(lines: list[str]) -> Iterator[tuple[str, bool, list[str]]]:
    """Cut the docstring at its section headings; the opening text is the section without a name."""
    name, underlined, body = "", False, list[str]()
    for number, line in enumerate(lines):
        begins = _section(lines, number)
        # A numpy heading, or one at the margin, ends any section; an indented "Returns:" inside an entry does not.
        if begins and (_indent(line) == 0):
            yield name, underlined, body
            (name, underlined), body = begins, []
        elif not (underlined and not body and re.fullmatch(r"-{3,}", line.strip())):
            body.append(line)
    yield name, underlined, body


def _fields(lines: list[str]) -> tuple[list[str], dict[str, str]]:
    """Take Sphinx's field lists out of the opening text."""
    text, found, current = list[str](), dict[str, str](), ""
    in_fields = False
    for line in lines:
        if match := _FIELD.match(line):
            current, in_fields = match[1], True
            found[current] = match[2].strip()
        elif _OTHER_FIELD.match(line):
            current, in_fields = "", True
        elif in_fields and _indent(line) and current:
            found[current] = f"{found[current]} {line.strip()}".strip()
        elif not in_fields:
            text.append(line)
    return text, found


def parse_docstring(docstring: str | None) -> Docstring:
    """Read a docstring of any of the three styles; None and plain text are fine."""
    text, found = "", dict[str, str]()
    for name, underlined, body in _sections(inspect.cleandoc(docstring or "").splitlines()):
        if not name:
            opening, found = _fields(body)
            text = "\n".join(opening).strip()
        elif name in _PARAMETERS:
            found |= {key: said for key, said in _entries(body, _NUMPY if underlined else _GOOGLE) if key and said}
    return Docstring(text, {key: said for key, said in found.items() if said})
