#!/usr/bin/env bash
# Prepares this folder and this machine. Safe to run again, and quick when nothing changed: what was prepared bears
# the hash of what it was prepared from.
#
#   ops/setup.sh          everything that `make test` needs
#   ops/setup.sh python   the Python environment only: enough to run Parcours
set -euo pipefail
cd "$(dirname "$0")/.."

main() {
    python_environment
    if [ "${1:-all}" = all ]; then
        debian_packages
        alert_checker
        node_packages tests/interop
    fi
}

say() { printf '%s\n' "$*" >&2; }

fail() {
    printf '✗ %s\n' "$@" >&2
    exit 1
}

# Says nothing when the command succeeds, everything when it fails.
quietly() {
    local heard
    heard=$(mktemp)
    if ! "$@" >"$heard" 2>&1 </dev/null; then
        cat "$heard" >&2
        rm -f "$heard"
        fail "Cette commande a échoué / this command failed: $*"
    fi
    rm -f "$heard"
}

# fresh STAMP FILE...: whether STAMP was written for these very contents.
fresh() {
    local stamp=$1
    shift
    [ -e "$stamp" ] && [ "$(cat "$stamp")" = "$(cat "$@" | sha256sum)" ]
}

stamp() {
    local stamp=$1
    shift
    cat "$@" | sha256sum >"$stamp"
}

python_environment() {
    if ! .venv/bin/python -c 'import sys, pip; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then
        local python
        python=$(some_python) || fail "Il faut Python 3.11 ou plus récent / Python 3.11 or newer is needed:" \
            "apt-get install python3 python3-venv"
        "$python" -c 'import ensurepip' 2>/dev/null || debian_install python3-venv
        say "· .venv ($("$python" --version))"
        quietly "$python" -m venv --clear .venv
    fi
    local pip=(.venv/bin/python -m pip --disable-pip-version-check --no-input install --quiet --no-deps)
    if ! fresh .venv/.locked requirements-dev.lock; then
        say "· requirements-dev.lock → .venv (une à trois minutes / one to three minutes)"
        # Wheels only, for building one runs code; atomicwrites has none, so it is built with the locked tools.
        locked setuptools wheel packaging >.venv/build-tools.lock
        quietly "${pip[@]}" --require-hashes --only-binary :all: -r .venv/build-tools.lock
        quietly "${pip[@]}" --require-hashes --only-binary :all: --no-binary atomicwrites --no-build-isolation \
            -r requirements-dev.lock
        stamp .venv/.locked requirements-dev.lock
        rm -f .venv/.installed # the build tools may have changed
    fi
    if ! fresh .venv/.installed pyproject.toml; then
        say "· parcours → .venv"
        quietly "${pip[@]}" --no-build-isolation --editable .
        stamp .venv/.installed pyproject.toml
    fi
}

# The lock's lines of these packages: version and hashes.
locked() {
    local name
    for name in "$@"; do
        sed -n "/^$name==/,/[^\\\\]\$/p" requirements-dev.lock
    done
}

some_python() {
    local candidate
    for candidate in python3.11 python3 python3.12 python3.13; do # the locks were worked out for 3.11
        if "$candidate" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then
            printf '%s' "$candidate"
            return
        fi
    done
    return 1
}

debian_packages() {
    local missing=()
    [ -n "$(compgen -G '/usr/lib/postgresql/*/bin/initdb')" ] || missing+=(postgresql)
    command -v chromium >/dev/null || missing+=(chromium fonts-dejavu-core)
    command -v redis-server >/dev/null || missing+=(redis-server)
    [ ${#missing[@]} -eq 0 ] || debian_install "${missing[@]}"
}

debian_install() {
    if [ "$(id -u)" -ne 0 ] || ! command -v apt-get >/dev/null; then
        fail "Il manque des paquets. Installez-les, puis recommencez / packages are missing; install them, then try again:" \
            "sudo apt-get update && sudo apt-get install --no-install-recommends $*"
    fi
    say "· apt-get install $*"
    export DEBIAN_FRONTEND=noninteractive
    quietly apt-get update
    quietly apt-get install --yes --no-install-recommends "$@"
}

# promtool, which checks and tests the alerts. Installing its Debian package would start a Prometheus on this machine:
# the tool alone is taken out of it.
alert_checker() {
    if command -v promtool >/dev/null || [ -x .venv/bin/promtool ]; then
        return
    fi
    command -v apt-get >/dev/null || fail "Il manque promtool, de Prometheus / promtool, of Prometheus, is missing"
    say "· promtool"
    local folder
    folder=$(mktemp -d)
    apt-cache show prometheus >/dev/null 2>&1 || quietly apt-get update
    (cd "$folder" && quietly apt-get download prometheus)
    dpkg-deb --fsys-tarfile "$folder"/prometheus_*.deb | tar -x -C "$folder" ./usr/bin/promtool
    install "$folder/usr/bin/promtool" .venv/bin/promtool
    rm -rf "$folder"
}

# The tests' JavaScript clients, in the folder given.
node_packages() {
    if fresh "$1/node_modules/.locked" "$1/package-lock.json"; then
        return
    fi
    if ! node -e 'process.exit(parseInt(process.versions.node) < 20 ? 1 : 0)' 2>/dev/null || ! command -v npm >/dev/null; then
        fail "Il faut Node 20 ou plus récent, avec npm, pour les tests / Node 20 or newer, with npm, is needed for the tests."
    fi
    say "· $1/package-lock.json → node_modules"
    quietly npm --prefix "$1" ci --ignore-scripts --no-audit --no-fund
    stamp "$1/node_modules/.locked" "$1/package-lock.json"
}

main "$@"
