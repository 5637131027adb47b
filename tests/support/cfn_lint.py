"""What cfn-lint says of templates."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any


def findings(*templates: dict[str, Any]) -> str:
    """The findings as cfn-lint prints them, empty if there are none; W3005, a dependency said twice, is the CDK's.

    Its start takes longer than a template: give it several at once.
    """
    with tempfile.TemporaryDirectory() as directory:
        files = [Path(directory) / f"template-{number}.json" for number in range(len(templates))]
        for path, template in zip(files, templates, strict=True):
            path.write_text(json.dumps(template))
        done = subprocess.run(
            [str(Path(sys.executable).parent / "cfn-lint"), "-i", "W3005", "--", *map(str, files)],
            check=False,
            capture_output=True,
            text=True,
        )
    return done.stdout + done.stderr
