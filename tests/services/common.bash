# shellcheck shell=bash
# What the scripts of this folder share. Sourced, never run.

# Plain words for a person; standard output is for NAME=value lines.
say() {
    echo "tests: $*" >&2
}

# Whether containers can be run here, which takes more than the command.
docker_works() {
    command -v docker >/dev/null && docker info >/dev/null 2>&1
}

# Fetches an image unless it is here.
docker_image() {
    docker image inspect "$1" >/dev/null 2>&1 && return
    say "fetching the image $1 (once)"
    docker pull --quiet "$1" >/dev/null && return
    say "the image $1 can't be fetched, so Docker is left aside"
    return 1
}

# Prints a port of the loopback address on which nobody listens. It lies below those that systems
# hand out by themselves. Somebody may still be quicker, so whoever starts a server on it tries
# again with another.
free_port() {
    local port
    while true; do
        port=$((15000 + RANDOM % 7000))
        port_is_free "$port" && break
    done
    echo "$port"
}

port_is_free() {
    ! (exec 3<>"/dev/tcp/127.0.0.1/$1") 2>/dev/null
}

# Tries a command, given after the seconds, until it succeeds; fails when they are over.
await() {
    local end=$((SECONDS + $1))
    shift
    until "$@" >/dev/null 2>&1; do
        ((SECONDS < end)) || return 1
        sleep 0.05
    done
}

# Whether that process runs and is the one meant, told by a text of its command line: ids are used
# again. One that ended and was not yet collected does not count.
runs() {
    tr '\0' ' ' <"/proc/$1/cmdline" 2>/dev/null | grep -qF -- "$2"
}

# Installs Debian packages as root or by sudo without a password; fails if it may not, or can't.
install_packages() {
    local as=(env) log
    command -v apt-get >/dev/null || return 1
    if [[ $(id -u) != 0 ]]; then
        sudo -n true 2>/dev/null || return 1
        as=(sudo -n env)
    fi
    as+=(DEBIAN_FRONTEND=noninteractive)
    local install=(apt-get install -y -q --no-install-recommends -o DPkg::Lock::Timeout=600 "$@")
    say "installing $* with apt-get (once)"
    log=$(mktemp)
    # One at a time, because apt-get waits for some of its locks only. What a package starts must
    # not keep the lock, so it is closed to apt-get.
    if {
        flock 9
        "${as[@]}" "${install[@]}" || { "${as[@]}" apt-get update -q && "${as[@]}" "${install[@]}"; }
    } 9<"${BASH_SOURCE[0]}" >"$log" 2>&1 </dev/null; then
        rm -f "$log"
        return
    fi
    say "apt-get failed:"
    tail -n 5 "$log" >&2
    rm -f "$log"
    return 1
}

# Says what a person can do where a service can't be had: its name, its packages, whether Docker
# would do, the variable that names a running one, and an example of it.
say_how_to_get() {
    say "$1 is neither named, nor here, nor may it be installed. Do one of these:"
    say "  sudo apt-get update && sudo apt-get install -y $2"
    [[ $3 == no-docker ]] || say "  start Docker, so that 'docker info' succeeds"
    say "  export $4=$5"
}

# Runs the verb that was asked for: verb, directory, and what else the service takes.
run_verb() {
    local verb=${1-} directory=${2-}
    case $verb in
        up | stop | start | down) ;;
        *)
            echo "usage: ${0##*/} up|stop|start|down DIRECTORY" >&2
            exit 2
            ;;
    esac
    [[ -n $directory ]] || {
        echo "${0##*/}: which directory?" >&2
        exit 2
    }
    shift 2
    mkdir -p "$directory"
    # shellcheck disable=SC2034 # Every script of this folder has it.
    room=$(cd "$directory" && pwd)/${0##*/}-server
    "$verb" "$@"
}
