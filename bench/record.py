"""What a run found, kept in one file as it goes, so that nothing is lost when it is stopped."""

import json
import os
import platform
import subprocess
import time
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from config import paths

KEPT = paths.ROOT / "artifacts" / "bench.json"
Figures = dict[str, dict[str, float]]  # contender -> figure -> value


@dataclass(frozen=True)
class Finding:
    """One table. `kind` says how it is shown, `place` at how many consumers and events it was."""

    path: str
    place: str
    title: str
    figures: Figures
    kind: str = "served"
    load: tuple[float, ...] = field(default_factory=os.getloadavg)


@dataclass
class Record:
    """All tables of a run."""

    file: Path
    head: dict[str, Any]
    findings: list[Finding] = field(default_factory=list)

    @classmethod
    def begin(cls, file: Path, **head: Any) -> "Record":
        about = {
            "began": time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime()),
            "commit": _commit(),
            "machine": f"{os.cpu_count()} cores, Python {platform.python_version()}",
        }
        return cls(file, about | head)

    @classmethod
    def read(cls, file: Path) -> "Record":
        told = json.loads(file.read_text())
        return cls(file, told["head"], [Finding(**one) for one in told["findings"]])

    def add(self, finding: Finding) -> None:
        self.findings.append(finding)
        self.keep()

    def keep(self) -> None:
        told = {"head": self.head, "findings": [asdict(one) for one in self.findings]}
        self.file.parent.mkdir(exist_ok=True)
        self.file.write_text(json.dumps(told, indent=1))

    def figures(self, path: str, place: str) -> Figures:
        """Of one table; empty when it was not measured."""
        for one in self.findings:
            if (one.path, one.place) == (path, place):
                return one.figures
        return {}

    def places(self, path: str) -> list[str]:
        return [one.place for one in self.findings if one.path == path]


def _commit() -> str:
    said = subprocess.run(
        ["git", "rev-parse", "--short", "HEAD"], cwd=paths.ROOT, capture_output=True, check=False
    )
    return said.stdout.decode().strip()
