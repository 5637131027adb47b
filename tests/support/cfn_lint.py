"""What cfn-lint says of a template."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any


def findings(template: dict[str, Any]) -> str:
    """The findings as cfn-lint prints them, empty if there are none; W3005, a dependency said twice, is the CDK's."""
    done = subprocess.run(
        [str(Path(sys.executable).parent / "cfn-lint"), "-i", "W3005"],
        input=json.dumps(template),
        check=False,
        capture_output=True,
        text=True,
    )
    return done.stdout + done.stderr
