#!/bin/sh
# Brings Debian's programs for the tests and benchmarks that use them, each unpacked under .cache/programs: nothing is
# installed, and no service starts. What cannot be had is said, and what needs it says that it did not run.
set -u
PATH=$PATH:/usr/sbin
programs=.cache/programs
packages=.cache/packages

# The packages that may hold a program: of nginx, older Debians keep it in one of its flavours.
holders() {
    case $1 in
        nginx) echo nginx nginx-light nginx-core ;;
        promtool) echo prometheus ;;
        *) echo "$1" ;;
    esac
}

here() {
    command -v "$1" >/dev/null || [ -x "$programs/usr/bin/$1" ] || [ -x "$programs/usr/sbin/$1" ]
}

fetch() {
    (cd "$packages" && apt-get download -qq "$1" 2>/dev/null)
}

for name in "$@"; do
    here "$name" && continue
    mkdir -p "$programs" "$packages"
    for package in $(holders "$name"); do
        if ! fetch "$package"; then
            root=$([ "$(id -u)" = 0 ] || echo "sudo -n")
            $root apt-get update -qq 2>/dev/null
            fetch "$package"
        fi
        for file in "$packages/${package}"_*.deb; do
            [ -e "$file" ] && dpkg-deb -x "$file" "$programs" && break
        done
        here "$name" && break
    done
    here "$name" || echo "NOT HAD: $name; install Debian's package $(holders "$name" | cut -d' ' -f1) to run what uses it"
done
exit 0
