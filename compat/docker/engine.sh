# An engine that answers, or one of our own that leaves nothing behind. Sourced by scripts of this folder.
#
# An engine of our own lives in a network and a mount namespace of its own, so its bridges, its packet rules and its
# mounts end with it, and it meets none of anybody else. What is to reach the ports of its containers runs
# `"${inside[@]}"`. It ends with the process that began it, even when that is killed.

inside=(env)
own_engine=
engine_missing=

# Finds or starts an engine, with its files in the folder given. Returns 1 where there can be none, with the reason in
# `engine_missing`.
engine_begin() {
  local work=$1 tool
  engine_missing=
  command -v docker >/dev/null || { engine_missing="there is no docker program"; return 1; }
  if docker version >/dev/null 2>&1; then return 0; fi
  local why="no Docker engine answers"
  command -v dockerd >/dev/null || { engine_missing="$why, and there is no dockerd to start one"; return 1; }
  ((EUID == 0)) || { engine_missing="$why, and only root can start one"; return 1; }
  for tool in ip iptables nsenter setpriv unshare; do
    command -v "$tool" >/dev/null || { engine_missing="$why, and starting one needs \`$tool\`"; return 1; }
  done
  unshare --mount --net true 2>/dev/null ||
    { engine_missing="$why, and this machine allows no namespaces to start one in"; return 1; }

  export DOCKER_HOST=unix://$work/docker.sock
  unset DOCKER_CONTEXT DOCKER_TLS_VERIFY
  # A name that is not a container's is answered by nobody in there, so it must not be waited for long.
  # shellcheck disable=SC2016
  setpriv --pdeathsig TERM unshare --mount --net --propagation private \
    bash -c 'ip link set lo up && exec dockerd "$@"' dockerd --host "$DOCKER_HOST" \
    --data-root "$work/data" --exec-root "$work/exec" --pidfile "$work/pid" \
    --dns-opt timeout:1 --dns-opt attempts:1 >"$work/dockerd.log" 2>&1 &
  own_engine=$!
  for _ in {1..150}; do
    if docker version >/dev/null 2>&1; then
      inside=(nsenter --net="/proc/$own_engine/ns/net")
      return 0
    fi
    kill -0 "$own_engine" 2>/dev/null || break
    sleep 0.2
  done
  engine_missing="$why, and dockerd does not start here: $(tail -1 "$work/dockerd.log")"
  engine_end
  return 1
}

# Ends an engine of our own, its containers with it.
engine_end() {
  [[ -n $own_engine ]] || return 0
  kill "$own_engine" 2>/dev/null || true
  for _ in {1..150}; do
    kill -0 "$own_engine" 2>/dev/null || break
    sleep 0.2
  done
  kill -KILL "$own_engine" 2>/dev/null || true
  wait "$own_engine" 2>/dev/null || true
  own_engine=
}

# Whether the engine runs containers that this machine reaches: an engine may answer and belong to another machine, or
# may not be allowed to start anything. Returns 1 with the reason in `engine_missing`. Needs a Rust compiler that links
# statically, as the image of tandem-server does.
engine_probe() {
  local work=$1 name=tandem-probe-$$ said port
  mkdir -p "$work/probe"
  cat >"$work/probe.rs" <<'RUST'
fn main() {
    let port = std::env::args().nth(1).and_then(|it| it.parse::<u16>().ok()).unwrap_or_default();
    let listener = std::net::TcpListener::bind(("127.0.0.1", port)).expect("the port is free");
    drop(listener.accept());
}
RUST
  said=$(rustc --edition 2021 -C target-feature=+crt-static -o "$work/probe/probe" "$work/probe.rs" 2>&1) ||
    { engine_missing="this machine links no static program: $(tail -1 <<<"$said")"; return 1; }
  tar -C "$work/probe" -c . | docker import --change 'ENTRYPOINT ["/probe"]' - "$name" >/dev/null
  port=$(free_ports 1)
  if ! docker run --detach --network host --name "$name" "$name" "$port" >/dev/null 2>"$work/probe.log"; then
    engine_missing="the Docker engine starts no container here: $(tail -1 "$work/probe.log")"
  elif ! "${inside[@]}" bash -c "for _ in {1..50}; do (: <>/dev/tcp/127.0.0.1/$port) && exit; sleep 0.1; done; exit 1" 2>/dev/null; then
    engine_missing="the containers of the Docker engine are not reachable from here"
  fi
  docker rm --force "$name" >/dev/null 2>&1
  docker image rm --force "$name" >/dev/null 2>&1
  [[ -z $engine_missing ]]
}

# As many ports of 127.0.0.1 as asked for that nobody has now, in one line.
free_ports() {
  # shellcheck disable=SC2016
  "${inside[@]}" bash -c '
    for port in $(shuf -i 20000-30000 -n 100); do
      if ! (: <>"/dev/tcp/127.0.0.1/$port") 2>/dev/null; then echo "$port"; fi
    done' | head -n "$1" | paste -sd ' '
}
