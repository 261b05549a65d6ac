"""The command reference as Markdown: every command's help, options and settings.

It is made from the programs themselves, so it cannot differ from them. The documentation site calls
:func:`render` when it is built; ``python scripts/docs/command_reference.py`` prints the page.
"""

from collections.abc import Iterator, Mapping, Sequence
from importlib import import_module
from typing import Any

import typer

from tgn.backends import BACKENDS
from tgn.runtime.settings_table import SettingRow, setting_rows

PROGRAMS = {"tgn": "tgn.cli.verbs", "classify": "classify.cli.verbs"}

_BY_BACKEND: dict[str, dict[str, str]] = {
    f"with `--backend {name}`": {"backend_name": name} for name in BACKENDS
}
# Commands whose settings depend on their options: title -> values of these options.
VARIANTS: dict[str, dict[str, dict[str, str]]] = {
    "tgn scenes": {"": {}, "with `--boxes rotated`": {"boxes": "rotated"}},
    "tgn split": {"": {}, "with `--from`": {"list_file": "split.csv"}},
    "tgn filter": {"": {"by": "quality"}, "with `--by use`": {"by": "use"}},
    "tgn train": _BY_BACKEND,
    "tgn generate": _BY_BACKEND,
}
# Commands with the same long list of settings as another.
SAME_AS = {"classify multilabel": "classify train"}

INTRODUCTION = """# Commands

Made from the programs when this page is built. `-h` and `--help-settings` show the same in the
terminal. Settings are given by `--set key=value` (may be repeated) or `--config FILE` (YAML);
`--dry-run` shows them all, resolved, and does nothing.
"""


def render() -> str:
    """Return the whole page as Markdown."""
    parts = [INTRODUCTION]
    for program, module in PROGRAMS.items():
        command = typer.main.get_command(import_module(module).app)
        parts += [f"## {program}", *_described(program, command)]
        for name, inner in _leaves(program, command):
            parts += [f"### {name}", *_described(name, inner), *_settings(name, inner)]
    return "\n\n".join(part.strip() for part in parts if part.strip()) + "\n"


def _leaves(prefix: str, command: Any) -> Iterator[tuple[str, Any]]:
    """Yield (full name, command) of every command below a group, groups unfolded."""
    for name, inner in command.commands.items():
        full = f"{prefix} {name}"
        if hasattr(inner, "commands"):
            yield from _leaves(full, inner)
        else:
            yield full, inner


def _described(name: str, command: Any) -> list[str]:
    """Return usage, help and options of one command as blocks of Markdown."""
    arguments = [one for one in command.params if one.param_type_name == "argument"]
    options = [one for one in command.params if one.param_type_name == "option" and _shown(one)]
    words = [_metavar(one) if one.required else f"[{_metavar(one)}]" for one in arguments]
    rows = [(f"`{_metavar(one)}`", _plain(one.help), "") for one in arguments]
    rows += [(_flags(one), _plain(one.help), _default(one)) for one in options]
    usage = " ".join([name, "[OPTIONS]", *words, *["COMMAND"] * hasattr(command, "commands")])
    blocks = [f"```\n{usage}\n```", _plain(command.help)]
    if rows:
        blocks.append(_table(("option", "meaning", "default"), rows))
    return blocks


def _shown(option: Any) -> bool:
    """Leave out what is hidden, and typer's own options for shells."""
    return not option.hidden and "completion" not in option.name


def _metavar(parameter: Any) -> str:
    word = (parameter.metavar or parameter.name).strip("{}[]").upper()
    return f"{word}..." if parameter.nargs == -1 else word


def _flags(option: Any) -> str:
    return ", ".join(f"`{flag}`" for flag in [*option.opts, *option.secondary_opts])


def _default(option: Any) -> str:
    if option.default in (None, "", ()) or option.required:
        return "required" if option.required else ""
    if option.is_flag:
        return "on" if option.default else "off"
    return f"`{option.default}`"


def _settings(name: str, command: Any) -> Iterator[str]:
    """Yield the settings tables of a command; one without settings has none."""
    if name in SAME_AS:
        same = SAME_AS[name]
        yield f"Settings: those of [{same}](#{same.replace(' ', '-')})."
        return
    choose = getattr(type(command), "settings_class", None)
    if choose is None:
        return
    defaults = {one.name: one.default for one in command.params}
    for title, options in VARIANTS.get(name, {"": {}}).items():
        yield f"Settings {title}".strip() + ":"
        yield _settings_table(choose, defaults | options)


def _settings_table(choose: Any, options: Mapping[str, Any]) -> str:
    rows = [_cells(row) for row in setting_rows(choose(options)())]
    return _table(("setting", "meaning", "default", "values"), rows)


def _cells(row: SettingRow) -> tuple[str, ...]:
    default = "" if row.default == "null" else f"`{row.default}`"
    return f"`{row.name}`", _plain(row.meaning), default, _plain(row.values)


def _plain(text: str | None) -> str:
    """Return help text as Markdown prose."""
    return " ".join((text or "").split()).replace("<", "&lt;").replace("|", "\\|")


def _table(head: tuple[str, ...], rows: Sequence[tuple[str, ...]]) -> str:
    lines = [head, tuple("---" for _ in head), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


if __name__ == "__main__":
    print(render())
