"""Runs a command with the service before the harness's upstream: `served.py BINARY [--scopes A,B] -- COMMAND ...`.

The command finds them in POINTSMAN_BASE, POINTSMAN_KEY and UPSTREAM_BASE; GET of the last gives the body that the upstream got last.
"""

import argparse
import os
import subprocess
import sys

from harness import serving

options = argparse.ArgumentParser()
options.add_argument("binary")
options.add_argument("--scopes", default="", help="of the key; without: the default ones")
options.add_argument("command", nargs="+")
given = options.parse_args()
with serving(given.binary, [scope for scope in given.scopes.split(",") if scope]) as (base, key, upstream):
    where = {"POINTSMAN_BASE": base, "POINTSMAN_KEY": key, "UPSTREAM_BASE": upstream}
    ended = subprocess.run(given.command, env={**os.environ, **where})
sys.exit(ended.returncode)
