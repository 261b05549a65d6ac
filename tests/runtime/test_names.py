"""Names that become folders, and paths that files of others list, never lead out of a folder."""

import pytest
from pydantic import BaseModel, ValidationError

from tgn.runtime.errors import UserError
from tgn.runtime.names import InnerPath, OptionalInnerPath, folder_name, leads_outside

ESCAPES = (
    "../x", "..", "a/../../b", "a/..", "/abs", "", ".", "..\\x", "a\\..\\..\\b", "C:\\x", "c:/x",
    "\\\\host\\x", "a\0b",
)  # fmt: skip
INSIDE = ("a", "a/b.png", "..a", "a..", "a/..b/c", "...", "c\\d", "a:b", ".hidden", "é/ü.png")


@pytest.mark.parametrize("path", ESCAPES)
def test_what_may_lead_outside_by_the_rules_of_any_system(path):
    assert leads_outside(path)


@pytest.mark.parametrize("path", INSIDE)
def test_what_stays_inside(path):
    assert not leads_outside(path)


def test_a_model_takes_only_paths_that_stay_inside():
    class Listed(BaseModel):
        file: InnerPath
        source: OptionalInnerPath = ""

    assert Listed(file="a/b", source="").source == ""
    for wrong in ({"file": "../a"}, {"file": ""}, {"file": "a", "source": "/etc/passwd"}):
        with pytest.raises(ValidationError, match="stays inside its folder"):
            Listed(**wrong)


@pytest.mark.parametrize("name", ["../x", "/x", "..", ".", "", "a/b", "-x", " a", "a" * 82, "a\n"])
def test_a_new_name_is_that_of_one_folder(name):
    with pytest.raises(UserError, match=r"--name got .* expected at most 81"):
        folder_name(name, "--name")
    assert folder_name("net-1.5_x+generated", "--name") == "net-1.5_x+generated"
