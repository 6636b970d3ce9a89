"""The tree of errors: who is whose child, and which exit status a command ends with."""

from __future__ import annotations

import pickle

import pytest

from inrvis import errors

pytestmark = pytest.mark.decode_only

PARENTS = {
    "UsageError": ("InrvisError", 2),
    "ArrayNotFoundError": ("UsageError", 2),
    "ExtentError": ("UsageError", 2),
    "DeviceError": ("UsageError", 2),
    "SourceError": ("InrvisError", 3),
    "FormatError": ("InrvisError", 3),
    "ChecksumError": ("FormatError", 3),
    "VersionError": ("FormatError", 3),
    "LimitError": ("FormatError", 3),
    "GraphError": ("FormatError", 3),
    "OutputError": ("InrvisError", 3),
    "TargetMissedError": ("InrvisError", 1),
}


@pytest.mark.parametrize("name", PARENTS)
def test_place_in_the_tree(name: str) -> None:
    parent, status = PARENTS[name]
    kind = getattr(errors, name)
    assert kind.__bases__ == (getattr(errors, parent),)
    assert kind.exit_status == status


def test_the_tree_is_complete_and_drawn() -> None:
    assert set(errors.__all__) == {*PARENTS, "InrvisError"}
    assert errors.__doc__ is not None
    for name in errors.__all__:
        assert name in errors.__doc__


def test_a_message_is_one_line_and_survives_pickling() -> None:
    error = errors.SourceError("cannot read x:\n  bad\r\n\n header")
    assert str(error) == "cannot read x: bad header"
    again = pickle.loads(pickle.dumps(error))
    assert type(again) is errors.SourceError
    assert str(again) == str(error)
