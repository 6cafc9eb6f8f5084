#!/bin/sh
# packages.sh build|test|lint|bench... - sees to it that the Debian packages
# that these need are installed.  Installs those that are missing and no others,
# and says so; with nothing missing it is silent and changes nothing.
set -eu

packages() {
  case $1 in
  build) echo gcc libc6-dev make pkg-config lua5.4 liblua5.4-dev libuv1-dev \
    libc-ares-dev libcurl4-openssl-dev libseccomp-dev libpq-dev libsqlite3-dev ca-certificates ;;
  # nginx, PostgreSQL, MariaDB and openssl: real servers; iproute2: network namespaces.
  # libmariadb-dev: a build does without, and the one with it is to be tested.
  test) packages build && echo lua-busted lua-luv lua-cjson nginx-light openssl procps iproute2 \
    postgresql-15 mariadb-server-core mariadb-client-core libmariadb-dev ;;
  lint) packages build && echo clang clang-format clang-tidy cppcheck lua-check ;;
  bench) packages build && echo python3 lua-busted postgresql-15 ;;
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
cluster_conf=
trap 'rm -f "$log"; [ -z "$cluster_conf" ] || $as_root rm -f "$cluster_conf"' EXIT
quietly() {
  $as_root env DEBIAN_FRONTEND=noninteractive apt-get -qq -o DPkg::Lock::Timeout=300 \
    -o Acquire::Retries=3 "$@" >"$log" 2>&1 </dev/null && return
  cat "$log" >&2
  return 1
}
# Fresh lists first: a package may have moved on since the last look.
quietly update || echo "packages: apt-get update failed; trying with the lists there are" >&2
# Debian's PostgreSQL makes a database cluster as it is installed, and starts it.
case $missing in
*\ postgresql-*)
  cluster_conf=/etc/postgresql-common/createcluster.d/hospital.conf
  $as_root sh -c "mkdir -p ${cluster_conf%/*} && echo create_main_cluster = false >$cluster_conf"
  ;;
esac
# shellcheck disable=SC2086
quietly install -y --no-install-recommends $missing
