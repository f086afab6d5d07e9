# shellcheck shell=bash
# What ./quickstart and ./check share; both source it in the root of the repository.

log_folder=build/log

heading() { printf '\n== %s\n' "$*"; }
say() { printf '   %s\n' "$*"; }

fail() {
  printf '\n%s: %s\n' "$(basename "$0")" "$*" >&2
  exit 1
}

# show_end_of LOG LINES
show_end_of() {
  printf '\n   The end of %s:\n\n' "$1" >&2
  tail -n "$2" "$1" | sed 's/^/     /' >&2
}

# packages_of SECTION...: the names that cmake/packages.txt lists under [SECTION].
packages_of() {
  local section
  for section in "$@"; do
    awk -v wanted="[$section]" '
      /^\[/ { inside = ($1 == wanted); next }
      inside && NF && $1 !~ /^#/ { print $1 }' cmake/packages.txt
  done
}

is_installed() {
  [[ $(dpkg-query --show --showformat='${db:Status-Status}' "$1" 2>/dev/null) == installed* ]]
}

# as_root COMMAND...: straight if we are root, otherwise by sudo.
as_root() {
  if ((EUID == 0)); then "$@"; else sudo "$@"; fi
}

# Succeeds if as_root will work without another question; may ask for a password on a terminal.
can_become_root() {
  if ((EUID == 0)); then return 0; fi
  if ! command -v sudo >/dev/null; then return 1; fi
  if sudo --non-interactive true 2>/dev/null; then return 0; fi
  [[ -t 0 ]] && say "sudo asks for your password to install packages:" && sudo --validate
}

# install_packages SECTION...: installs what is missing of these sections, and says so.
install_packages() {
  local wanted=() missing=() package log=$log_folder/apt.log
  mapfile -t wanted <<<"$(packages_of "$@")"
  if ! command -v apt-get >/dev/null || ! command -v dpkg-query >/dev/null; then
    fail "this system has no apt; install what these Debian packages hold, then run" \
      "'$0 --no-install': ${wanted[*]}"
  fi
  for package in "${wanted[@]}"; do
    if ! is_installed "$package"; then missing+=("$package"); fi
  done
  if ((${#missing[@]} == 0)); then
    say "All ${#wanted[@]} packages are installed."
    return
  fi

  say "Missing: ${missing[*]}"
  if ! can_become_root; then
    fail "installing them needs root, and sudo does not work here. As root:" \
      "apt-get install --no-install-recommends ${missing[*]}"
  fi
  say "Installing; details are in $log."
  mkdir -p "$log_folder"
  local apt=(env DEBIAN_FRONTEND=noninteractive LC_ALL=C
    apt-get -o DPkg::Lock::Timeout=120 -o Acquire::Retries=2)
  # A package source that does not answer need not matter: whether apt can install decides.
  as_root "${apt[@]}" update >"$log" 2>&1 </dev/null || true
  as_root "${apt[@]}" install --assume-no --no-install-recommends "${missing[@]}" \
    2>/dev/null </dev/null | sed -n 's/^Need to get \(.*\) of archives.*/   Download: \1/p' || true
  if ! as_root "${apt[@]}" install --yes --no-install-recommends "${missing[@]}" \
    >>"$log" 2>&1 </dev/null; then
    show_end_of "$log" 6
    fail "apt could not install the packages on this system, $(system_name) (made for Debian 12)." \
      "If the network was the reason, run $0 again when it is back."
  fi
  say "Installed ${#missing[@]} packages and what they depend on."
}

system_name() {
  (
    # shellcheck source=/dev/null
    . /etc/os-release 2>/dev/null
    printf '%s' "${PRETTY_NAME:-unknown}"
  )
}

# Build jobs: one a core, but no more than one for each 1.5 GB of memory (torch's headers are big).
build_jobs() {
  local cores memory_kb
  cores=$(nproc)
  memory_kb=$(awk '/^MemTotal:/ { print $2 }' /proc/meminfo)
  local by_memory=$((memory_kb / 1500000))
  if ((by_memory < 1)); then by_memory=1; fi
  if ((cores < by_memory)); then echo "$cores"; else echo "$by_memory"; fi
}

# configure PRESET [CMAKE-OPTION...]: on failure shows why.
configure() {
  local preset=$1 log=$log_folder/configure-$1.log
  shift
  mkdir -p "$log_folder"
  if ! cmake --preset "$preset" "$@" >"$log" 2>&1; then
    show_end_of "$log" 20
    return 1
  fi
}
