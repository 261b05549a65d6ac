"""YAML as people mean it: the core of YAML 1.2, no key twice, bounded in size, depth and aliases.

PyYAML follows YAML 1.1, to which ``010`` is 8, ``12:30`` is 750, ``on`` is true, ``1e-4`` a text
and ``2024-01-01`` a date, and it takes the last of two equal keys.
"""

import re
from typing import Any, ClassVar, cast

import yaml
from yaml.composer import ComposerError
from yaml.constructor import ConstructorError

MOST_CHARACTERS = 1 << 20  # a few seconds' reading
DEEPEST = 24  # collections within collections
MOST_NODES = 200_000  # with aliases written out
LONGEST_NUMBER = 400  # characters

# What a plain word is, by the core schema of YAML 1.2.2, section 10.3.2.
CORE = {
    "tag:yaml.org,2002:null": (r"~|null|Null|NULL|", ["~", "n", "N", ""]),
    "tag:yaml.org,2002:bool": (r"true|True|TRUE|false|False|FALSE", [*"tTfF"]),
    "tag:yaml.org,2002:int": (r"[-+]?[0-9]+|0o[0-7]+|0x[0-9a-fA-F]+", [*"-+0123456789"]),
    "tag:yaml.org,2002:float": (
        r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?|[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN)",
        [*"-+.0123456789"],
    ),
}
BASES = {"0o": 8, "0x": 16}


def parse_yaml(text: str) -> Any:
    """Return what a YAML text says: mappings, lists, texts, numbers, truth values, None.

    Raises:
        yaml.YAMLError: for text that is not YAML, has a key twice, a tag of another kind, or is
            larger or deeper than settings are.
    """
    if len(text) > MOST_CHARACTERS:
        raise yaml.YAMLError(f"it has {len(text)} characters, expected at most {MOST_CHARACTERS}")
    return yaml.load(text, _Loader)


def format_yaml(value: Any) -> str:
    """Return a value as YAML that readers of 1.1 and of 1.2 understand alike."""
    return yaml.dump(value, Dumper=_Dumper, sort_keys=False)


class _Loader(yaml.SafeLoader):
    """Reads the core schema; counts what it reads, with aliases written out."""

    yaml_implicit_resolvers = {}
    yaml_constructors: ClassVar[Any] = {}

    def __init__(self, text: str) -> None:
        super().__init__(text)
        self._depth = 0
        self._sizes: dict[int, int] = {}  # id of a node -> nodes in it, itself included

    def compose_node(self, parent: Any, index: Any) -> Any:
        self._depth += 1
        if self._depth > DEEPEST:
            raise ComposerError(None, None, f"more than {DEEPEST} collections in one another", None)
        event: Any = self.peek_event()
        mark: Any = event.start_mark
        node = super().compose_node(parent, index)
        if isinstance(event, yaml.AliasEvent) and id(node) not in self._sizes:
            raise ComposerError(None, None, "an alias within what it stands for", mark)
        self._sizes[id(node)] = size = self._size(node)
        if size > MOST_NODES:
            raise ComposerError(None, None, f"more than {MOST_NODES} values", mark)
        self._depth -= 1
        return node

    def _size(self, node: Any) -> int:
        if isinstance(node, yaml.ScalarNode):
            return 1
        inner = node.value
        if isinstance(node, yaml.MappingNode):
            inner = [part for pair in inner for part in pair]
        return 1 + sum(self._sizes[id(part)] for part in inner)

    def construct_mapping(self, node: Any, deep: bool = False) -> dict[Any, Any]:
        found: dict[Any, Any] = {}
        for key_node, value_node in node.value:
            key = self.construct_object(key_node, deep=True)
            if not isinstance(key, str | int | float | None):
                raise ConstructorError(None, None, "a key is no word", key_node.start_mark)
            if key in found:
                raise ConstructorError(None, None, f"key {key!r} twice", key_node.start_mark)
            found[key] = self.construct_object(value_node, deep=deep)
        return found


def _number(loader: _Loader, node: Any) -> int:
    text = _short(loader, node)
    base = BASES.get(text[:2])
    return int(text, base or 10)


def _real(loader: _Loader, node: Any) -> float:
    return float(_short(loader, node).lower().replace(".inf", "inf").replace(".nan", "nan"))


def _short(loader: _Loader, node: Any) -> str:
    text = str(loader.construct_scalar(node))
    kind = node.tag.rpartition(":")[2]
    if len(text) > LONGEST_NUMBER or not re.fullmatch(CORE[node.tag][0], text):
        raise ConstructorError(None, None, f"{text[:40]!r} is no {kind}", node.start_mark)
    return text


def _truth(loader: _Loader, node: Any) -> bool:
    return _short(loader, node).lower() == "true"


for _tag, (_pattern, _first) in CORE.items():
    _Loader.add_implicit_resolver(_tag, re.compile(f"(?:{_pattern})$"), _first)
_CONSTRUCTORS: dict[str, Any] = {
    "null": yaml.SafeLoader.construct_yaml_null,
    "bool": _truth,
    "int": _number,
    "float": _real,
    "str": yaml.SafeLoader.construct_yaml_str,
    "seq": yaml.SafeLoader.construct_yaml_seq,
    "map": yaml.SafeLoader.construct_yaml_map,
}
for _kind, _construct in _CONSTRUCTORS.items():
    _Loader.add_constructor(f"tag:yaml.org,2002:{_kind}", _construct)
_Loader.add_constructor(None, cast(Any, yaml.SafeLoader).construct_undefined)


class _Dumper(yaml.SafeDumper):
    """Quotes every text that either version would take for something else; writes no aliases."""

    def ignore_aliases(self, data: Any) -> bool:
        return True


for _tag, (_pattern, _first) in CORE.items():
    _Dumper.add_implicit_resolver(_tag, re.compile(f"(?:{_pattern})$"), _first)
