#!/bin/sh
# Makes the image of the first stage from Debian packages alone, where no registry can be reached: a minimal Debian of this machine's architecture, with
# apt. Nothing of it ends up in our images. Usage: base.sh SUITE MIRROR TREE NAME BUILDAH...; does nothing when NAME is there.
set -eu
suite=$1 mirror=$2 tree=$3 name=$4
shift 4
! "$@" inspect --type image "$name" > /dev/null 2>&1 || exit 0
rm -rf "$tree"
mkdir -p "$(dirname "$tree")"
debootstrap --variant=minbase "$suite" "$tree" "$mirror" > "$tree.log" 2>&1 || { echo "debootstrap failed: see $tree.log" >&2; exit 1; }
echo "deb $mirror $suite-updates main" >> "$tree/etc/apt/sources.list"
rm -rf "$tree"/var/cache/apt/* "$tree"/var/lib/apt/lists/*
tar -C "$tree" -c . > "$tree.tar"
container=$("$@" from scratch)
"$@" add -q "$container" "$tree.tar" / > /dev/null
"$@" commit -q --rm "$container" "$name" > /dev/null
rm -rf "$tree" "$tree.tar"
