# SPDX-License-Identifier: MIT
# shellcheck shell=bash
# What tools/run, tools/demo and tools/test share: saying what happens, failing with a reason, and installing what is missing.
# Sourced, never run. It expects the caller to have set -euo pipefail and to be in the project's root.
#
# Nothing is installed that is there already, so a second run costs one dpkg-query. Debian starts the services of the
# packages it installs (memcached, redis-server); a temporary policy-rc.d forbids that and goes away again however
# the installation ends.

PROGRAM=$(basename "$0")
PATH=$PATH:/usr/sbin:/sbin # where Debian has servers (haproxy), and where not every user looks

# What the server needs to be built: commands first (whoever brought them), then Debian's development packages.
BUILD_COMMANDS=(cc:gcc cmake:cmake ninja:ninja-build pkg-config:pkg-config)
BUILD_PACKAGES=(libc6-dev libev-dev libsqlite3-dev libhiredis-dev libconfuse-dev libxxhash-dev libmicrohttpd-dev
    zlib1g-dev libncurses-dev liburing-dev libssl-dev libseccomp-dev libcrypt-dev)

NODE_CLIENTS=tests/clients/node # Express, and what keeps its sessions

APT_PATIENCE_S=1800 # as unattended upgrades take their time

POLICY=/usr/sbin/policy-rc.d
policy_is_ours=no

say() {
    printf '%s: %s\n' "$PROGRAM" "$*"
}

fail() {
    printf '%s: %s\n' "$PROGRAM" "$*" >&2
    exit 1
}

as_root() {
    if [ "$(id -u)" -eq 0 ]; then
        "$@"
    else
        sudo "$@"
    fi
}

# package_is_installed NAME
package_is_installed() {
    [ "$(dpkg-query -W -f '${db:Status-Status}' "$1" 2>/dev/null)" = installed ]
}

# missing_packages: reads arguments "package" or "command:package", prints the packages that have to be installed.
missing_packages() {
    local need
    for need in "$@"; do
        case $need in
            *:*) command -v "${need%%:*}" >/dev/null || printf '%s\n' "${need#*:}" ;;
            *) package_is_installed "$need" || printf '%s\n' "$need" ;;
        esac
    done
}

forbid_services() {
    [ -e "$POLICY" ] && return
    printf '#!/bin/sh\nexit 101\n' | as_root tee "$POLICY" >/dev/null
    policy_is_ours=yes
    as_root chmod 755 "$POLICY"
}

allow_services() {
    if [ "$policy_is_ours" = yes ]; then
        as_root rm -f "$POLICY"
        policy_is_ours=no
    fi
}

# apt_get ARGUMENT...: apt-get as root. Another apt or dpkg that is at work is waited for: the lock of the package lists and
# that of the archive know no DPkg::Lock::Timeout, so it is tried again. What apt-get complains of is shown only when it fails.
# Services stay forbidden meanwhile: whoever was waited for may have taken the policy that was there away.
apt_get() {
    local said waits=no until=$((SECONDS + APT_PATIENCE_S))
    forbid_services
    while ! said=$(as_root env LC_ALL=C DEBIAN_FRONTEND=noninteractive apt-get "$@" 2>&1 >/dev/null); do
        if [[ $said != *"Could not get lock"* ]] || [ "$SECONDS" -ge "$until" ]; then
            printf '%s\n' "$said" >&2
            return 1
        fi
        if [ "$waits" = no ]; then
            waits=yes
            say "waiting until another apt or dpkg is done: $(grep -m 1 "Could not get lock" <<<"$said")"
        fi
        sleep 1
        forbid_services
    done
}

