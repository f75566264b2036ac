#!/bin/sh
# Unpacks Debian packages and all that they depend on into a tree of their own, for any architecture: nothing of them is run, so an image for arm64
# needs no emulator, and no script of a package can make two builds differ. Runs in the first stage of a Dockerfile, on any Debian with apt.
# Usage: system.sh ARCHITECTURE PACKAGES-FILE TREE; with MIRROR in the environment, from there and not from where the base takes its packages.
set -eu
architecture=$1 tree=$3
words=$(sed 's/#.*//' "$2")
wanted=$(printf '%s\n' $words | grep -v '^-' | sed 's#/.*##')
left_out=$(printf '%s\n' $words | sed -n 's/^-//p')
work=$(mktemp -d)
mkdir -p "$work/lists/partial" "$work/archives/partial"
: > "$work/status" # as if nothing were installed: the builder's own packages do not count
if [ -n "${MIRROR:-}" ]; then
  rm -f /etc/apt/sources.list /etc/apt/sources.list.d/*
  codename=$(. /etc/os-release && echo "$VERSION_CODENAME")
  echo "deb [check-valid-until=no] $MIRROR $codename main" > /etc/apt/sources.list # that of a snapshot is old, and meant to be
fi

apt() {
  apt-get -qq -o Dir::State::Lists="$work/lists" -o Dir::State::status="$work/status" -o Dir::Cache::archives="$work/archives" \
    -o Dir::Cache::pkgcache= -o Dir::Cache::srcpkgcache= -o APT::Architecture="$architecture" -o APT::Architectures="$architecture" \
    -o APT::Install-Recommends=false -o APT::Sandbox::User=root -o Acquire::Languages=none -o APT::Keep-Downloaded-Packages=true \
    -o DPkg::Post-Invoke= -o APT::Update::Post-Invoke= "$@"
}
apt update
# shellcheck disable=SC2086
apt install --yes --download-only $wanted > /dev/null

# As on every Debian since bookworm: these are links, and what packages have below them lies under /usr.
mkdir -p "$tree"/usr/bin "$tree"/usr/sbin "$tree"/usr/lib "$tree"/etc "$tree"/var/lib/dpkg/status.d "$tree"/proc "$tree"/sys "$tree"/dev "$tree"/run
for directory in bin sbin lib; do ln -s "usr/$directory" "$tree/$directory"; done
[ "$architecture" != amd64 ] || { mkdir "$tree/usr/lib64" && ln -s usr/lib64 "$tree/lib64"; }
install -d -m 1777 "$tree/tmp"
for archive in "$work"/archives/*.deb; do
  package=$(dpkg-deb --field "$archive" Package)
  ! printf '%s\n' $left_out | grep -qx "$package" || continue
  program=$(printf '%s\n' $words | sed -n "s#^$package/##p")
  parts=
  [ -z "$program" ] || parts="--wildcards */bin/$program */doc/*/copyright"
  # shellcheck disable=SC2086
  (set -f && dpkg-deb --fsys-tarfile "$archive" | tar -x --keep-directory-symlink -C "$tree" $parts)
  # The form in which scanners find packages where there is no dpkg.
  dpkg-deb --field "$archive" > "$tree/var/lib/dpkg/status.d/$package"
done
rm -rf "$work"

# What the packages' scripts would have made, as far as anything here looks at it.
printf 'root:x:0:0:root:/:/usr/sbin/nologin\nholdfast:x:65532:65532:holdfast:/:/usr/sbin/nologin\n' > "$tree/etc/passwd"
printf 'root:x:0:\nholdfast:x:65532:\n' > "$tree/etc/group"
printf 'hosts: files dns\n' > "$tree/etc/nsswitch.conf" # else names in /etc/hosts come last
ln -sf ../proc/self/mounts "$tree/etc/mtab"

# Texts, character sets and plugins that no program of ours asks for; the copyright files stay.
[ ! -d "$tree/usr/share/doc" ] || find "$tree/usr/share/doc" ! -type d ! -name copyright -delete
for path in share/man share/info share/locale share/lintian share/bash-completion share/bug share/gdb share/gcc share/initramfs-tools lib/init include; do
  rm -rf "${tree:?}/usr/$path"
done
rm -rf "$tree"/usr/lib/*/gconv "$tree"/etc/cron.d "$tree"/etc/init.d "$tree"/usr/lib/udev "$tree"/usr/lib/systemd
if [ -d "$tree"/usr/lib/*/nbdkit ]; then
  find "$tree"/usr/lib/*/nbdkit/plugins -name '*.so' ! -name nbdkit-nbd-plugin.so -delete
  find "$tree"/usr/lib/*/nbdkit/filters -name '*.so' ! -name nbdkit-retry-filter.so -delete
fi
find "$tree/usr/share" -type d -empty -delete

# Nobody becomes root by a file here, and a script whose interpreter is not there would only say so later.
find "$tree" -xdev -type f -perm /6000 -exec chmod a-s {} +
for file in "$tree"/usr/bin/* "$tree"/usr/sbin/*; do
  [ -f "$file" ] && [ ! -L "$file" ] || continue
  interpreter=$(head -c 200 "$file" | sed -n '1s/^#! *\([^ ]*\).*/\1/p' 2> /dev/null | tr -d '\0')
  [ -z "$interpreter" ] || [ -e "$tree$interpreter" ] || rm "$file"
done
for link in "$tree"/usr/bin/* "$tree"/usr/sbin/*; do
  [ -L "$link" ] || continue
  target=$(readlink "$link")
  case $target in # one that begins at the root means that of the image
    /*) [ -e "$tree$target" ] || rm "$link" ;;
    *) [ -e "$link" ] || rm "$link" ;;
  esac
done
