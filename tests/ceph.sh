#!/bin/sh
# Runs the object store tests against a Ceph RGW of its own: one monitor, one OSD in memory, one gateway, all on
# loopback, in a temporary folder, gone afterwards. Arguments go to pytest.
#
# With LADDER_TEST_S3_URL, LADDER_TEST_S3_ACCESS and LADDER_TEST_S3_SECRET set, that endpoint is tested instead and
# nothing is started. Installs nothing.
set -eu
cd "$(dirname "$0")/.."
python=${PYTHON:-.venv/bin/python}

run_tests() {
    "$python" -m pytest -m ceph tests/contract/test_blob_stores.py "$@"
}

if [ -n "${LADDER_TEST_S3_URL:-}" ]; then
    run_tests "$@"
    exit
fi

missing=
for need in ceph-mon:ceph-mon ceph-osd:ceph-osd radosgw:radosgw ceph:ceph-common radosgw-admin:radosgw; do
    command -v "${need%%:*}" >/dev/null || missing="$missing ${need##*:}"
done
if [ -n "$missing" ]; then
    echo "Missing Debian packages:$(printf '%s\n' $missing | sort -u | tr '\n' ' ' | sed 's/^/ /')" >&2
    exit 2
fi

folder=$(mktemp -d)
processes=
stop() {
    trap - EXIT INT TERM
    # The gateway first: each needs the ones that were started before it.
    for process in $processes; do
        kill "$process" 2>/dev/null || continue
        for _ in $(seq 50); do
            kill -0 "$process" 2>/dev/null || break
            sleep 0.1
        done
        kill -KILL "$process" 2>/dev/null || true
    done
    wait
    rm -rf "$folder"
}
trap stop EXIT
trap 'exit 130' INT TERM

set_ports() {
    mon_v2=$1 mon_v1=$2 s3=$3
}
# shellcheck disable=SC2046 # three words
set_ports $("$python" -c 'from tests.services import free_ports; print(*free_ports(3))')
access=$("$python" -c 'import secrets; print(secrets.token_hex(10))')
secret=$("$python" -c 'import secrets; print(secrets.token_hex(20))')
id=$("$python" -c 'import uuid; print(uuid.uuid4())')

mkdir "$folder/mon" "$folder/osd" "$folder/rgw" "$folder/run" "$folder/log"
cat >"$folder/ceph.conf" <<CONF
[global]
fsid = $id
mon_host = [v2:127.0.0.1:$mon_v2,v1:127.0.0.1:$mon_v1]
public_addr = 127.0.0.1
cluster_addr = 127.0.0.1
# Nobody but this script can reach it, and nothing in it is worth a key.
auth_cluster_required = none
auth_service_required = none
auth_client_required = none
run_dir = $folder/run
admin_socket = $folder/run/\$name.\$pid.asok
log_file = $folder/log/\$name.log
crash_dir = $folder/log
# One copy on one OSD is all there is.
osd_pool_default_size = 1
osd_pool_default_min_size = 1
osd_pool_default_pg_num = 4
osd_crush_chooseleaf_type = 0
mon_allow_pool_size_one = true
mon_pg_warn_min_per_osd = 0
[mon]
mon_data = $folder/mon
mon_cluster_log_file = $folder/log/cluster.log
[osd]
osd_data = $folder/osd
osd_objectstore = memstore
memstore_device_bytes = 4294967296
[client]
rgw_frontends = beast endpoint=127.0.0.1:$s3
rgw_data = $folder/rgw
# The gateway's own default, "secure", is not to be had without keys.
ms_mon_client_mode = crc
CONF
export CEPH_CONF="$folder/ceph.conf"

start() {
    "$@" >"$folder/log/$1.out" 2>&1 &
    processes="$! $processes"
}

until_true() {
    for _ in $(seq 300); do
        if "$@" >/dev/null 2>&1; then return; fi
        sleep 0.2
    done
    echo "Gave up waiting for: $*" >&2
    tail -n 5 "$folder"/log/* >&2
    exit 2
}

monmaptool --create --fsid "$id" --addv a "[v2:127.0.0.1:$mon_v2,v1:127.0.0.1:$mon_v1]" "$folder/monmap" >/dev/null
ceph-mon --mkfs --id a --monmap "$folder/monmap"
start ceph-mon --foreground --id a
until_true ceph --connect-timeout 2 mon stat

osd_id=$("$python" -c 'import uuid; print(uuid.uuid4())')
ceph osd new "$osd_id" >/dev/null
ceph-osd --mkfs --id 0 --osd-uuid "$osd_id" >"$folder/log/osd-mkfs.out" 2>&1
start ceph-osd --foreground --id 0
until_true sh -c "ceph osd stat | grep -q '1 up'"

radosgw-admin user create --uid tests --display-name tests --access-key "$access" --secret-key "$secret" \
    >"$folder/log/user.out" 2>&1
start radosgw --foreground --name client.rgw
until_true "$python" -c "import urllib.request; urllib.request.urlopen('http://127.0.0.1:$s3', timeout=2)"

echo "Ceph RGW $(radosgw --version | cut -d' ' -f3) answers on 127.0.0.1:$s3"
LADDER_TEST_S3_URL="http://127.0.0.1:$s3" LADDER_TEST_S3_ACCESS=$access LADDER_TEST_S3_SECRET=$secret run_tests "$@"
