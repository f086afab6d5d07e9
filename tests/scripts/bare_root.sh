#!/usr/bin/env bash
# A fresh clone on a bare Debian: does ./quickstart work there, and ./check, and both once more without
# a network? What is installed or packed there? Slow suite, run by hand as root on a Debian with
# debootstrap. Under `taskset -c 0` builds have one job.
# shellcheck disable=SC2317  # `run_part` calls functions by name
set -euo pipefail

usage() {
  cat <<'END'
Usage: bare_root.sh FOLDER [--suite SUITE] [--ccache FOLDER] [--input FILE] [--user] [--keep] [PART...]

Makes a bare Debian 12 in FOLDER/root, clones this repository's HEAD into it and runs there:

  quickstart           ./quickstart
  check                ./check
  check-fast           ./check --fast
  quickstart-offline   ./quickstart without a network
  check-offline        ./check without a network
  install              cmake --install; then a tiny model is trained with what it installed
  deb                  cpack -G DEB; then the package is installed in another bare root, FOLDER/deb,
                       and a tiny model is trained there
  tests                builds the tests of ops, model, decode and e2e, and runs them

PART: only these, in the order given; unless one is, quickstart and check, with a network and
without. FOLDER/root is used again if it is there; the clone is made anew unless --keep is given.
Takes about 4 GB.

  --suite SUITE     this Debian instead of bookworm: trixie (Debian 13)
  --ccache FOLDER   compiled files are taken from this cache and added to it; the language is this
                    shell's then
  --input FILE      train on this file: passed on as ./quickstart --input
  --user            run as an ordinary user with sudo instead of as root
  --keep            keep the clone (with its build) of the last call
END
}

folder=""
input=""
user=root
keep=no
suite=bookworm
cache=""
parts=()
while (($# > 0)); do
  case $1 in
    --input) input=$(realpath -- "${2:?--input needs a file}"); shift ;;
    --suite) suite=${2:?--suite needs the name of a release}; shift ;;
    --ccache) cache=$(realpath -- "${2:?--ccache needs a folder}"); shift ;;
    --user) user=newcomer ;;
    --keep) keep=yes ;;
    -h | --help) usage; exit 0 ;;
    quickstart | check | check-fast | quickstart-offline | check-offline | install | deb | tests) parts+=("$1") ;;
    -*)
      usage >&2
      exit 2
      ;;
    *)
      if [[ -n $folder ]]; then
        usage >&2
        exit 2
      fi
      folder=$1
      ;;
  esac
  shift
done
if [[ -z $folder ]]; then
  usage >&2
  exit 2
fi
if ((EUID != 0)); then
  echo "bare_root.sh: run it as root; it uses debootstrap, mount and chroot" >&2
  exit 2
