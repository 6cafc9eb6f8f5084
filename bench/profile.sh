#!/bin/sh
# profile.sh [CHECKS [CONCURRENCY]]: where the time goes in GET checks of a local server that answers after 100 ms.
# With perf a sampled profile of all processes; without it, or where the kernel forbids it, callgrind's (about 50 times slower).
# HOSPITAL_BINARY names the binary, BUILD the folder of slowserver.
set -eu

checks=${1:-2000}
concurrency=${2:-$checks}
build=${BUILD:-build}
hospital=${HOSPITAL_BINARY:-$build/hospital}
folder=$(mktemp -d)
trap 'exec 9>&-; rm -rf "$folder"' EXIT INT TERM

ulimit -n "$(ulimit -Hn)"
mkfifo "$folder/stdin"
"$build/bench/slowserver" 100 600 <"$folder/stdin" >"$folder/port" &
exec 9>"$folder/stdin" # the server ends when this closes
until [ -s "$folder/port" ]; do sleep 0.05; done
port=$(head -n 1 "$folder/port")

mkdir "$folder/checks"
i=0
while [ $i -lt "$checks" ]; do
  echo "healthcheck(\"get $i\", { timeout = \"60s\" }, function() assert_http_response(\"http://127.0.0.1:$port/\", 200) end)" \
    >>"$folder/checks/f$((i / 100)).lua"
  i=$((i + 1))
done

if perf record -q -o "$folder/try" true >/dev/null 2>&1; then
  perf record -q -e cpu-clock -F 997 -g -o "$folder/perf.data" "$hospital" run "$folder/checks" -c "$concurrency" -q ||
    echo "profile.sh: the run was not green"
  perf report -i "$folder/perf.data" --no-children --stdio -g none --percent-limit 0.5 --sort comm,dso,symbol 2>/dev/null
else
  (cd "$folder" && valgrind -q --tool=callgrind --trace-children=yes --callgrind-out-file="$folder/callgrind.%p" \
    "$(cd "$OLDPWD" && realpath "$hospital")" run checks -c "$concurrency" -q) ||
    echo "profile.sh: the run was not green"
  for out in "$folder"/callgrind.*; do
    callgrind_annotate "$out" | head -n 50
  done
fi
