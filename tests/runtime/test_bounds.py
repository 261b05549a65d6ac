"""Every number of every settings class has two ends; an absurd one is answered in a line."""

import importlib
import pkgutil
from collections.abc import Iterator

import pytest

import classify
import tgn
from tgn.runtime.config import Settings, is_number
from tgn.runtime.errors import UserError
from tgn.runtime.settings_table import bounds_of

ABSURD = ["1e12", "1e300", ".inf", "-.inf", ".nan", "-1e12", "1" * 30, "[1, 2]", "{a: 1}", "x"]
ABSURD += ["true", "'" + "9" * 5000 + "'", "2024-01-01", "1:30"]


def settings_classes() -> list[type[Settings]]:
    for package in (tgn, classify):
        for module in pkgutil.walk_packages(package.__path__, f"{package.__name__}."):
            if module.name.endswith(("settings", ".rates")):
                importlib.import_module(module.name)

    def below(cls: type[Settings]) -> Iterator[type[Settings]]:
        for child in cls.__subclasses__():
            yield child
            yield from below(child)

    ours = {cls for cls in below(Settings) if cls.__module__.startswith(("tgn.", "classify."))}
    return sorted(ours, key=lambda cls: f"{cls.__module__}.{cls.__qualname__}")


NUMBERS = [
    (cls, name)
    for cls in settings_classes()
    for name, field in cls.model_fields.items()
    if is_number(field)
]


def test_every_number_is_bounded():
    unbounded = []
    for cls, name in NUMBERS:
        rules = list(bounds_of(cls.model_fields[name]))
        has = [
            any(getattr(rule, key, None) is not None for rule in rules for key in keys)
            for keys in (("ge", "gt"), ("le", "lt"))
        ]
        unbounded += [] if all(has) else [f"{cls.__name__}.{name}"]
    assert len(NUMBERS) > 200
    assert not unbounded


@pytest.mark.parametrize("value", ABSURD, ids=[value[:12] for value in ABSURD])
def test_an_absurd_number_is_one_short_line(value):
    for cls, name in NUMBERS:
        if name.endswith("seed") and "1e12" in value:
            continue
        if value.startswith("[") and "tuple" in str(cls.model_fields[name].annotation):
            continue  # several numbers are expected
        with pytest.raises(UserError, match=name) as caught:
            cls.resolve(None, [f"{name}={value}"])
        assert "\n" not in str(caught.value)
        assert len(str(caught.value)) < 1500
