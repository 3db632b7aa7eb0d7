#!/bin/sh
# Brings Debian packages' programs for the tests that use them, each unpacked under .cache/programs: nothing is
# installed, and no service starts. What cannot be had is said, and the tests that need it say that they did not run.
set -u
programs=.cache/programs
packages=.cache/packages

for name in "$@"; do
    command -v "$name" >/dev/null && continue
    [ -x "$programs/usr/bin/$name" ] && continue
    mkdir -p "$programs" "$packages"
    fetch() { (cd "$packages" && apt-get download -qq "$name" 2>/dev/null); }
    if ! fetch; then
        root=$([ "$(id -u)" = 0 ] || echo "sudo -n")
        $root apt-get update -qq 2>/dev/null
        fetch
    fi
    for file in "$packages/$name"_*.deb; do
        [ -e "$file" ] && dpkg-deb -x "$file" "$programs" && break
    done
    [ -x "$programs/usr/bin/$name" ] || echo "NOT HAD: $name; install Debian's package $name to run the tests that use it"
done
exit 0
