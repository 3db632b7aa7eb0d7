#!/bin/sh
# Fills dist/ from the last commit, whatever else lies in the work tree, with what is installed, asking no index.
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

# An environment in name alone: what the tool reads is the packages' metadata.
"$bin/python" -m venv --without-pip "$work/runs"
"$bin/python" .ci/runs.py "$work"/runs/lib/python*/site-packages
release=$(basename "$dist"/*.tar.gz .tar.gz)
# The tool reads no version from the code.
sed "s/^dynamic = .*/version = \"${release#*-}\"/" pyproject.toml >"$work/pyproject.toml"
cd "$dist"
"$bin/cyclonedx-py" environment --pyproject "$work/pyproject.toml" --output-reproducible \
    --output-file "$release.cdx.json" "$work/runs"
sha256sum -- * >SHA256SUMS
chmod 644 -- *
