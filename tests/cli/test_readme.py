"""What the README shows can be done, word for word."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
from astropy.io import fits

README = (Path(__file__).parents[2] / "README.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"```python\n(.*?)```", README, flags=re.DOTALL)

pytestmark = pytest.mark.usefixtures("forgotten")


def test_the_processor_and_its_pipeline_run_as_they_are_printed(command, night, tmp_path: Path):
    """Both code blocks in one file, as the text says."""
    code = [block for block in BLOCKS if "class " in block]
    assert len(code) == 2
    (tmp_path / "mine.py").write_text("\n".join(code))
    pipeline = f"{tmp_path / 'mine.py'}:MyPipeline"
    said = command(
        "run", pipeline, "--raw", night, "--out", tmp_path / "out", "--cluster", "serial"
    )
    assert said.code == 0, said.err
    made = list((tmp_path / "out/mine/n1/no_sky").glob("*.fits"))
    assert len(made) == 2
    assert all(abs(np.nanmedian(fits.getdata(path))) < 1e-3 for path in made)


def test_the_call_from_python_runs_as_it_is_printed(
    night: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys
):
    """With the night's folder in the place of NIGHT."""
    (code,) = [block for block in BLOCKS if "reduce_night(" in block]
    monkeypatch.chdir(tmp_path)
    (tmp_path / "NIGHT").symlink_to(night)
    code = code.replace('out="OUT"', 'out="OUT", cluster="serial"')
    exec(compile(code, "README", "exec"), {})
    assert "2 succeeded" in capsys.readouterr().out
    assert len(list((tmp_path / "OUT/imager/NIGHT/reduced").glob("*.fits"))) == 2


def test_every_option_that_the_readme_names_is_there(command):
    """Of `run`, `plan`, `submit` and `report`."""
    help_text = "".join(command(name, "--help").out for name in ("run", "plan", "submit", "report"))
    named = set(re.findall(r"(?<![\w-])--[a-z][a-z-]+", README)) - {"--rm"}
    assert sorted(option for option in named if option not in help_text) == []


def test_every_file_that_the_readme_links_to_is_there():
    """Links inside the repository."""
    links = re.findall(r"\]\((?!https?:)([^)#]+)", README)
    root = Path(__file__).parents[2]
    assert [link for link in links if not (root / link).exists()] == []
