"""YAML with places: documents that know where each value stands, merged and overridden, before anything is judged.

Every scalar is kept as the text it was written as, except an empty one or `null`, which is None; what a value means
is for the model it is validated against. So `10.0`, `0123456` and `no` stay what the user typed where text is wanted.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import yaml

from bot.errors import UserError

_MAX_BYTES = 2**20  # of a document
_MAX_NODES = 100_000  # of a document with its aliases expanded: a few lines of aliases can stand for billions
_MAX_DEPTH = 50
_CORE = "tag:yaml.org,2002:"
_TAGS = {_CORE + t for t in ("str", "int", "float", "bool", "null", "timestamp", "value", "merge", "map", "seq")}
_SEGMENT = r'(?:"[^"]*"|[^".=]+)'
_OVERRIDE = re.compile(rf"({_SEGMENT}(?:\.{_SEGMENT})*)=(.*)\Z", re.DOTALL)


@dataclass(frozen=True, slots=True, order=True)
class Place:
    """Where something was written. `source` is a file, `--set KEY` or the name of a variable; lines count from 1."""

    source: str
    line: int = 0
    column: int = 0

    def __str__(self) -> str:
        return f"{self.source}:{self.line}:{self.column}" if self.line else self.source


class Problem(UserError):
    """One thing that is wrong with a document: where, at which key, what, and what is allowed."""

    def __init__(self, place: Place, path: str, text: str) -> None:
        self.place, self.path, self.text = place, path, text
        named = path and place.source != f"--set {path}"
        line = f"{place}: {path}: {text}" if named else f"{place}: {text}"
        super().__init__("".join(c if c.isprintable() else _escaped(c) for c in line))


class Text(str):
    """A scalar as it was written. `base` is the directory that it is relative to, should it be a path."""

    __slots__ = ("base",)
    base: Path

    def path(self) -> str:
        """This text as an absolute path; `~` is the user's home directory."""
        try:
            return os.path.normpath(self.base / Path(self).expanduser())
        except RuntimeError as error:
            raise ValueError(f"{shown(self)} names no user's home directory") from error


@dataclass(frozen=True, slots=True)
class Node:
    """A value, the place it stands at, and the place of the key that leads to it."""

    value: Text | tuple[Node, ...] | Mapping[str, Node] | None
    at: Place
    key_at: Place

    def plain(self) -> object:
        """The value without places: None, `Text`, list, dict."""
        if isinstance(self.value, tuple):
            return [item.plain() for item in self.value]
        if isinstance(self.value, Mapping):
            return {key: item.plain() for key, item in self.value.items()}
        return self.value

    def find(self, path: Sequence[str | int]) -> tuple[Node, int]:
        """The node that `path` leads to, or the last one on the way, and how many steps were taken."""
        node = self
        for taken, step in enumerate(path):
            child: Node | None = None
            if isinstance(node.value, Mapping):
                child = node.value.get(str(step))
            elif isinstance(node.value, tuple) and isinstance(step, int) and step < len(node.value):
                child = node.value[step]
            if child is None:
                return node, taken
            node = child
        return node, len(path)


def _escaped(character: str) -> str:
    return character.encode("unicode_escape").decode()


def shown(value: object) -> str:
    """A value as an error quotes it: short and on one line."""
    if value is None:
        return "empty"
    if isinstance(value, Mapping):
        return "a map"
    if isinstance(value, (list, tuple)):
        return "a list" if value else "an empty list"
    text = str(value)
    return f'"{text[:57]}..."' if len(text) > 60 else f'"{text}"'


def read_file(path: Path) -> tuple[Node | None, list[Problem]]:
    """The document in a file and all that is wrong with its form; None if nothing of it can be used."""
    place = Place(str(path))
    try:
        with path.open("rb") as file:
            data = file.read(_MAX_BYTES + 1)
    except FileNotFoundError:
        return None, [Problem(place, "", "no such file")]
    except IsADirectoryError:
        return None, [Problem(place, "", "is a directory, must be a YAML file")]
    except (OSError, ValueError) as error:
        return None, [Problem(place, "", f"cannot be read: {getattr(error, 'strerror', None) or error}")]
    if len(data) > _MAX_BYTES:
        return None, [Problem(place, "", "is larger than 1 MiB, must be a YAML file")]
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        before = data[: error.start]
        line, column = before.count(b"\n") + 1, error.start - (before.rfind(b"\n") + 1) + 1
        found = f"byte 0x{data[error.start]:02x} is not UTF-8: save the file as UTF-8"
        return None, [Problem(replace(place, line=line, column=column), "", found)]
    return parse(text, lambda line, column: Place(str(path), line, column), path.resolve().parent)


