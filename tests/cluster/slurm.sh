#!/usr/bin/env bash
# A SLURM cluster of two nodes on this machine, for tests: `slurm.sh start`, `slurm.sh stop`; and
# `slurm.sh kill-controller`, `slurm.sh start-controller`. Needs root on Debian or Ubuntu.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
state=/var/tmp/legor1-slurm # logs and state; an earlier cluster's are removed
configs="slurm.conf gres.conf cgroup.conf"
nodes="node-a100 node-a40"

fail() {
  printf 'Error: %s\nRemedy: %s\n' "$1" "$2" >&2
  exit 1
}

install_slurm() {
  [ "$(id -u)" = 0 ] || fail "the daemons need root" "run as root, in a container"
  command -v slurmctld slurmd sbatch munged >/dev/null && return
  apt-get update -qq
  DEBIAN_FRONTEND=noninteractive apt-get install -qq --no-install-recommends \
    slurmctld slurmd slurm-client munge
}

write_configs() {
  rm -rf "$state"
  mkdir -p "$state/state" /etc/slurm
  # Each node claims all of the machine's memory, in MB, less a bit.
  memory=$(awk '/^MemTotal/ { print int($2 / 1024) - 1000 }' /proc/meminfo)
  for name in $configs; do
    [ ! -e "/etc/slurm/$name" ] || [ -L "/etc/slurm/$name" ] ||
      fail "/etc/slurm/$name is there already" "run where there is no SLURM"
    sed -e "s|@HOST@|$(hostname -s)|" -e "s|@MEMORY@|$memory|" -e "s|@STATE@|$state|" \
      "$here/$name" >"$state/$name"
    # Jobs read the configuration there, whatever SLURM_CONF says.
    ln -sfn "$state/$name" "/etc/slurm/$name"
  done
}

start_munge() {
  pgrep -x munged >/dev/null && return
  install -d -o munge -g munge -m 0755 /run/munge
  setpriv --reuid=munge --regid=munge --clear-groups /usr/sbin/munged
}

wait_for_nodes() {
  for _ in $(seq 60); do
    states=$(sinfo -h -p cpu -o %T 2>/dev/null | sort -u | tr '\n' ' ')
    [[ $states =~ ^((idle|mixed|allocated)\ )+$ ]] && return
    sleep 0.5
  done
  fail "the nodes are not ready: $states" "read the logs in $state"
}

end_process() { # PIDFILE SIGNAL
  [ -e "$1" ] || return 0
  pid=$(cat "$1")
  kill "-$2" "$pid" 2>/dev/null || return 0
  for _ in $(seq 50); do
    kill -0 "$pid" 2>/dev/null || return 0
    sleep 0.2
  done
}

start() {
  stop
  install_slurm
  write_configs
  start_munge
  slurmctld -i
  for node in $nodes; do
    slurmd -N "$node"
  done
  wait_for_nodes
}

stop() {
  if [ -e "$state/slurmctld.pid" ]; then
    timeout 20 scancel --user "$(id -un)" 2>/dev/null || true
  fi
  for node in $nodes; do
    end_process "$state/slurmd-$node.pid" TERM
  done
  end_process "$state/slurmctld.pid" TERM
  # A configuration without a controller would slow down each call of Snakemake by 10 seconds.
  for name in $configs; do
    [ ! -L "/etc/slurm/$name" ] || rm "/etc/slurm/$name"
  done
}

case ${1:-} in
  start) start ;;
  stop) stop ;;
  kill-controller) end_process "$state/slurmctld.pid" KILL ;;
  start-controller)
    slurmctld
    wait_for_nodes
    ;;
  *) fail "unknown command ${1:-}" "slurm.sh start | stop | kill-controller | start-controller" ;;
esac
