#!/usr/bin/env bash
# Looks whether this machine can build and test Weir, and installs what is missing (Debian packages only).
# Run it as often as you like: when nothing is missing it says nothing and changes nothing.
set -euo pipefail
cd "$(dirname "$0")/.."

say() { printf 'setup: %s\n' "$*" >&2; }

# What is missing, as Debian packages: compilers for RocksDB and a few small libraries, libclang to read its header, psql to talk to Weir.
packages=()
command -v cc >/dev/null && [ -e /usr/include/stdio.h ] || packages+=(gcc libc6-dev)
command -v c++ >/dev/null || packages+=(g++)
compgen -G '/usr/lib/llvm*/lib/libclang*.so*' >/dev/null || compgen -G '/usr/lib/*/libclang*.so*' >/dev/null || packages+=(libclang-dev)
command -v make >/dev/null || packages+=(make)
command -v psql >/dev/null || packages+=(postgresql-client)

if [ ${#packages[@]} -gt 0 ]; then
  install="apt-get install -y --no-install-recommends ${packages[*]}"
  if ! command -v apt-get >/dev/null; then
    say "missing: ${packages[*]} (names of Debian packages); there is no apt-get here, so please install their counterparts"
    exit 1
  elif [ "$(id -u)" -eq 0 ]; then
    sudo=""
  elif command -v sudo >/dev/null; then
    sudo="sudo"
  else
    say "missing: ${packages[*]}; neither root nor sudo here, so please have an administrator type:"
    say "  $install"
    exit 1
  fi
  say "installing ${packages[*]}"
  # A fresh machine has no package lists yet.
  $sudo env DEBIAN_FRONTEND=noninteractive $install >/dev/null 2>&1 || {
    $sudo apt-get update >/dev/null
    $sudo env DEBIAN_FRONTEND=noninteractive $install
  }
fi

wanted=$(sed -n 's/^rust-version = "\(.*\)"/\1/p' Cargo.toml | head -n 1)
if ! command -v cargo >/dev/null; then
  say "Rust is missing: Weir needs $wanted or newer. See https://rustup.rs, or type: curl https://sh.rustup.rs -sSf | sh"
  exit 1
fi
found=$(cargo --version | awk '{ print $2 }')
if [ "$(printf '%s\n%s\n' "$wanted" "${found%%-*}" | sort -V | head -n 1)" != "$wanted" ]; then
  say "Rust $found is too old: Weir needs $wanted or newer. With rustup: rustup update stable"
  exit 1
fi
