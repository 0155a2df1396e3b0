# Makes the checkout's virtual environment and what the demo needs; sourced by ./steer and ./test.
# A stamp in .venv remembers what was installed, so that a second run costs nothing.

prepare_environment() { # checkout, extra
    stamp="$1/.venv/stamp"
    wanted="$(cksum < "$1/pyproject.toml") $(cksum < "$1/src/steersman/model/pack.py") "
    if [ -f "$stamp" ]; then
        # what the tests need holds what steer needs
        case "$(cat "$stamp")" in "$wanted$2" | "${wanted}test") return ;; esac
    fi
    python=$(find_python) || {
        echo "steer: Python 3.11 or later is needed (apt-get install python3 python3-venv)" >&2
        exit 1
    }
    echo "making $1/.venv (once)" >&2
    make_environment "$1/.venv"
    "$1/.venv/bin/python" -m pip install --quiet --disable-pip-version-check \
        --editable "$1${2:+[$2]}" >&2 || {
        echo "steer: what it depends on could not be installed into $1/.venv" >&2
        exit 1
    }
    echo "$wanted$2" > "$stamp"
}

# What Services are made of and a small Debian may lack; the demo is to need no other command
prepare_machine() {
    if [ "$(id -u)" = 0 ] && ! command -v nft >/dev/null && command -v apt-get >/dev/null; then
        echo "installing nftables (once)" >&2
        { apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq nftables; } \
            >/dev/null || echo "steer: nftables could not be installed" >&2
    fi
}

# Debian's Python without python3-venv leaves half an environment behind: it is made anew
make_environment() { # directory
    "$1/bin/python" -m pip --version >/dev/null 2>&1 && return
    rm -rf "$1"
    "$python" -m venv "$1" >/dev/null || {
        rm -rf "$1"
        echo "steer: the venv module is needed (apt-get install python3-venv)" >&2
        exit 1
    }
}

find_python() {
    for name in python3 python3.14 python3.13 python3.12 python3.11; do
        if "$name" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then
            command -v "$name"
            return
        fi
    done
    return 1
}
