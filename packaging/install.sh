#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Installs, upgrades and removes Tidegate from this source tree: a virtual environment under one prefix, its units, one link.
# docs/install.md says the same step by step. Nothing is enabled, and nothing of Incus or LINSTOR is touched.
set -eu
umask 022

usage() {
  cat <<'EOF'
usage: packaging/install.sh install|uninstall|purge [--prefix DIR] [--units DIR] [--bin DIR]

  install     put Tidegate there, or upgrade what is there
  uninstall   take it away again: our drop-ins, units, link and prefix; what it knows stays
  purge       the same, and forget what it knows (/var/lib/tidegate, /etc/tidegate)

  --prefix DIR   the virtual environment; default /opt/tidegate
  --units DIR    where systemd looks for units; default /usr/local/lib/systemd/system
  --bin DIR      where the link to the command goes; default /usr/local/bin

PYTHON names the Python to use (3.11 or later); default python3.
EOF
}

die() {
  echo "install.sh: $1" >&2
  exit 1
}

source=$(cd "$(dirname "$0")/.." && pwd)
prefix=/opt/tidegate units=/usr/local/lib/systemd/system bin=/usr/local/bin
[ $# -ge 1 ] || { usage >&2; exit 2; }
verb=$1
shift
while [ $# -gt 0 ]; do
  case $1 in
    --prefix | --units | --bin)
      [ $# -ge 2 ] || { usage >&2; exit 2; }
      case $2 in /*) ;; *) die "$1 needs an absolute path, not $2" ;; esac
      case $1 in --prefix) prefix=$2 ;; --units) units=$2 ;; --bin) bin=$2 ;; esac
      shift 2
      ;;
    *) usage >&2; exit 2 ;;
  esac
done

has_systemd() { [ -d /run/systemd/system ]; }

install_it() {
  python=${PYTHON:-python3}
  "$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' ||
    die "$python is not there or older than 3.11; PYTHON=/path/to/python names another one"
  "$python" -c 'import ensurepip, venv' 2>/dev/null ||
    die "this Python cannot make virtual environments; on Debian: apt install python3-venv"
  "$python" -m venv "$prefix"
  "$prefix/bin/python" -m pip --disable-pip-version-check install --quiet --require-hashes \
    -r "$source/requirements/run.lock" -r "$source/requirements/build.lock"
  "$prefix/bin/python" -m pip --disable-pip-version-check install --quiet --force-reinstall \
    --no-deps --no-build-isolation "$source"
  # The units may not write there, so what is not compiled now is compiled at every start, for 0.15 s each time.
  "$prefix/bin/python" -m compileall -q "$prefix/lib"
  mkdir -p "$units" "$bin"
  for unit in "$source"/packaging/systemd/*.service "$source"/packaging/systemd/*.socket; do
    sed "s#/opt/tidegate/#$prefix/#g" "$unit" >"$units/.${unit##*/}.new"
    mv "$units/.${unit##*/}.new" "$units/${unit##*/}"
  done
  ln -sfn "$prefix/bin/tidegate" "$bin/tidegate"
  if has_systemd; then
    systemctl daemon-reload
    # The guard's socket keeps what is asked meanwhile.
    systemctl try-restart tidegate-agent.service tidegate-guard.service
  fi
  "$prefix/bin/tidegate" --version
  if [ -e /var/lib/tidegate/units.json ]; then
    "$prefix/bin/tidegate" units verify || echo "next: tidegate units plan; tidegate units apply"
  else
    echo "next: systemctl enable --now tidegate-agent.service; tidegate units plan"
  fi
}

uninstall_it() {
  [ -e "$prefix/pyvenv.cfg" ] || die "$prefix is no virtual environment of Tidegate's; --prefix says where it is"
  # First, while the guard still answers: Incus is told the real controllers again.
  if [ -e /var/lib/tidegate/guard.json ]; then
    "$prefix/bin/tidegate" guard disable || die "the guard is still enabled, and Incus asks it; see above"
  fi
  # Left behind, a drop-in of ours would do no harm: it wants a unit that is not there.
  "$prefix/bin/tidegate" units remove || echo "install.sh: our drop-ins were not removed; see above" >&2
  for unit in "$units"/tidegate-*.socket "$units"/tidegate-*.service; do
    [ -e "$unit" ] || continue
    unit=${unit##*/}
    if has_systemd; then systemctl stop "$unit"; fi
    systemctl --quiet disable "$unit"
    rm -f "$units/$unit"
  done
  if has_systemd; then systemctl daemon-reload; fi
  [ "$(readlink "$bin/tidegate")" != "$prefix/bin/tidegate" ] || rm -f "$bin/tidegate"
  rm -rf "$prefix"
  if [ "$units" = /usr/local/lib/systemd/system ]; then
    rmdir "$units" "${units%/*}" 2>/dev/null || true
  fi
}

case $verb in
  install) install_it ;;
  uninstall) uninstall_it ;;
  purge)
    uninstall_it
    rm -rf /var/lib/tidegate /etc/tidegate
    ;;
  -h | --help | help) usage ;;
  *) usage >&2; exit 2 ;;
esac
