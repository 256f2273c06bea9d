"""The commands that README and docs/ show, as printed; test_tutorial.py has the tutorial's."""

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from tests.certificates import Certificates

ROOT = Path(__file__).parent.parent
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
COMMANDS = {
    re.sub(r" +#.*", "", command).replace("\\\n", "")
    for page in PAGES
    for command in re.findall(r"^    (\S(?:.*\\\n)*.*)", page.read_text("utf-8"), re.MULTILINE)
}
WORKERS = [
    re.sub(r"ExecStart=\S*/distchan", "distchan", command)
    for command in sorted(COMMANDS)
    if re.match(r"distchan worker|ExecStart=", command)
]
FUNCTIONS = "".join(
    f"def {name}(item: str) -> str:\n    return item\n"
    for name in ("shout", "upper", "function", "digest")
)


@pytest.mark.skipif(os.name != "posix", reason="they are commands for a shell")
@pytest.mark.parametrize("command", WORKERS)
def test_workers_start_as_printed(command: str, tmp_path: Path) -> None:
    """But for the address, where nobody is: so they have understood all the rest."""
    for name in ("tasks.py", "digests.py"):
        (tmp_path / name).write_text(FUNCTIONS)
    for key_command in sorted(COMMANDS, reverse=True):  # made, then guarded
        if key_command.startswith(("python -c", "chmod")):
            script = key_command.replace("python", shlex.quote(sys.executable), 1)
            subprocess.run(["sh", "-c", script], cwd=tmp_path, check=True)
    certificates = Certificates(tmp_path)
    (tmp_path / "server-ca.pem").write_bytes(certificates.ca.read_bytes())
    for name in ("worker.pem", "worker.key"):
        (tmp_path / name).write_bytes(certificates.client.read_bytes())
    arguments = [
        re.sub(r"^[\w.]+:5678$", "localhost:1", word).replace("/srv/digests/", "")
        for word in shlex.split(command)[1:]
    ]
    outcome = subprocess.run(
        [sys.executable, "-m", "distchan", *arguments, "--connect-timeout", "0"],
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert outcome.returncode == 1, outcome.stderr
    assert re.search(r"no server at (localhost:1|unix:\S+) within 0 s", outcome.stderr)


@pytest.mark.skipif(os.name != "posix", reason="they are commands for a shell")
@pytest.mark.parametrize("command", sorted(c for c in COMMANDS if c.startswith("make ")))
def test_make_knows_its_targets(command: str) -> None:
    assert (
        subprocess.run([*shlex.split(command), "--dry-run"], cwd=ROOT, check=False).returncode == 0
    )


def test_there_are_commands() -> None:
    assert len(WORKERS) >= 6
    assert "make test" in COMMANDS
