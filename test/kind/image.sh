#!/usr/bin/env bash
# Builds the image of operator, agent and holder from this checkout, and puts it on every node under the chart's two names. Usage: image.sh [TAG]
source "$(dirname "${BASH_SOURCE[0]}")/common.sh"
image=$registry/holdfast-agent:${1:-dev}
operator=$registry/holdfast-operator:${1:-dev}
checkout=$(cd "$here/../.." && pwd)
context=$cache/context
lock=$(sha256sum "$checkout/package-lock.json" | cut -c1-16)
modules=$cache/modules-$lock
if [ ! -e "$modules/done" ]; then
  say "installing the packages that the programs need"
  rm -rf "$cache"/modules-*
  mkdir -p "$modules"
  cp "$checkout"/package.json "$checkout"/package-lock.json "$modules/"
  (cd "$modules" && npm ci --omit=dev --ignore-scripts --no-audit --no-fund > npm.log 2>&1) || fail "see $modules/npm.log"
  touch "$modules/done"
fi
rm -rf "$context"
mkdir -p "$context/app" "$context/root/usr/local/bin"
(cd "$checkout" && cp -r agent bin core edge operator package.json "$context/app/")
cp -al "$modules/node_modules" "$context/app/node_modules"
cp -L "$checkout/node_modules/node/bin/node" "$context/root/usr/local/bin/node"
cp "$here/images/holdfast.Dockerfile" "$context/Dockerfile"
docker build --build-arg "BASE=$registry/base:$suite" -t "$image" "$context" > "$cache/holdfast-image.log" 2>&1 || fail "see $cache/holdfast-image.log"
docker tag "$image" "$operator"
"$here/load-image.sh" "$image" "$operator"