# install_missing NEED...: see missing_packages. Returns at once when nothing is missing.
install_missing() {
    command -v dpkg-query >/dev/null ||
        fail "this is not Debian: it needs the counterparts of these Debian 12 packages, and a build by hand: $*"
    local packages
    mapfile -t packages < <(missing_packages "$@")
    [ ${#packages[@]} -eq 0 ] && return
    [ "$(id -u)" -eq 0 ] || command -v sudo >/dev/null ||
        fail "missing: ${packages[*]}. Run me as root, or install sudo, or install these packages by hand"
    say "installing ${packages[*]}"
    trap allow_services EXIT
    trap 'exit 130' INT TERM
    apt_get update -qq || say "apt-get update failed; trying with the package lists that are there"
    apt_get install -qq -y --no-install-recommends "${packages[@]}" ||
        fail "apt-get could not install: ${packages[*]} (see its messages above)"
    allow_services
    trap - EXIT INT TERM
}

# unpack_packages MACHINE NAME PACKAGE...: Debian's packages for a machine, and what they need, in build/MACHINE-NAME.
# apt has folders of its own for that: this machine's learns of no other architecture, and nothing is installed. Nobody
# has to be root.
unpack_packages() {
    local machine=$1 root=build/$1-$2 apt=$PWD/build/$1-apt wanted package
    shift 2
    wanted="$*"
    [ "$(cat "$root/.packages" 2>/dev/null)" = "$wanted" ] && return
    say "unpacking Debian's packages for $machine to $root"
    rm -rf "$root" "$apt"
    mkdir -p "$root" "$apt/lists/partial" "$apt/archives/partial"
    : >"$apt/status"
    cat >"$apt/apt.conf" <<EOF
APT::Architecture "$machine"; APT::Architectures {"$machine";}; APT::Sandbox::User ""; Acquire::Languages "none";
Dir::State "$apt"; Dir::State::status "$apt/status"; Dir::Cache "$apt"; Dir::Log "$apt";
EOF
    # A list that cannot be had at the moment may not be needed.
    APT_CONFIG=$apt/apt.conf apt-get update -qq >"$apt/log" 2>&1 || :
    # shellcheck disable=SC2086
    APT_CONFIG=$apt/apt.conf apt-get install -qq -y --no-install-recommends --download-only $wanted >>"$apt/log" 2>&1 ||
        return 1
    for package in "$apt"/archives/*.deb; do
        dpkg -x "$package" "$root" >>"$apt/log" 2>&1 || return 1
    done
    printf '%s\n' "$wanted" >"$root/.packages"
    rm -rf "$apt/archives" "$apt/lists"
}

# arm64_libraries: what the server needs there.
arm64_libraries() {
    unpack_packages arm64 root "${BUILD_PACKAGES[@]}" libcmocka-dev
}

# portable_libraries MACHINE: what tests/portable needs, which is no server.
portable_libraries() {
    unpack_packages "$1" root libc6-dev libcmocka-dev libhiredis-dev libxxhash-dev
}

# cmake_version_fits: the presets need 3.25, which Debian 12 has.
check_cmake() {
    local version
    version=$(cmake --version | sed -n '1s/[^0-9]*//p')
    [ "$(printf '%s\n3.25\n' "$version" | sort -V | head -n 1)" = 3.25 ] ||
        fail "cmake $version is too old, 3.25 is needed ($(command -v cmake))"
}

# install_node_clients: those from npm, exactly as package-lock.json names them. Fails, and leaves nothing, where there is no
# registry.
install_node_clients() {
    local lock=$NODE_CLIENTS/package-lock.json stamp=$NODE_CLIENTS/node_modules/.package-lock.json
    [ "$stamp" -nt "$lock" ] && return
    say "installing the Node.js clients of $NODE_CLIENTS"
    mkdir -p build
    (cd "$NODE_CLIENTS" && npm ci --no-audit --no-fund --ignore-scripts) >build/npm.log 2>&1 || {
        rm -rf "$NODE_CLIENTS/node_modules"
        return 1
    }
}

# build PRESET "TARGET..." [CMAKE OPTION...]: configures once (later ninja notices by itself), then builds.
build() {
    local preset=$1 targets folder=build/$1 log
    read -ra targets <<<"$2"
    shift 2
    log=build/$preset.log
    mkdir -p build
    say "building $folder (${targets[*]})"
    {
        if [ ! -f "$folder/build.ninja" ] || [ $# -gt 0 ]; then
            cmake --preset "$preset" "$@"
        fi && cmake --build "$folder" --target "${targets[@]}"
    } >"$log" 2>&1 || {
        tail -n 40 "$log" >&2
        fail "$folder was not built; the whole story is in $log"
    }
}
