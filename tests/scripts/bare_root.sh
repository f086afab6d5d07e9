#!/usr/bin/env bash
# A fresh clone on a bare Debian 12: does ./quickstart work there, and ./check, and both once more
# without a network? Slow suite, run by hand as root on a Debian with debootstrap.
set -euo pipefail

usage() {
  cat <<'END'
Usage: bare_root.sh FOLDER [--input FILE] [--user] [--keep] [PART...]

Makes a bare Debian 12 in FOLDER/root, clones this repository's HEAD into it and runs there:

  quickstart           ./quickstart
  check                ./check
  quickstart-offline   ./quickstart without a network
  check-offline        ./check without a network

PART: only these, in the order given. FOLDER/root is used again if it is there; the clone is made
anew unless --keep is given. Takes about 4 GB.

  --input FILE   train on this file: passed on as ./quickstart --input
  --user         run as an ordinary user with sudo instead of as root
  --keep         keep the clone (with its build) of the last call
END
}

folder=""
input=""
user=root
keep=no
parts=()
while (($# > 0)); do
  case $1 in
    --input) input=$(realpath -- "${2:?--input needs a file}"); shift ;;
    --user) user=newcomer ;;
    --keep) keep=yes ;;
    -h | --help) usage; exit 0 ;;
    quickstart | check | quickstart-offline | check-offline) parts+=("$1") ;;
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

# The mirror that this host's apt takes Debian 12 from.
host_mirror() {
  # shellcheck disable=SC2016  # apt expands these
  apt-get indextargets --format '$(RELEASE) $(COMPONENT) $(REPO_URI)' 'Created-By: Packages' |
    awk '$1 == "bookworm" && $2 == "main" { print $3; exit }'
}

make_root() {
  local mirror
  if [[ -e $root/etc/debian_version ]]; then
    echo "-- using $root again"
    return
  fi
  mirror=$(host_mirror)
  echo "-- bare Debian 12 into $root"
  # In a place of its own first: what is interrupted is not taken for a root later.
  rm -rf --one-file-system "$folder/root.new"
  debootstrap --variant=minbase bookworm "$folder/root.new" \
    "${mirror:?this host\'s apt has no source of bookworm main}" >"$folder/debootstrap.log" 2>&1
  copy_host_settings "$folder/root.new"
  mv "$folder/root.new" "$root"
}

# How this host reaches its packages: sources, keys, proxies. Not its logins (auth.conf).
copy_host_settings() {
  local target=$1 name
  for name in apt.conf apt.conf.d sources.list sources.list.d trusted.gpg.d keyrings; do
    rm -rf "$target/etc/apt/$name"
    if [[ -e /etc/apt/$name ]]; then cp -a "/etc/apt/$name" "$target/etc/apt/"; fi
  done
  cp -a /usr/share/keyrings/. "$target/usr/share/keyrings/"
  cp -L /etc/resolv.conf /etc/hosts "$target/etc/"
}

make_user() {
  if [[ $user == root ]]; then return; fi
  in_root root apt-get update >/dev/null
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

mounts=(proc sys dev dev/pts dev/shm)

mount_all() {
  mount -t proc proc "$root/proc"
  mount -t sysfs -o ro sys "$root/sys"
  mount --bind /dev "$root/dev"
  mount --make-private "$root/dev"   # or the next two would appear in the host's /dev as well
  mount -t devpts -o newinstance,ptmxmode=0666 devpts "$root/dev/pts"
  mount -t tmpfs shm "$root/dev/shm"
}

unmount_all() {
  local i
  for ((i = ${#mounts[@]} - 1; i >= 0; --i)); do
    if mountpoint -q "$root/${mounts[i]}"; then umount --lazy "$root/${mounts[i]}"; fi
  done
}

# in_root USER COMMAND...: with a new user's environment; only proxies are passed on.
in_root() {
  local name=$1 variable environment=(PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin)
  shift
  environment+=("TERM=${TERM:-dumb}" "USER=$name")
  if [[ $name == root ]]; then environment+=(HOME=/root); else environment+=("HOME=/home/$name"); fi
  for variable in http_proxy https_proxy no_proxy; do
    if [[ -n ${!variable:-} ]]; then environment+=("$variable=${!variable}"); fi
  done
  env -i "${environment[@]}" "${network[@]}" chroot --userspec="$name" "$root" "$@"
}
network=()   # what is put before the command to take the network away

# The loopback device stays, as on a laptop in a train.
without_network=(unshare --net sh -c 'ip link set lo up; exec "$@"' sh)

run_part() {
  local command=(./check) start=$SECONDS
  if [[ $1 == quickstart* ]]; then
    command=(./quickstart)
    if [[ -n $input ]]; then command+=(--input "$home/input.txt"); fi
  fi
  network=()
  if [[ $1 == *-offline ]]; then network=("${without_network[@]}"); fi
  printf '\n######## %s: %s\n' "$1" "${command[*]}"
  # shellcheck disable=SC2016  # the inner bash expands these
  if in_root "$user" bash -c 'cd "$1" && shift && exec "$@"' bash "$checkout" "${command[@]}" \
    </dev/null; then
    summary+=("$1: ok, $((SECONDS - start)) s")
  else
    summary+=("$1: FAILED with $?, $((SECONDS - start)) s")
    failures=$((failures + 1))
  fi
  network=()
}

summary=()
failures=0

main() {
  local part
  make_root
  trap unmount_all EXIT
  unmount_all
  mount_all
  make_user
  make_clone
  for part in "${parts[@]}"; do run_part "$part"; done

  printf '\n######## summary (%s)\n' "$(du -sh --one-file-system "$root" | cut -f 1)"
  printf '%s\n' "${summary[@]}"
  exit "$((failures > 0))"
}

main
