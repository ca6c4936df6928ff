"""make: packages are installed once, wherever the repository and the environment lie."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from transfer.runtime.files import ROOT

UV = """\
#!/bin/sh
echo "$@" >> "$CALLS"
mkdir -p "${UV_PROJECT_ENVIRONMENT:-.venv}/bin"
printf '#!/bin/sh\\necho the python of the environment\\n' > "${UV_PROJECT_ENVIRONMENT:-.venv}/bin/python"
chmod +x "${UV_PROJECT_ENVIRONMENT:-.venv}/bin/python"
"""
SYSTEM = "/usr/bin:/bin"


@pytest.mark.parametrize("own", [True, False], ids=["uv in .uv", "uv on the PATH"])
@pytest.mark.parametrize("environment", [None, "an environment", "../elsewhere", "/"])
@pytest.mark.parametrize("place", ["plain", "my models/größe 猫"])
def test_packages_are_installed_once(tmp_path: Path, place: str, environment: str | None, own: bool) -> None:
    if own and shutil.which("uv", path=SYSTEM):
        pytest.skip("this machine's own uv comes first")
    folder, calls = tmp_path / place, tmp_path / "calls"
    folder.mkdir(parents=True)
    for name in ("Makefile", "pyproject.toml", "uv.lock"):
        shutil.copy2(ROOT / name, folder / name)
    program = (folder / ".uv" if own else tmp_path) / "bin/uv"
    program.parent.mkdir(parents=True)
    program.write_text(UV, encoding="utf-8")
    program.chmod(0o755)
    variables = {name: value for name, value in os.environ.items() if name != "UV_PROJECT_ENVIRONMENT"}
    variables |= {"CALLS": str(calls), "PATH": SYSTEM if own else f"{program.parent}:{SYSTEM}"}
    if environment:
        variables["UV_PROJECT_ENVIRONMENT"] = f"{tmp_path}/an absolute one" if environment == "/" else environment
    for _ in range(2):
        make = ["make", "--silent", "gate"]
        done = subprocess.run(make, cwd=folder, env=variables, capture_output=True, text=True, check=False)
        assert (done.returncode, done.stdout) == (0, "the python of the environment\n"), done.stderr
    assert calls.read_text(encoding="utf-8").startswith("sync --locked ")
    assert len(calls.read_text(encoding="utf-8").splitlines()) == 1
