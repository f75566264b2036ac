#!/usr/bin/env bash
# Builds the images of operator and agent from this checkout (images/), and puts them on every node. Usage: image.sh [TAG]
source "$(dirname "${BASH_SOURCE[0]}")/common.sh"
command -v buildah > /dev/null || apt-get install -y -qq --no-install-recommends buildah > /dev/null # since a build.sh of before it was needed
checkout=$(cd "$here/../.." && pwd)
output=$state/images
REGISTRY=$registry TAG=${1:-dev} CACHED=1 OUT=$output HOLDFAST_IMAGES_CACHE=${HOLDFAST_IMAGES_CACHE:-$cache/images} \
  make --no-print-directory -C "$checkout" images > "$cache/holdfast-images.log" 2>&1 || { tail -20 "$cache/holdfast-images.log" >&2; fail "see $cache/holdfast-images.log"; }
"$here/load-image.sh" "$output"/*.tar
