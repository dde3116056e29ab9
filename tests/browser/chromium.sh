#!/usr/bin/env bash
# Prints the path of a Chromium or Chrome, for tests and pictures of the report: the one that CHROMIUM
# names, else one on the PATH, else, as root on Debian, the one that it installs.
set -euo pipefail

find_chromium() {
  for name in ${CHROMIUM:-chromium chromium-browser google-chrome google-chrome-stable}; do
    command -v "$name" && return
  done
  return 1
}

find_chromium && exit
if [ -z "${CHROMIUM:-}" ] && [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
  export DEBIAN_FRONTEND=noninteractive
  apt-get update -qq >&2
  apt-get install -qq --no-install-recommends chromium fonts-dejavu-core >&2
  find_chromium && exit
fi
printf 'Error: there is no %s\nRemedy: %s\n' "${CHROMIUM:-Chromium or Chrome}" \
  "install it (Debian: apt install chromium), or name one: CHROMIUM=/path/to/chrome" >&2
exit 1
