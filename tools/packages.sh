#!/bin/sh
# packages.sh build|test|lint|bench... - sees to it that the Debian packages
# that these need are installed.  Installs those that are missing and no others,
# and says so; with nothing missing it is silent and changes nothing.
set -eu

packages() {
  case $1 in
  build) echo gcc libc6-dev make pkg-config lua5.4 liblua5.4-dev libuv1-dev \
    libc-ares-dev libcurl4-openssl-dev libseccomp-dev libsqlite3-dev ca-certificates ;;
  # nginx and openssl: real servers; iproute2: network namespaces.
  test) packages build && echo lua-busted lua-luv lua-cjson nginx-light openssl procps iproute2 ;;
  lint) packages build && echo clang clang-format clang-tidy cppcheck lua-check ;;
  bench) packages build && echo python3 lua-busted ;;
  *) echo "usage: packages.sh build|test|lint|bench..." >&2 && return 4 ;;
  esac
}

wanted=$(for purpose in "$@"; do packages "$purpose" || exit; done)
wanted=$(echo "$wanted" | tr ' ' '\n' | sort -u)

if ! command -v dpkg-query >/dev/null; then
  echo "packages: this is no Debian; needed is what Debian calls:" $wanted >&2
  exit 0 # the build tells what it misses
fi

# A missing package makes dpkg-query fail, but it still prints the others.
# shellcheck disable=SC2086  # one word a package
installed=$(dpkg-query -W -f '${Package} ${db:Status-Status}\n' $wanted 2>/dev/null |
  sed -n 's/ installed$//p') || true
missing=
for package in $wanted; do
  echo "$installed" | grep -qxF "$package" || missing="$missing $package"
done
[ -n "$missing" ] || exit 0

if [ "$(id -u)" = 0 ]; then
  as_root=
elif command -v sudo >/dev/null; then
  as_root=sudo
else
  echo "packages: these are missing; as root, run:" >&2
  echo "  apt-get update && apt-get install --no-install-recommends$missing" >&2
  exit 1
fi
echo "packages: installing$missing"
log=$(mktemp)
trap 'rm -f "$log"' EXIT
quietly() {
  $as_root env DEBIAN_FRONTEND=noninteractive apt-get -qq -o DPkg::Lock::Timeout=300 \
    -o Acquire::Retries=3 "$@" >"$log" 2>&1 </dev/null && return
  cat "$log" >&2
  return 1
}
# Fresh lists first: a package may have moved on since the last look.
quietly update || echo "packages: apt-get update failed; trying with the lists there are" >&2
# shellcheck disable=SC2086
quietly install -y --no-install-recommends $missing