fi
if ((${#parts[@]} == 0)); then parts=(quickstart check quickstart-offline check-offline); fi

repository=$(git -C "$(dirname "$0")" rev-parse --show-toplevel)
mkdir -p "$folder"
folder=$(realpath -- "$folder")
exec 8>"$folder/lock"
if ! flock --nonblock 8; then
  echo "bare_root.sh: another one is at work in $folder" >&2
  exit 1
fi
root=$folder/root
if [[ $user == root ]]; then home=/root; else home=/home/$user; fi
checkout="$home/my code/fathom"   # a path with a space, as people have them

# "SUITE MIRROR" of the Debian that this host's apt has.
host_source() {
  # shellcheck disable=SC2016  # apt expands these
  apt-get indextargets --format '$(RELEASE) $(COMPONENT) $(REPO_URI)' 'Created-By: Packages' |
    awk '$2 == "main" && $1 !~ /-/ { print $1, $3; exit }'
}

# make_root FOLDER: a bare Debian, whose first copy is kept beside it.
make_root() {
  local bare=$folder/bare host_suite mirror
  if [[ -e $1/etc/debian_version ]]; then
    echo "-- using $1 again"
    return
  fi
  # In a place of its own first: what is interrupted is not taken for a root later.
  if [[ ! -e $bare ]]; then
    read -r host_suite mirror < <(host_source) || true
    echo "-- bare Debian, $suite, into $bare"
    rm -rf --one-file-system "$bare.new"
    debootstrap --variant=minbase "$suite" "$bare.new" \
      "${mirror:?this host\'s apt has no source of main}" >"$folder/debootstrap.log" 2>&1
    copy_host_settings "$bare.new" "$host_suite"
    mv "$bare.new" "$bare"
  fi
  rm -rf --one-file-system "$1.new"
  cp -a "$bare" "$1.new"
  mv "$1.new" "$1"
}

# How this host reaches its packages: sources, keys, proxies. Not its logins (auth.conf). Another
# suite's keys are its own packages'.
copy_host_settings() {
  local target=$1 host_suite=$2 name
  for name in apt.conf apt.conf.d sources.list sources.list.d trusted.gpg.d keyrings; do
    rm -rf "$target/etc/apt/$name"
    if [[ -e /etc/apt/$name ]]; then cp -a "/etc/apt/$name" "$target/etc/apt/"; fi
  done
  cp -a --no-clobber /usr/share/keyrings/. "$target/usr/share/keyrings/"
  cp -L /etc/resolv.conf /etc/hosts "$target/etc/"
  if [[ $suite != "$host_suite" ]]; then
    find "$target/etc/apt" \( -name '*.list' -o -name '*.sources' \) \
      -exec sed -i "s/\\b$host_suite\\b/$suite/g" {} +
  fi
}

make_user() {
  if [[ $user == root ]]; then return; fi
  in_root root apt-get update >/dev/null || true   # whether apt can install decides
  in_root root env DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends sudo \
    >/dev/null
  if ! in_root root id "$user" >/dev/null 2>&1; then
    in_root root useradd --create-home --shell /bin/bash "$user"
  fi
  echo "$user ALL=(ALL) NOPASSWD: ALL" >"$root/etc/sudoers.d/$user"
}

make_clone() {
  if [[ $keep == yes && -e $root$checkout/.git ]]; then return; fi
  rm -rf "$root${checkout:?}"
  mkdir -p "$(dirname "$root$checkout")"
  git clone --quiet --no-local "$repository" "$root$checkout"
  if [[ -n $input ]]; then cp "$input" "$root$home/input.txt"; fi
  in_root root chown -R "$user:" "$home"
}

mounts=(proc sys dev dev/pts dev/shm ccache)

# mount_all ROOT
mount_all() {
  unmount_all "$1"
  mount -t proc proc "$1/proc"
  mount -t sysfs -o ro sys "$1/sys"
  mount --bind /dev "$1/dev"
  mount --make-private "$1/dev"   # or the next two would appear in the host's /dev as well
  mount -t devpts -o newinstance,ptmxmode=0666 devpts "$1/dev/pts"
  mount -t tmpfs shm "$1/dev/shm"
  if [[ -n $cache ]]; then
    mkdir -p "$1/ccache"
    mount --bind "$cache" "$1/ccache"
  fi
}

# unmount_all ROOT
unmount_all() {
  local i
  for ((i = ${#mounts[@]} - 1; i >= 0; --i)); do
    if mountpoint -q "$1/${mounts[i]}"; then umount --lazy "$1/${mounts[i]}"; fi
  done
}

# in_root USER COMMAND...: with a new user's environment; only proxies are passed on, and what ccache needs.
in_root() {
  local name=$1 variable environment=(PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin)
  local passed_on=(http_proxy https_proxy no_proxy)
  shift
  environment+=("TERM=${TERM:-dumb}" "USER=$name")
  if [[ -n $cache ]]; then environment+=(CCACHE_DIR=/ccache); fi
  if [[ $name == root ]]; then environment+=(HOME=/root); else environment+=("HOME=/home/$name"); fi
  # ccache takes the language into account, in which a compiler warns.
  if [[ -n $cache ]]; then passed_on+=(LANG LC_ALL LC_CTYPE LC_MESSAGES); fi
  for variable in "${passed_on[@]}"; do
    if [[ -n ${!variable:-} ]]; then environment+=("$variable=${!variable}"); fi
  done
  env -i "${environment[@]}" "${network[@]}" chroot --userspec="$name" "$root" "$@"
}
network=()   # what is put before the command to take the network away

# The loopback device stays, as on a laptop in a train.
without_network=(unshare --net sh -c 'ip link set lo up; exec "$@"' sh)

# in_clone COMMAND...
in_clone() {
  # shellcheck disable=SC2016  # the inner bash expands these
  in_root "$user" bash -c 'cd "$1" && shift && exec "$@"' bash "$checkout" "$@" </dev/null
}

# apt_install PACKAGE...: in $root, as a user types it.
apt_install() {
  in_root root apt-get update >/dev/null || true
  in_root root env DEBIAN_FRONTEND=noninteractive apt-get install -y "$@" >"$folder/apt.log" 2>&1 ||
    { tail -n 20 "$folder/apt.log"; return 1; }
}

# build_in_clone CMAKE-OPTION... -- TARGET...: with the packages that quickstart installs.
build_in_clone() {
  # shellcheck disable=SC2016
  in_clone bash -c '
    set -e
    source cmake/setup.sh
    install_packages build run
    options=()
    while [[ $1 != -- ]]; do options+=("$1"); shift; done
    shift
    configure release "${options[@]}"
    # All that does not compile is said at once.
    cmake --build --preset release --parallel "$(build_jobs)" --target "$@" -- -k 0' bash "$@"
}

# try_programs FATHOM: trains a tiny model in $root and lets it write; nothing may warn, and BLAS is the
# one that was linked, though another is the system's.
try_programs() {
  local log=$folder/programs.log
  apt_install --no-install-recommends libopenblas0-pthread || return 1
  # shellcheck disable=SC2016
  in_root "$user" bash -c '
    set -e
    trial=$(mktemp -d)
    cd "$trial"
    set -x
    "$1" --version
    "$1" prepare /usr/share/common-licenses/GPL-3 --name=gpl
    "$1" train quickstart --dataset=gpl --run_name=tiny --max_iters=20 --warmup_iters=5 --n_layer=2 \
      --n_embd=32 --n_head=2 --block_size=32 --batch_size=8
    "$1" eval tiny
    "$1" generate tiny --max_new_tokens=50
    "$1" doctor
    set +x
    cd /
    rm -r "$trial"' bash "$1" </dev/null >"$log" 2>&1 || { cat "$log"; return 1; }
  cat "$log"
  if grep -niE 'warning|deprecat' "$log"; then return 1; fi
  if ! grep -qE '^ok +blas +OpenBLAS \(OpenMP\)' "$log"; then return 1; fi
}

run_install() {
  build_in_clone -DFATHOM_TESTS=OFF -- fathom fathom-engine &&
    in_clone cmake --install build/release --prefix "$home/installed" &&
    mv "$root$checkout" "$root$checkout.away" || return 1   # nothing of the build may be needed
  local status=0
  try_programs "$home/installed/bin/fathom" || status=$?
  mv "$root$checkout.away" "$root$checkout"
  return "$status"
}

run_deb() {
  local build=$root status=0
  build_in_clone -DFATHOM_TESTS=OFF -- fathom fathom-engine && apt_install dpkg-dev file &&
    in_clone bash -c 'rm -f build/release/*.deb; cd build/release && cpack -G DEB' || return 1
  root=$folder/deb
  rm -rf --one-file-system "$root"
  make_root "$root"
  mount_all "$root"
  make_user
  cp "$build$checkout"/build/release/fathom_*.deb "$root/tmp/"
  run_package || status=$?
  unmount_all "$root"
  root=$build
  return "$status"
}

run_package() {
  # shellcheck disable=SC2016
  in_root root bash -c 'cd /tmp && dpkg-deb --info fathom_*.deb && dpkg-deb --contents fathom_*.deb' &&
    apt_install "/tmp/$(basename "$root"/tmp/fathom_*.deb)" && try_programs fathom
}

run_tests() {
  local status=0
  # Of [test], what these are built of.
  apt_install --no-install-recommends libgtest-dev libgmock-dev librapidcheck-dev || return 1
  # First what they test: a warning of the libraries shows at its start.
  build_in_clone -DFATHOM_TESTS=ON '-DFATHOM_ENGINE_TESTS=ops;model;decode' -- fathom fathom-engine &&
    try_programs "$checkout/build/release/fathom" &&
    build_in_clone -- engine-tests e2e-tests || return 1
  in_clone ctest --preset release -R '^(engine|e2e)-tests$' || status=$?
  in_clone cmake --preset release -UFATHOM_ENGINE_TESTS >/dev/null   # all of them again for ./check
  return "$status"
}

run_clone_script() {
  local command=(./check)
  if [[ $1 == quickstart* ]]; then
    command=(./quickstart)
    if [[ -n $input ]]; then command+=(--input "$home/input.txt"); fi
  fi
  if [[ $1 == *-fast ]]; then command+=(--fast); fi
  if [[ $1 == *-offline ]]; then network=("${without_network[@]}"); fi
  in_clone "${command[@]}"
}

run_part() {
  local start=$SECONDS status=0
  printf '\n######## %s\n' "$1"
  case $1 in
    install | deb | tests) "run_$1" || status=$? ;;
    *) run_clone_script "$1" || status=$? ;;
  esac
  network=()
  if ((status == 0)); then
    summary+=("$1: ok, $((SECONDS - start)) s")
  else
    summary+=("$1: FAILED with $status, $((SECONDS - start)) s")
    failures=$((failures + 1))
  fi
}

summary=()
failures=0

main() {
  local part
  make_root "$root"
  trap 'unmount_all "$folder/root"; unmount_all "$folder/deb"' EXIT
  mount_all "$root"
  make_user
  make_clone
  for part in "${parts[@]}"; do run_part "$part"; done

  printf '\n######## summary (%s)\n' "$(du -sh --one-file-system "$root" | cut -f 1)"
  printf '%s\n' "${summary[@]}"
  exit "$((failures > 0))"
}

main
