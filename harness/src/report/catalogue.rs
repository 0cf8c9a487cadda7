//! What each experiment is called, how its figures are shown and, in a few sentences, how they were measured.

/// How the values of an experiment are drawn.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Shape {
    /// Many values: the whole distribution as a cumulative curve.
    Curve,
    /// Few values: a bar with a mark for each round.
    Bars,
}

/// What a report knows about an experiment besides its figures.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Experiment {
    /// As in `results.json`.
    pub(super) name: &'static str,
    /// Heading.
    pub(super) title: &'static str,
    /// Completes "TARGET … VALUE at p50".
    pub(super) does: &'static str,
    /// What a smaller value is: `sooner`.
    pub(super) smaller: &'static str,
    /// What a larger value is: `later`.
    pub(super) larger: &'static str,
    /// The statistic that stands for the experiment.
    pub(super) stat: &'static str,
    /// How it is drawn.
    pub(super) shape: Shape,
    /// How it was measured.
    pub(super) method: &'static str,
}

const LOAD_METHOD: &str = "Open loop: every request is due at a moment fixed before the run, and its latency counts \
    from that moment, whether or not it could be sent then. A server that stalls is charged for everything that was \
    due meanwhile. The generator's own lateness is measured apart and stands in the first lines of this report.";

/// Every known experiment, in the order in which a report shows them.
const EXPERIMENTS: [Experiment; 23] = [
    Experiment {
        name: "sync-latency",
        title: "Sync latency",
        does: "makes an acknowledged write visible on the other nodes in",
        smaller: "sooner",
        larger: "later",
        stat: "p50",
        shape: Shape::Curve,
        method: "An instance is registered at one node. The clock starts when that node acknowledges it and stops, for \
            each other node apart, when a query there first shows it.",
    },
    Experiment {
        name: "push-latency",
        title: "Push latency",
        does: "pushes a change to subscribers in",
        smaller: "sooner",
        larger: "later",
        stat: "p50",
        shape: Shape::Curve,
        method: "A subscriber of every node listens for UDP pushes. The clock starts when a registration is \
            acknowledged and stops when a packet that lists the instance is in hand, at the node written to and at the \
            others.",
    },
    Experiment {
        name: "deregister-latency",
        title: "Deregister latency",
        does: "removes a deregistered instance from the other nodes in",
        smaller: "sooner",
        larger: "later",
        stat: "p50",
        shape: Shape::Curve,
        method: "An instance that every node shows is deregistered at one node. The clock starts at the \
            acknowledgement and stops, for each other node apart, when a query there no longer shows it.",
    },
    Experiment {
        name: "burst-convergence",
        title: "Burst convergence",
        does: "has every node agree after a burst of registrations in",
        smaller: "sooner",
        larger: "later",
        stat: "p50",
        shape: Shape::Bars,
        method: "Many instances are registered at once, spread over the nodes. The value is the time from the last \
            acknowledgement until every node shows all of them.",
    },
    Experiment {
        name: "expiry-latency",
        title: "Expiry and health",
        does: "shows a change of health in",
        smaller: "sooner",
        larger: "later",
        stat: "p50",
        shape: Shape::Curve,
        method: "Instances stop sending heartbeats at staggered times, and ports that the servers check are closed and \
            opened. The clock starts at the last acknowledged beat, or when the port was closed or opened, and stops \
            when a read of a node's true health or a pushed list first shows the change.",
    },
    Experiment {
        name: "agreement-latency",
        title: "Agreement after random operations",
        does: "has all nodes agree after random operations in",
        smaller: "sooner",
        larger: "later",
        stat: "p50",
        shape: Shape::Bars,
        method: "Clients register, change, beat, deregister and let expire, at random and at every node, each instance \
            in order and many at once. The value is the time from the last acknowledgement until every node's whole \
            content, the lists it replicates and those it serves, is the same and is what the clients were told. It \
            is then watched for two verify rounds; agreement that does not stay gives no value.",
    },
    Experiment {
        name: "change-latency",
        title: "Changes along every pair of nodes",
        does: "shows a change at another node in",
        smaller: "sooner",
        larger: "later",
        stat: "p50",
        shape: Shape::Curve,
        method: "For every node, every other and every node that may be responsible for the service: the clock starts \
            at the acknowledgement of the change, for `unhealthy` and `expired` at that of the last heartbeat (which \
            counts for two seconds, and whose instance is removed after three), and stops when a look at the other \
            node, every 25 ms, first shows it right.",
    },
    Experiment {
        name: "config-sync-latency",
        title: "Configuration sync latency",
        does: "makes a published configuration visible on the other nodes in",
        smaller: "sooner",
        larger: "later",
        stat: "p50",
        shape: Shape::Curve,
        method: "A configuration is published at one node. The clock starts at the acknowledgement and stops, for \
            each other node apart, when it serves the new content.",
    },
    Experiment {
        name: "restart-recovery",
        title: "Recovery after a restart",
        does: "is whole again after a kill and restart of a node in",
        smaller: "sooner",
        larger: "later",
        stat: "p50",
        shape: Shape::Bars,
        method: "Every node in turn is killed with SIGKILL and started again, under a load of registrations, \
            deregistrations and heartbeats of simulated official clients. Every node's content is looked at three \
            times a second. Times are from the start of the process.",
    },
    Experiment {
        name: "restart-missing",
        title: "Missing around a restart",
        does: "lets instances be missing during restarts for up to",
        smaller: "shorter",
        larger: "longer",
        stat: "max",
        shape: Shape::Bars,
        method: "During the kills and restarts above, an instance is missing while a node that is up does not show it \
            although it was acknowledged and its client beats. One value per instance and node, nought for most; \
            exact to one round of looks, a third of a second.",
    },
    Experiment {
        name: "restart-unanswered",
        title: "Calls without an answer around a restart",
        does: "leaves unanswered during restarts up to",
        smaller: "fewer",
        larger: "more",
        stat: "max",
        shape: Shape::Bars,
        method: "During the kills and restarts above, the share of calls that got no answer: of clients that try every \
            server in turn, of their first tries, and of queries at nodes that are up. One value per kill.",
    },
    Experiment {
        name: "snapshot-load",
        title: "Joining a filled cluster",
        does: "serves everything after the start of its process in",
        smaller: "sooner",
        larger: "later",
        stat: "p50",
        shape: Shape::Bars,
        method: "Thousands of instances are registered while one node is stopped; then it is started. The clock starts \
            with its process and stops when it holds everything the others hold. Its own log says that it loaded a \
            snapshot.",
    },
    Experiment {
        name: "load-register",
        title: "Registrations under load",
        does: "answers registrations under load in",
        smaller: "faster",
        larger: "slower",
        stat: "p99",
        shape: Shape::Curve,
        method: LOAD_METHOD,
    },
    Experiment {
        name: "load-beat",
        title: "Heartbeats under load",
        does: "answers heartbeats under load in",
        smaller: "faster",
        larger: "slower",
        stat: "p99",
        shape: Shape::Curve,
        method: LOAD_METHOD,
    },
    Experiment {
        name: "load-query",
        title: "Queries under load",
        does: "answers queries under load in",
        smaller: "faster",
        larger: "slower",
        stat: "p99",
        shape: Shape::Curve,
        method: LOAD_METHOD,
    },
    Experiment {
        name: "load-mixed",
        title: "Mixed load",
        does: "answers a mixed load in",
        smaller: "faster",
        larger: "slower",
        stat: "p99",
        shape: Shape::Curve,
        method: LOAD_METHOD,
    },
    Experiment {
        name: "load-persistent",
        title: "Persistent writes under load",
        does: "answers persistent writes under load in",
        smaller: "faster",
        larger: "slower",
        stat: "p99",
        shape: Shape::Curve,
        method: "Changes of registered persistent instances, each of a service of its own and each one entry of the log, \
            acknowledged when a majority has it on disk. Open loop and saturation as for the other loads. Afterwards \
            every node must hold all of them, and all nodes the same.",
    },
    Experiment {
        name: "read-after-write",
        title: "Reads after persistent writes",
        does: "shows an acknowledged persistent write in",
        smaller: "sooner",
        larger: "later",
        stat: "p50",
        shape: Shape::Curve,
        method: "A persistent instance of a fresh service is registered at one node. The clock starts at the \
            acknowledgement and stops, for the node written to and for each other apart, when a query there first \
            shows it.",
    },
    Experiment {
        name: "leader-change",
        title: "Change of leader",
        does: "serves persistent writes again after a change of leader in",
        smaller: "sooner",
        larger: "later",
        stat: "p50",
        shape: Shape::Bars,
        method: "The leader of the persistent data hands over, or is killed with SIGKILL, while a persistent write is \
            due at every remaining node every 50 ms. A write counts when it is acknowledged and every node that is up \
            shows it. One value per change and node: the time from the change to the first write that counts, and the \
            longest time in which none came to count.",
    },
    Experiment {
        name: "persistent-kills",
        title: "Killed under persistent writes",
        does: "answers again after a kill in",
        smaller: "sooner",
        larger: "later",
        stat: "p50",
        shape: Shape::Curve,
        method: "A node is killed with SIGKILL at random moments of a load of persistent writes and started again, many \
            times; the clock runs from the kill to its next answer. Afterwards every register must hold what was \
            acknowledged last, at every node; writes without an answer may be there or not.",
    },
    Experiment {
        name: "persistent-restore",
        title: "Restored by a snapshot",
        does: "holds everything again after its data was wiped in",
        smaller: "sooner",
        larger: "later",
        stat: "p50",
        shape: Shape::Bars,
        method: "A node is killed, wiped of its data and started again beside a leader whose log no longer begins at the \
            beginning. The clock starts with its process and stops when all nodes hold the same persistent instances. \
            Its own log says that it loaded a snapshot.",
    },
    Experiment {
        name: "startup",
        title: "Start-up",
        does: "is ready in",
        smaller: "sooner",
        larger: "later",
        stat: "p50",
        shape: Shape::Bars,
        method: "From the start of the first process until every node takes writes and they show on all nodes.",
    },
    Experiment {
        name: "memory",
        title: "Memory",
        does: "holds per node",
        smaller: "less",
        larger: "more",
        stat: "p50",
        shape: Shape::Bars,
        method: "Resident memory of each server process, read from the operating system.",
    },
];

/// Whatever this version has no entry for is still shown, under its own name.
const OTHER: Experiment = Experiment {
    name: "",
    title: "",
    does: "measures",
    smaller: "less",
    larger: "more",
    stat: "p50",
    shape: Shape::Curve,
    method: "",
};

/// What is known about the experiment `name`.
pub(super) fn experiment(name: &str) -> Experiment {
    EXPERIMENTS.iter().copied().find(|it| it.name == name).unwrap_or(OTHER)
}

/// Place of the experiment in a report; unknown ones come last.
pub(super) fn rank(name: &str) -> usize {
    EXPERIMENTS.iter().position(|it| it.name == name).unwrap_or(EXPERIMENTS.len())
}

/// Whether more is better for figures of this unit.
pub(super) fn larger_is_better(unit: &str) -> bool {
    unit == "1/s"
}