def parse(text: str, place: Callable[[int, int], Place], base: Path) -> tuple[Node | None, list[Problem]]:
    """The document in a text and all that is wrong with its form; `place` makes places of line and column.

    Safe for any text: nothing is constructed, tags other than YAML's own are refused, size and depth are bounded.
    """
    try:
        root = yaml.compose(text, Loader=yaml.SafeLoader)
        reader = _Reader(place, base)
        if root is None:
            return Node(None, place(1, 1), place(1, 1)), []
        return reader.node(root, "", place(1, 1), 0), reader.problems
    except Problem as problem:
        return None, [problem]
    except yaml.reader.ReaderError as error:
        before = text[: error.position]
        where = place(before.count("\n") + 1, error.position - (before.rfind("\n") + 1) + 1)
        return None, [Problem(where, "", f"character U+{ord(text[error.position]):04X} is not allowed in YAML")]
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        where = place(mark.line + 1, mark.column + 1) if mark else place(1, 1)
        return None, [Problem(where, "", f"not YAML: {_complaint(error)}")]
    except yaml.YAMLError as error:
        return None, [Problem(place(1, 1), "", f"not YAML: {error}")]
    except RecursionError:
        return None, [Problem(place(1, 1), "", f"nested too deeply, {_MAX_DEPTH} levels are allowed")]
    except ValueError as error:  # PyYAML: chr() of an escape such as "\Uffffffff"
        return None, [Problem(place(1, 1), "", f"not YAML: {error}")]


def _complaint(error: yaml.MarkedYAMLError) -> str:
    """What PyYAML says, with what to do about it where newcomers stumble."""
    said = ", ".join(part for part in (error.problem, error.context) if part) or "cannot be understood"
    if "'\\t'" in said:
        return f"{said}: indent with spaces, not with tabs"
    if "cannot start any token" in said or "mapping values are not allowed" in said or "undefined alias" in said:
        return f"{said}: put the text in quotes if it is meant as text"
    return said


class _Reader:
    """Turns PyYAML's nodes into ours; wrong parts are left out and told in `problems`."""

    def __init__(self, place: Callable[[int, int], Place], base: Path) -> None:
        self.problems: list[Problem] = []
        self._place, self._base, self._count = place, base, 0

    def node(self, node: yaml.Node, path: str, key_at: Place, depth: int) -> Node:
        at = self._at(node)
        self._count += 1
        if self._count > _MAX_NODES:
            raise Problem(at, path, f"too large with its aliases expanded, {_MAX_NODES} values are allowed")
        if depth > _MAX_DEPTH:
            raise Problem(at, path, f"nested too deeply (or an alias in itself), {_MAX_DEPTH} levels are allowed")
        if node.tag not in _TAGS:
            self.problems.append(Problem(at, path, f"tag {node.tag} is not allowed, write a plain value"))
        if isinstance(node, yaml.MappingNode):
            return Node(self._mapping(node, path, depth), at, key_at)
        if isinstance(node, yaml.SequenceNode):
            items = (self.node(n, _join(path, str(i)), self._at(n), depth + 1) for i, n in enumerate(node.value))
            return Node(tuple(items), at, key_at)
        return Node(self._text(node), at, key_at)

    def _mapping(self, node: yaml.MappingNode, path: str, depth: int) -> Mapping[str, Node]:
        own: dict[str, Node] = {}
        below: dict[str, Node] = {}
        for key, value in node.value:
            at = self._at(key)
            if key.tag == _CORE + "merge":
                below = self._merged(value, path, depth) | below
            elif not isinstance(key, yaml.ScalarNode):
                self.problems.append(Problem(at, path, "a key is a list or a map, must be text"))
            elif key.value in own:
                first = own[key.value].key_at
                self.problems.append(Problem(at, _join(path, key.value), f"key is there twice, first at {first}"))
            else:
                own[key.value] = self.node(value, _join(path, key.value), at, depth + 1)
        return {**below, **own}

    def _merged(self, value: yaml.Node, path: str, depth: int) -> dict[str, Node]:
        """What `<<: *alias` or `<<: [*one, *two]` brings; the first of several wins."""
        found: dict[str, Node] = {}
        for part in value.value if isinstance(value, yaml.SequenceNode) else [value]:
            inner = self.node(part, path, self._at(part), depth + 1).value
            if not isinstance(inner, Mapping):
                self.problems.append(Problem(self._at(part), _join(path, "<<"), "must be a map, or a list of maps"))
            else:
                found = {**inner, **found}
        return found

    def _text(self, node: yaml.Node) -> Text | None:
        if node.tag == _CORE + "null":
            return None
        text = Text(node.value)
        text.base = self._base
        return text

    def _at(self, node: yaml.Node) -> Place:
        return self._place(node.start_mark.line + 1, node.start_mark.column + 1)


