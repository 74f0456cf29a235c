"""The import directions of docs/architecture.md hold."""

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


def test_import_contracts() -> None:
    command = [sys.executable, "-c", "from importlinter.cli import lint_imports_command as c; c(['--no-cache'])"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_serving_needs_no_torch() -> None:
    """`parley serve` and the demo import neither torch nor the cascade's parts before an engine is asked for."""
    code = "import sys, agent.app; sys.exit(any(m in sys.modules for m in ('torch', 'pocketsphinx')))"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
