"""Look up the installed packages in the index's list of advisories; fail if one is there.

Says so in one sentence, and succeeds, where no index answers within a bounded time.
"""

from __future__ import annotations

import json
import subprocess
import sys
from datetime import date, timedelta

SECONDS = 120
"""How long all of it may take."""
IGNORED: dict[str, tuple[date, str]] = {}
"""Advisory -> when it was looked at, and why it does not concern us."""
LASTS = timedelta(days=180)
"""For so long an advisory may be ignored."""
UNREACHED = (
    "Could not connect",
    "ConnectionError",
    "timed out",
    "Max retries",
    "HTTPError",
    "SSLError",
)


def main() -> int:
    """Audit, and return the exit code."""
    old = [name for name, (seen, _) in IGNORED.items() if date.today() - seen > LASTS]
    if old:
        print(f"advisories that were ignored long ago must be looked at again: {', '.join(old)}")
        return 1
    ignored = [word for name in IGNORED for word in ("--ignore-vuln", name)]
    command = [sys.executable, "-m", "pip_audit", "--local", "--skip-editable", "--format", "json"]
    command += ["--progress-spinner", "off", "--timeout", "15", *ignored]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=SECONDS)
    except subprocess.TimeoutExpired:
        print(f"dependencies were not audited: the index did not answer within {SECONDS} s")
        return 0
    try:
        found = json.loads(done.stdout)["dependencies"]
    except (ValueError, KeyError):
        if any(word in done.stderr for word in UNREACHED):
            print("dependencies were not audited: no index with advisories can be reached")
            return 0
        print(done.stderr)
        return 1
    bad = [(package, flaw) for package in found for flaw in package.get("vulns", ())]
    for package, flaw in bad:
        fixed = ", ".join(flaw["fix_versions"]) or "no version"
        name = f"{package['name']} {package['version']}"
        print(f"{name}: {flaw['id']} {' '.join(flaw.get('aliases', ()))}, fixed in {fixed}")
    print(f"{len(found)} packages audited, {len(bad)} advisories")
    return bool(bad)


if __name__ == "__main__":
    sys.exit(main())
