#!/bin/sh
# Brings Debian's programs for the tests and benchmarks that use them. Servers are unpacked under .cache/programs, so
# that no service starts; what needs libraries is installed. What cannot be had is said, and what needs it says that
# it did not run.
set -u
PATH=$PATH:/usr/sbin
programs=.cache/programs
packages=.cache/packages
root=$([ "$(id -u)" = 0 ] || echo "sudo -n")

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

unpack() {
    mkdir -p "$programs" "$packages"
    for package in $(holders "$1"); do
        if ! fetch "$package"; then
            $root apt-get update -qq 2>/dev/null
            fetch "$package"
        fi
        for file in "$packages/${package}"_*.deb; do
            [ -e "$file" ] && dpkg-deb -x "$file" "$programs" && break
        done
        here "$1" && break
    done
}

install() {
    echo "installing Debian's package $1"
    $root apt-get update -qq 2>/dev/null
    $root env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "$1" >/dev/null 2>&1
}

for name in "$@"; do
    here "$name" && continue
    case $name in
        chromium | curl) install "$name" ;;
        *) unpack "$name" ;;
    esac
    here "$name" || echo "NOT HAD: $name; install Debian's package $(holders "$name" | cut -d' ' -f1) to run what uses it"
done
exit 0
