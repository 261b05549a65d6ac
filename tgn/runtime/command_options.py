"""The options that the verbs of both programs share, declared once.

A verb that has settings is registered by :func:`settings_command`, which adds ``--config``,
``--set``, ``--dry-run`` and ``--help-settings``, and ``--seed`` and ``--device`` where the settings
have them. The verb gets their values as one :class:`CommonOptions`.
"""

import functools
import inspect
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Annotated, Any, NoReturn, TypeVar

import typer
from typer.core import TyperCommand

from tgn.runtime.config import Settings, given_values
from tgn.runtime.console import out
from tgn.runtime.errors import UserError
from tgn.runtime.presets import preset_values
from tgn.runtime.settings_table import settings_table

HELP_SETTINGS = "--help-settings"
EPILOG = f"{HELP_SETTINGS} lists the settings that --set and --config take."
PANEL = "Common options"

ConfigOption = Annotated[
    str | None,
    typer.Option(
        "--config",
        help="YAML file of settings (key: value), or paper: the published recipe.",
        rich_help_panel=PANEL,
    ),
]
SetOption = Annotated[
    list[str] | None,
    typer.Option("--set", help="One setting, key=value; may be repeated.", rich_help_panel=PANEL),
]
SeedOption = Annotated[
    int | None, typer.Option("--seed", help="Random seed.", rich_help_panel=PANEL)
]
DeviceOption = Annotated[
    str | None, typer.Option("--device", help="auto, cpu or cuda.", rich_help_panel=PANEL)
]
RunOption = Annotated[
    str | None,
    typer.Option("--run", help="Run name; default: the last run.", rich_help_panel=PANEL),
]
DryRunOption = Annotated[
    bool,
    typer.Option(
        "--dry-run", help="Check everything and show the plan, do nothing.", rich_help_panel=PANEL
    ),
]
ResumeOption = Annotated[
    bool,
    typer.Option(
        "--resume/--no-resume",
        help="Continue an interrupted job, or start again.",
        rich_help_panel=PANEL,
    ),
]
HelpSettingsOption = Annotated[
    bool,
    typer.Option(HELP_SETTINGS, help="List the settings and exit.", rich_help_panel=PANEL),
]

OF_THE_RUN = "@run"  # what an option for a folder of generated images means without one

SettingsT = TypeVar("SettingsT", bound=Settings)
ChooseSettings = Callable[[Mapping[str, Any]], type[Settings]]
"""Takes the verb's options by parameter name; returns the class of its settings."""


@dataclass(frozen=True)
class CommonOptions:
    """The values of the shared options; those that a verb does not have keep their defaults.

    Attributes:
        settings_class: of the verb, as its options choose it; a preset is looked up by it.
    """

    config: str | None = None
    set_: list[str] | None = None
    seed: int | None = None
    device: str | None = None
    dry_run: bool = False
    resume: bool = True
    settings_class: type[Settings] = Settings

    def settings(self, cls: type[SettingsT], **options: Any) -> SettingsT:
        """Return the settings from ``--config``, ``--set``, ``--seed``, ``--device`` and others.

        Args:
            cls: class of the settings.
            options: values of the verb's own options that are settings too; None is not given.

        Raises:
            UserError: for an unknown key or a value out of range.
        """
        with self.naming_file():
            return cls.joined(self.given(**options))

    @contextmanager
    def naming_file(self) -> Iterator[None]:
        """Name the file of ``--config`` in what is said of the settings within."""
        try:
            yield
        except UserError as error:
            if self.config is None or self.config in str(error):
                raise
            raise UserError(f"{error} (settings of {self.config}, --set and options)") from None

    def given(self, **options: Any) -> dict[str, Any]:
        """Return the same values as they were given, not yet validated."""
        shared = {"seed": self.seed, "device": self.device}
        base: Path | Mapping[str, Any] | None = None
        if self.config:
            file = Path(self.config)
            preset = None if file.is_file() else preset_values(self.settings_class, self.config)
            base = file if preset is None else preset
        return given_values(base, self.set_ or (), **shared, **options)


def with_lone_option(arguments: Sequence[str], option: str, value: str) -> list[str]:
    """Return a command line in which an option without a value behind it has one.

    Args:
        arguments: words behind the program's name.
        option: that may stand alone, as ``--augmented``.
        value: what it then means.
    """
    filled = []
    for word, following in zip(arguments, [*arguments[1:], "-"], strict=True):
        alone = word == option and following.startswith("-")
        filled += [word, value] if alone else [word]
    return filled


def show_plan(settings: Settings, what: str) -> NoReturn:
    """Show what a dry run would do, and end."""
    out.print(f"would do: {what}\n{settings.explained()}", markup=False)
    raise typer.Exit


def settings_command(
    app: typer.Typer,
    name: str,
    settings: type[Settings],
    resume: bool = False,
    choose: ChooseSettings | None = None,
) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Return a decorator that registers a verb with settings and the shared options.

    Args:
        app: gets the verb.
        name: of the verb.
        settings: what ``--set`` takes, if no option of the verb changes it.
        resume: whether the verb has ``--resume``.
        choose: which settings ``--help-settings`` lists, where options of the verb decide it.

    The function's first parameter is the :class:`CommonOptions`; the others are its own options.
    """
    options = _shared_options(settings, resume)

    class Command(_SettingsCommand):
        settings_class = staticmethod(choose or (lambda _: settings))

    def register(function: Callable[..., None]) -> Callable[..., None]:
        @functools.wraps(function)
        def command(**values: Any) -> None:
            values.pop("help_settings")
            names = {field.name for field in fields(CommonOptions)} & values.keys()
            chosen = Command.settings_class(values)
            shared = {name: values.pop(name) for name in names}
            common = CommonOptions(**shared, settings_class=chosen)
            function(common, **values)

        own = list(inspect.signature(function).parameters.values())[1:]
        parameters = [*own, *options]
        command.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
        command.__annotations__ = {one.name: one.annotation for one in parameters}
        return app.command(name, cls=Command, epilog=EPILOG)(command)

    return register


class _SettingsCommand(TyperCommand):
    """A command whose ``--help-settings`` works without the arguments that it else requires."""

    settings_class: ChooseSettings

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        if HELP_SETTINGS not in args:
            return super().parse_args(ctx, args)
        ctx.resilient_parsing = True  # nothing is required, --help is not acted on
        super().parse_args(ctx, args)
        out.print(settings_table(type(self).settings_class(ctx.params)))
        return ctx.exit()


def _shared_options(settings: type[Settings], resume: bool) -> list[inspect.Parameter]:
    """Return the shared options that fit a verb's settings, in the order of its help."""
    options: dict[str, tuple[Any, Any]] = {
        "config": (ConfigOption, None),
        "set_": (SetOption, None),
    }
    if "seed" in settings.model_fields:
        options["seed"] = (SeedOption, None)
    if "device" in settings.model_fields:
        options["device"] = (DeviceOption, None)
    options["dry_run"] = (DryRunOption, False)
    if resume:
        options["resume"] = (ResumeOption, True)
    options["help_settings"] = (HelpSettingsOption, False)
    return [
        inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=kind)
        for name, (kind, default) in options.items()
    ]
