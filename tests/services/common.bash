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
# hand out by themselves. Somebody may still be quicker, so a caller that starts a server on it tries
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

# Names a check that this machine or the network does not allow, for the script that runs them all.
left_out() {
    say "left out: $1"
    [[ -z ${CHECKS_LEFT_OUT-} ]] || grep -qsxF "$1" "$CHECKS_LEFT_OUT" || echo "$1" >>"$CHECKS_LEFT_OUT"
}

# Whether Debian packages may be installed here.
may_install() {
    command -v apt-get >/dev/null && { [[ $(id -u) == 0 ]] || sudo -n true 2>/dev/null; }
}

# Whether a program is here, or its Debian package can be installed. Where it could be and was not, the
# script ends: a check that can be made is not left out.
have_package() {
    command -v "$1" >/dev/null && return
    may_install || return 1
    install_packages "$2" && command -v "$1" >/dev/null && return
    say "$1 is missing, and its package $2 could not be installed"
    exit 1
}

# Programs of a Debian package that is unpacked aside, which installs nothing and starts nothing: their
# folders come last on the path. Ends the script as `have_package` does.
have_unpacked() {
    local program=$1 package=$2 unpacked download
    command -v "$program" >/dev/null && return
    unpacked=${XDG_CACHE_HOME:-$HOME/.cache}/airline-booking-tests/$package
    if [[ ! -x $unpacked/usr/bin/$program ]]; then
        command -v apt-get >/dev/null && command -v dpkg-deb >/dev/null || return 1
        say "fetching Debian's package $package (once)"
        mkdir -p "${unpacked%/*}"
        download=$(mktemp -d "${unpacked%/*}/download.XXXXXX")
        if (download_package "$package" "$download") &&
            dpkg-deb -x "$download/$package"_*.deb "$download/unpacked"; then
            rm -rf "$unpacked"
            mv "$download/unpacked" "$unpacked"
        fi
        rm -rf "$download"
    fi
    PATH=$PATH:$unpacked/usr/bin
    command -v "$program" >/dev/null && return
    say "$program is missing, and its package $package could not be fetched"
    exit 1
}

# Downloads a Debian package into a folder; renews apt's lists if it must and may.
download_package() {
    local as=(sudo -n)
    [[ $(id -u) == 0 ]] && as=()
    cd "$2" || return
    apt-get download -q "$1" ||
        { ${as[@]+"${as[@]}"} apt-get update -q && apt-get download -q "$1"; }
} >/dev/null 2>&1 </dev/null

# Installs Debian packages as root or by sudo without a password; fails if it may not, or can't.
install_packages() {
    local as=(env) log
    may_install || return 1
    [[ $(id -u) == 0 ]] || as=(sudo -n env)
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
        freeze | thaw | crash | promote) declare -F "$verb" >/dev/null || verb= ;;
        *) verb= ;;
    esac
    [[ -n $verb ]] || {
        echo "usage: ${0##*/} up|stop|start|down DIRECTORY" >&2
        exit 2
    }
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
