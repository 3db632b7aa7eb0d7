#!/bin/sh
# Brings the programs and schemas that tests and benchmarks use. Debian's servers are unpacked under .cache/programs, so
# that no service starts; what needs libraries is installed; what Debian does not have is built there where Go is. What
# cannot be had is said, and what needs it says that it did not run.
set -u
PATH=$PATH:/usr/sbin
programs=.cache/programs
packages=.cache/packages
schemas=.cache/schemas
root=$([ "$(id -u)" = 0 ] || echo "sudo -n")

# The packages that may hold a program: of nginx, older Debians keep it in one of its flavours.
holders() {
    case $1 in
        nginx) echo nginx nginx-light nginx-core ;;
        promtool) echo prometheus ;;
        amtool) echo prometheus-alertmanager ;;
        systemd-analyze) echo systemd ;;
        vmagent | vmalert) echo victoria-metrics ;;
        *) echo "$1" ;;
    esac
}

# Of helm and kubeconform, whose words tests look at, only the version that is built here will do.
here() {
    case $1 in
        schemas) [ -d "$schemas" ]; return ;;
        libfaketime) set -- "$programs"/usr/lib/*/faketime/libfaketime.so.1; [ -e "$1" ]; return ;;
        libnss-wrapper) set -- "$programs"/usr/lib/*/libnss_wrapper.so; [ -e "$1" ]; return ;;
        helm | kubeconform) ;;
        *) command -v "$1" >/dev/null && return ;;
    esac
    [ -x "$programs/usr/bin/$1" ] || [ -x "$programs/usr/sbin/$1" ]
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
    [ "$package" = prometheus-alertmanager ] && point "$package"
}

# Debian's Alertmanager reads its default templates where the package would be installed. Unpacked, it is pointed to a
# path of the same length, from the project's root.
point() {
    ln -sfn usr/share/prometheus/alertmanager "$programs/alertmanager"
    sed -i "s,/usr/share/prometheus/alertmanager,./././$programs/alertmanager,g" "$programs/usr/bin/$1"
}

install() {
    echo "installing Debian's package $(holders "$1")"
    $root apt-get update -qq 2>/dev/null
    $root env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "$(holders "$1")" >/dev/null 2>&1
}

build() {
    command -v go >/dev/null || return
    echo "building $1"
    GOBIN=$PWD/$programs/usr/bin go install -trimpath -ldflags="-s -w" "$1" >/dev/null 2>&1
}

# The folder of a Go module's files.
module() {
    go mod download -json "$1" | sed -n 's/^\t"Dir": "\(.*\)",$/\1/p'
}

collect() {
    command -v go >/dev/null || return
    echo "collecting schemas"
    compose=$(module github.com/compose-spec/compose-go/v2@v2.8.1)
    operator=$(module github.com/prometheus-operator/prometheus-operator@v0.85.0)
    crds=$operator/example/prometheus-operator-crd/monitoring.coreos.com
    mkdir -p "$schemas.new" &&
        cp -f "$compose/schema/compose-spec.json" "${crds}_servicemonitors.yaml" "${crds}_prometheusrules.yaml" \
            "$schemas.new" 2>/dev/null &&
        mv "$schemas.new" "$schemas"
}

remedy() {
    case $1 in
        helm | kubeconform | schemas) echo "install Go 1.24 or newer, which brings it from the module proxy," ;;
        *) echo "install Debian's package $(holders "$1" | cut -d' ' -f1)" ;;
    esac
}

for name in "$@"; do
    here "$name" && continue
    case $name in
        chromium | curl | systemd-analyze) install "$name" ;;
        helm) build helm.sh/helm/v3/cmd/helm@v3.18.6 ;;
        kubeconform) build github.com/yannh/kubeconform/cmd/kubeconform@v0.7.0 ;;
        schemas) collect ;;
        *) unpack "$name" ;;
    esac
    here "$name" || echo "NOT HAD: $name; $(remedy "$name") to run what uses it"
done
exit 0
