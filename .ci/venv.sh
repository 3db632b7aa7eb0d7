#!/bin/sh
# Makes .venv with the given Python; on Debian the means for that are a package of their own.
set -eu
python=${1:?usage: venv.sh PYTHON}

"$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' || {
    echo "siptrunk-exporter needs Python 3.11 or newer; $python is $("$python" -V)" >&2
    exit 1
}
"$python" -m venv .venv >/dev/null 2>&1 && exit 0

echo "Python cannot make virtual environments yet: installing Debian's package python3-venv"
root=$([ "$(id -u)" = 0 ] || echo "sudo -n")
if ! { $root apt-get update -qq && $root apt-get install -y -qq --no-install-recommends python3-venv; }; then
    echo "could not install it; as root: apt-get install python3-venv" >&2
    exit 1
fi
exec "$python" -m venv .venv
