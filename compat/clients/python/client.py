"""The script of ../README.md on the official Python SDK of the HTTP generation."""

import json
import os
import sys
import threading
import time

import nacos
from nacos.listener import Event, SubscribeListener

CHANGE_LIMIT_S = 25
WATCH_S = 20
BEGAN = time.monotonic()


def now():
    return int((time.monotonic() - BEGAN) * 1000)


def metadata(rev, **more):
    return {
        "rev": rev,
        "preserved.heart.beat.interval": "1000",
        "preserved.heart.beat.timeout": "11000",
        "preserved.ip.delete.timeout": "12000",
        **more,
    }


FIRST = dict(ip="127.0.0.21", port=7001, cluster_name="east")
SECOND = dict(ip="127.0.0.22", port=7002, cluster_name="west")
NOTE = {"note": "naïve & 北=京"}


def plain(hosts):
    """Instances in one order, under the names that all programs use."""
    keys = ("ip", "port", "weight", "healthy", "enabled", "ephemeral", "metadata")
    names = {"id": "instanceId", "cluster": "clusterName", "service": "serviceName"}
    out = [
        {**{key: host.get(key) for key in keys}, **{key: host.get(name) for key, name in names.items()}}
        for host in hosts
    ]
    return sorted(out, key=lambda host: host["port"])


class Failed(Exception):
    """A step that saw what it should not."""

    def __init__(self, detail, saw=None):
        super().__init__(detail)
        self.saw = saw


class Client:
    def __init__(self, args):
        self.args = args
        self.group = args["--group"]
        self.service = args["--service"]
        self.failed = False
        self.lock = threading.Lock()
        self.hosts = {}  # what the subscription has told, by instance id
        self.states = []  # the same over time

    def run(self):
        if not self.step("connect", self.connect):
            return
        self.step("subscribe", self.subscribe)
        registering = now()
        if not self.step("register", self.register):
            return
        self.change("appear", registering, lambda hosts: len(hosts) == 2)
        self.step("list", lambda: listed(self.list(self.subscriber), 2))
        self.step("list-at-writer", lambda: eventually(lambda: listed(self.list(self.writer), 2)))
        self.step("select-cluster", lambda: listed(self.list(self.subscriber, clusters="east", healthy_only=True), 1))
        self.step("select-healthy", lambda: listed(self.list(self.subscriber, healthy_only=True), 2))
        self.without("select-one")
        self.without("services")
        self.step("beats", self.beats)
        updating = now()
        self.step("update", self.update)
        self.change(
            "updated",
            updating,
            lambda hosts: any(it["weight"] == 5 and it["metadata"].get("rev") == "2" for it in hosts),
        )
        leaving = now()
        self.step("deregister", lambda: self.remove(FIRST))
        self.change("gone", leaving, lambda hosts: [it["port"] for it in hosts] == [7002])
        self.step("leave", self.leave)

    # === the parts of the script ===

    def connect(self):
        def client(name, address):
            return nacos.NacosClient(address, namespace=self.args["--namespace"], logDir=name)

        self.writer = client("writer", self.args["--write"])
        self.subscriber = client("subscriber", self.args["--subscribe"])

    def subscribe(self):
        def told(event, instance):
            with self.lock:
                if event == Event.DELETED:
                    self.hosts.pop(instance.instance_id, None)
                else:
                    self.hosts[instance.instance_id] = instance.instance
                self.states.append((now(), plain(self.hosts.values())))

        listener = SubscribeListener(fn=told, listener_name="tandem")
        # Every second instead of every seven.
        self.subscriber.subscribe(listener, 1, self.service, group_name=self.group)
        return listed(self.list(self.subscriber), 0)

    def register(self):
        for it, weight, more in ((FIRST, 2, NOTE), (SECOND, 1, {})):
            done = self.writer.add_naming_instance(
                self.service,
                it["ip"],
                it["port"],
                it["cluster_name"],
                weight,
                metadata("1", **more),
                group_name=self.group,
                heartbeat_interval=1,
            )
            if not done:
                raise Failed("the server did not answer ok")

    def update(self):
        done = self.writer.modify_naming_instance(
            self.service,
            FIRST["ip"],
            FIRST["port"],
            FIRST["cluster_name"],
            5,
            metadata("2", **NOTE),
            enable=True,
            group_name=self.group,
        )
        if not done:
            raise Failed("the server did not answer ok")

    def remove(self, it):
        done = self.writer.remove_naming_instance(
            self.service, it["ip"], it["port"], it["cluster_name"], group_name=self.group
        )
        if not done:
            raise Failed("the server did not answer ok")

    def list(self, client, **more):
        return client.list_naming_instance(self.service, group_name=self.group, **more)["hosts"]

    def beats(self):
        """Both instances are there and healthy for longer than they would be without heartbeats."""
        end = time.monotonic() + WATCH_S
        while time.monotonic() < end:
            found = self.list(self.subscriber, healthy_only=True)
            if len(found) != 2:
                raise Failed("not both healthy", plain(found))
            time.sleep(0.5)
        return "both healthy at every look"

    def leave(self):
        self.subscriber.unsubscribe(self.service)
        self.subscriber.stop_subscribe()
        self.remove(SECOND)
        return eventually(lambda: listed(self.list(self.subscriber), 0))

    def change(self, name, since, wanted):
        """Waits until the subscriber has been told."""
        began = time.monotonic()

        def look():
            while True:
                with self.lock:
                    for at, hosts in self.states:
                        if at >= since and wanted(hosts):
                            # This SDK has no push receiver.
                            return hosts, {"way": "poll", "after_ms": at - since}
                if time.monotonic() - began > CHANGE_LIMIT_S:
                    raise Failed("the subscriber was not told in time", self.states[-1:] and self.states[-1][1])
                time.sleep(0.002)

        self.step(name, look)

    # === reporting ===

    def without(self, name):
        report({"step": name, "skip": "this SDK has no such call"})

    def step(self, name, call):
        line = {"step": name}
        try:
            saw = call()
            if isinstance(saw, tuple):
                saw, more = saw
                line.update(more)
            line.update(saw=saw, ok=True)
        except Failed as failed:
            line.update(saw=failed.saw, detail=str(failed), ok=False)
        except Exception as error:  # whatever the SDK throws is what the step saw
            line.update(detail=repr(error), ok=False)
        line["at_ms"] = now()
        report(line)
        self.failed |= not line["ok"]
        return line["ok"]


def listed(hosts, wanted):
    found = plain(hosts)
    if len(found) != wanted:
        raise Failed(f"{len(found)} instances instead of {wanted}", found)
    return found


def eventually(call):
    """Asks again for a moment: an acknowledged write may show a little later."""
    end = time.monotonic() + 5
    while True:
        try:
            return call()
        except Failed:
            if time.monotonic() > end:
                raise
            time.sleep(0.1)


def report(line):
    sys.stdout.write(json.dumps(line, ensure_ascii=False) + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.stdout.reconfigure(encoding="utf-8")
    given = sys.argv[1:]
    client = Client(dict(zip(given[::2], given[1::2])))
    client.run()
    # The SDK leaves threads behind that would keep the process.
    sys.stdout.flush()
    os._exit(1 if client.failed else 0)
