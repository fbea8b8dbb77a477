#!/bin/sh
# The servers that tests start for themselves, and the programs of an operator: says which are missing, and installs them where it may.
set -eu

missing=
# Debian keeps the programs of PostgreSQL in a folder for each version.
ls /usr/lib/postgresql/*/bin/initdb >/dev/null 2>&1 || command -v initdb >/dev/null 2>&1 ||
    missing="$missing postgresql"
for program in redis-server sqlite3 curl; do
    command -v "$program" >/dev/null 2>&1 || missing="$missing $program"
done

[ -n "$missing" ] || exit 0

if [ "$(id -u)" != 0 ] || ! command -v apt-get >/dev/null 2>&1; then
    echo "tests need programs that are not installed; run this once:" >&2
    echo "  sudo apt-get install --no-install-recommends -y$missing" >&2
    exit 1
fi

# The programs are wanted, not servers that run beside them.
mkdir -p /etc/postgresql-common
[ -e /etc/postgresql-common/createcluster.conf ] ||
    echo 'create_main_cluster = false' > /etc/postgresql-common/createcluster.conf
export DEBIAN_FRONTEND=noninteractive
apt-get update -q
# shellcheck disable=SC2086 # words, on purpose
apt-get install -q -y --no-install-recommends $missing
