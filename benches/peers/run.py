"""Runs the peers over what `pointsman bench routing --peers` has exported.

Needs nothing but Python's own library: it makes a virtual environment beside the build (once), installs requirements.txt there, and
goes on inside. `run.py EXPORT RESULT [--only NAME,NAME] [--paced]`.
"""

import fcntl
import hashlib
import os
import subprocess
import sys
import venv
from pathlib import Path

HERE = Path(__file__).resolve().parent


def environment() -> Path:
    """The Python of the virtual environment, made anew whenever the requirements have changed; where two ask, one waits."""
    wanted = HERE / "requirements.txt"
    digest = hashlib.sha256(wanted.read_bytes() + sys.version.encode()).hexdigest()[:12]
    root = Path(os.environ.get("POINTSMAN_PEERS_VENV", HERE.parent.parent / "target" / "peers")) / digest
    python = root / "bin" / "python"
    root.parent.mkdir(parents=True, exist_ok=True)
    with (root.parent / f"{digest}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (root / "complete").exists():
            print(f"peers: installing into {root}", file=sys.stderr)
            venv.create(root, with_pip=True, clear=True)
            install = [python, "-m", "pip", "install", "--quiet", "--no-compile", "-r", wanted]
            subprocess.run(install, check=True, stdout=sys.stderr)
            (root / "complete").touch()
    return python


def main() -> int:
    # One thread each: timings and results do not depend on the machine's load or size.
    threads = {name: "1" for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")}
    command = [environment(), "-W", "ignore", HERE / "peers.py", *sys.argv[1:]]
    return subprocess.run(command, env={**os.environ, **threads}, check=False).returncode


if __name__ == "__main__":
    sys.exit(main())
