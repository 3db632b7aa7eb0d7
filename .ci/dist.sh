#!/bin/sh
# Fills dist/ from the last commit, whatever else lies in the work tree. The bill of materials lists what an
# installation of the wheel brings, which takes the package index; the rest does not.
set -eu
bin=$(cd "${1:?usage: dist.sh FOLDER-OF-PYTHON}" && pwd)
dist=$PWD/dist
SOURCE_DATE_EPOCH=$(git log -1 --format=%ct) # the Reproducible Builds project's variable: seconds, Unix time
export SOURCE_DATE_EPOCH
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

rm -rf "$dist"
mkdir "$dist"
mkdir "$work/source"
git archive HEAD | tar -x -C "$work/source"
cd "$work/source"
"$bin/python" -c "import sys; from flit_core.buildapi import *; build_sdist(sys.argv[1]); build_wheel(sys.argv[1])" "$dist"

"$bin/python" -m venv --without-pip "$work/installed"
"$bin/pip" --python "$work/installed" install --quiet --constraint constraints.txt "$dist"/*.whl
rm "$work"/installed/lib/python*/site-packages/siptrunk_exporter-*/direct_url.json # names the folder of the build
cd "$dist"
"$bin/cyclonedx-py" environment --pyproject "$work/source/pyproject.toml" --output-reproducible \
    --output-file "$(basename ./*.tar.gz .tar.gz).cdx.json" "$work/installed"
sha256sum -- * >SHA256SUMS
