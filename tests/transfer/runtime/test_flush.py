"""A disk that cannot flush, and one that fails to."""

import errno
import json
import os
import re
from pathlib import Path

import pytest

from transfer.runtime import files
from transfer.runtime.files import write_json


@pytest.mark.parametrize("number", [errno.EINVAL, errno.ENOSYS, errno.EOPNOTSUPP])
def test_a_disk_that_cannot_flush_is_told_once_and_stops_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], number: int
) -> None:
    def refuse(_: int) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(os, "fsync", refuse)
    files._tell_once.cache_clear()
    for content in ({"a": 1}, {"a": 2}):
        write_json(tmp_path / "written.json", content)
    assert json.loads((tmp_path / "written.json").read_text()) == {"a": 2}
    assert capsys.readouterr().err.count("cannot flush") == 1


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT, errno.EIO])
def test_a_flush_that_fails_is_an_error_and_leaves_what_was_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    write_json(tmp_path / "written.json", {"a": 1})

    def refuse(_: int) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(os, "fsync", refuse)
    with pytest.raises(OSError, match=re.escape(os.strerror(number))):
        write_json(tmp_path / "written.json", {"a": 2})
    assert [path.name for path in tmp_path.iterdir()] == ["written.json"]
    assert json.loads((tmp_path / "written.json").read_text()) == {"a": 1}
