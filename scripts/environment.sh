# Makes the checkout's virtual environment; sourced by ./steer and ./test.
# A stamp in .venv remembers what was installed, so that a second run costs nothing.

prepare_environment() { # checkout, extra
    stamp="$1/.venv/stamp"
    wanted="$(cksum < "$1/pyproject.toml") $(cksum < "$1/src/steersman/model/pack.py") $2"
    [ -f "$stamp" ] && case "$(cat "$stamp")" in "$wanted"*) return ;; esac
    [ "$2" = "" ] && [ -f "$stamp" ] && [ "$(cat "$stamp")" = "${wanted}test" ] && return
    python=$(find_python) || {
        echo "steer: Python 3.11 or later is needed (apt-get install python3 python3-venv)" >&2
        exit 1
    }
    echo "making $1/.venv (once)" >&2
    [ -x "$1/.venv/bin/python" ] || "$python" -m venv "$1/.venv" || {
        echo "steer: the venv module is needed (apt-get install python3-venv)" >&2
        exit 1
    }
    "$1/.venv/bin/python" -m pip install --quiet --disable-pip-version-check \
        --editable "$1${2:+[$2]}" >&2
    echo "$wanted" > "$stamp"
}

find_python() {
    for name in python3 python3.13 python3.12 python3.11; do
        if "$name" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then
            command -v "$name"
            return
        fi
    done
    return 1
}
