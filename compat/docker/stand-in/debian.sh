# A Debian system with some packages, for an image that takes the place of one that cannot be pulled. Sourced by the
# scripts beside it.

# Fails with exit code 2 where such a system cannot be made.
debian_needs() {
  local tool
  for tool in docker debootstrap tar; do
    command -v "$tool" >/dev/null || { echo "$0: needs \`$tool\`" >&2; exit 2; }
  done
  ((EUID == 0)) || { echo "$0: only root can unpack a Debian system" >&2; exit 2; }
}

# Unpacks it, with the packages given (separated by commas), in the folder `root` of the folder given, which goes when
# the script ends.
debian_unpack() {
  local work=$1 packages=$2
  # What debootstrap mounts it may leave mounted when it fails; a removal must not reach through that.
  # shellcheck disable=SC2064
  trap "umount '$work/root/proc' '$work/root/sys' 2>/dev/null || true; rm -rf --one-file-system '$work'" EXIT
  debootstrap --variant=minbase --include="$packages" bookworm "$work/root" >"$work/log" 2>&1 ||
    { tail -5 "$work/log" >&2; exit 1; }
  umount "$work/root/proc" "$work/root/sys" 2>/dev/null || true
  rm -rf "$work"/root/var/cache/apt/* "$work"/root/var/lib/apt/lists/*
}

# Makes an image of it; further arguments are instructions of a Dockerfile.
debian_import() {
  local work=$1 image=$2 change changes=()
  shift 2
  for change in "$@"; do changes+=(--change "$change"); done
  tar --one-file-system --numeric-owner -C "$work/root" -c . | docker import "${changes[@]}" - "$image" >/dev/null
  echo "$image"
}