def _join(path: str, key: str) -> str:
    return f"{path}.{key}" if path else key


def dotted(path: Sequence[str | int]) -> str:
    """A path as `--set` takes it: keys that hold a dot are quoted."""
    return ".".join(f'"{step}"' if "." in str(step) else str(step) for step in path)


def merge(below: Node, above: Node) -> Node:
    """`above` laid over `below`: maps are merged key by key, all else is replaced; an empty value leaves a map alone.

    Keys that `below` has keep their place, new ones come before them: in a map of patterns, where the first that fits
    counts, what the user adds is asked before what was shipped.
    """
    if not isinstance(below.value, Mapping):
        return above
    if above.value is None:
        return below
    if not isinstance(above.value, Mapping):
        return above
    new = {key: node for key, node in above.value.items() if key not in below.value}
    old = {key: merge(n, above.value[key]) if key in above.value else n for key, n in below.value.items()}
    return Node({**new, **old}, above.at, above.key_at)


def split_override(text: str) -> tuple[str, list[str], str]:
    """`KEY=VALUE` as (KEY, its steps, VALUE). A step that holds a dot or an equals sign is written in double quotes.

    Raises `Problem` if the text has another form.
    """
    match = _OVERRIDE.match(text)
    if match is None:
        name = text.partition("=")[0]
        wanted = "must have the form KEY=VALUE, such as upstream.url=/srv/qemu.git"
        raise Problem(Place(f"--set {name[:60]}"), "", wanted)
    return match[1], [step.strip('"') for step in re.findall(_SEGMENT, match[1])], match[2]


def put(root: Node, path: Sequence[str], value: Node, same: Callable[[str, str], bool] = lambda a, b: a == b) -> Node:
    """`root` with `value` laid over what `path` leads to; maps on the way are made as needed.

    A step into a list is an index; the index after the last appends. `same(step, key)` says whether a step means a
    key that is there. Raises `Problem` at the value's place if there is no such place in the document.
    """
    return _put(root, (), tuple(path), value, same)


def _put(
    node: Node | None, done: tuple[str, ...], path: tuple[str, ...], value: Node, same: Callable[[str, str], bool]
) -> Node:
    if not path:
        return merge(node, value) if node else value
    held = node.value if node else None
    step, rest = path[0], path[1:]
    if isinstance(held, tuple):
        if not re.fullmatch(r"\d{1,6}", step) or int(step) > len(held):
            wanted = f"is a list of {len(held)}: an index from 0 to {len(held)} is allowed, {len(held)} appends"
            raise Problem(value.at, dotted(done), wanted)
        index = int(step)
        child = held[index] if index < len(held) else None
        put_in = _put(child, (*done, step), rest, value, same)
        return Node((*held[:index], put_in, *held[index + 1 :]), node.at if node else value.at, value.at)
    if isinstance(held, Text):
        raise Problem(value.at, dotted(done), f"is a single value, it has no key {shown(step)}")
    entries = held or {}
    key = step if step in entries else next((key for key in entries if same(step, key)), step)
    put_in = _put(entries.get(key), (*done, key), rest, value, same)
    merged = {**entries, key: put_in} if key in entries else {key: put_in, **entries}
    return Node(merged, node.at if node else value.at, node.key_at if node else value.at)
