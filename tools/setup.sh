#!/bin/sh
# Installs what package-lock.json asks for into node_modules, Node 24 among it, and marks that as done. Called by `make setup`.
# Changes nothing outside of node_modules.
set -eu
cd "$(dirname "$0")/.."

fail() {
  echo "$1" >&2
  exit 1
}

command -v node > /dev/null || fail 'Node.js 20 or newer is needed to install the rest, and there is none: install the packages nodejs and npm, or see https://nodejs.org.'
command -v npm > /dev/null || fail 'npm is needed to install the rest, and there is none: install the package npm, or see https://nodejs.org.'

echo 'Installing packages (npm ci)...'
npm ci --loglevel=error --no-audit --no-fund
# Node 24 comes with an install script of the package "node", which people may have switched off.
case "$(node_modules/.bin/node --version 2> /dev/null || true)" in
  v24.*) ;;
  *) npm rebuild node --ignore-scripts=false --loglevel=error > /dev/null || true ;;
esac
case "$(node_modules/.bin/node --version 2> /dev/null || true)" in
  v24.*) touch node_modules/.setup ;;
  *) fail 'npm did not install Node 24 into node_modules/.bin/node: run npm rebuild node --ignore-scripts=false and see what it says.' ;;
esac
