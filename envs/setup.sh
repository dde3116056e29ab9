#!/usr/bin/env bash
# Makes .venv from the lock beside this file, once; `make setup`, `make demo` and `make test` call it.
# PYTHON=python3.12 chooses the interpreter.
set -euo pipefail
cd "$(dirname "$0")/.."

fail() {
  printf 'Error: %s\nRemedy: %s\n' "$1" "$2" >&2
  exit 1
}

key=$(cat envs/all.txt envs/setup.sh pyproject.toml | cksum)
ready() { [ "$(cat .venv/ready 2>/dev/null)" = "$key" ]; }
if ready; then exit 0; fi

python=${PYTHON:-python3}
remedy="install Python 3.11, 3.12 or 3.13, or name one: make PYTHON=python3.13 …"
command -v "$python" >/dev/null || fail "there is no $python" "$remedy"
"$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' ||
  fail "$("$python" --version) is too old" "$remedy"
"$python" -c 'import sys; sys.exit(sys.version_info >= (3, 14))' ||
  fail "$("$python" --version) is too new: not all that is pinned has wheels for it" "$remedy"
"$python" -c 'import ensurepip' 2>/dev/null ||
  fail "$python cannot make virtual environments" "install its venv package (Debian: apt install python3-venv)"
[ "$(df -Pk . | awk 'NR == 2 { print $4 }')" -gt 9000000 ] ||
  fail "less than 9 GB of disk are free here" "free some space"

# Two that set up at once would break each other's files: the second waits until this shell ends.
mkdir -p .venv
exec 9>.venv/lock
"$python" -c 'import fcntl; fcntl.flock(9, fcntl.LOCK_EX)'
if ready; then exit 0; fi

echo "Setting up .venv, once: about 5 minutes and 7 GB of disk; pip writes to .venv/setup.log."
[ -x .venv/bin/python ] || "$python" -m venv .venv
install() {
  .venv/bin/python -m pip install --disable-pip-version-check --require-hashes -r envs/all.txt &&
    .venv/bin/python -m pip install --disable-pip-version-check --no-deps --no-build-isolation --editable .
}
if ! install >.venv/setup.log 2>&1; then
  tail -n 20 .venv/setup.log >&2
  fail "pip failed; its last lines are above, the others in .venv/setup.log" "see to what it names, and run again"
fi
echo "$(grep -c '^[^ #].*==' envs/all.txt) packages, $(du -sh .venv | cut -f 1), $((SECONDS / 60)) min $((SECONDS % 60)) s."
echo "$key" >.venv/ready
