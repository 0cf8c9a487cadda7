//! What a node does for every change and every five seconds: checksums, responsibility, datums, writes.

use std::hint::black_box;

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use tandem_server::cluster::ring::{self, Ring};
use tandem_server::distro::checksum::checksum;
use tandem_server::distro::datum::{MapWriter, read_map};
use tandem_server::naming::changes::Change;
use tandem_server::naming::instance::Instance;
use tandem_server::naming::listing::{self, ListQuery};
use tandem_server::naming::registry::Registry;
use tandem_server::naming::service::{ServiceId, ServiceState};

const SIZES: [usize; 3] = [1, 10, 1000];

fn instance(index: usize) -> Instance {
    let ip = format!("10.{}.{}.{}", index >> 16 & 255, index >> 8 & 255, index & 255);
    Instance {
        instance_id: Some(format!("{ip}#8080#DEFAULT#DEFAULT_GROUP@@order-service")),
        ip,
        port: 8080,
        service_name: "DEFAULT_GROUP@@order-service".to_owned(),
        metadata: Some([("zone".to_owned(), "z1".to_owned()), ("version".to_owned(), "2.1".to_owned())].into()),
        last_beat: 1_795_223_901_228,
        app: Some("DEFAULT".to_owned()),
        ..Instance::default()
    }
}

fn service(size: usize) -> (ServiceId, ServiceState) {
    let mut state = ServiceState::new("DEFAULT_GROUP");
    state.ephemeral = (0..size).map(instance).map(|one| (one.key(), one)).collect();
    state.has_datum = true;
    (ServiceId::new("public", "DEFAULT_GROUP@@order-service"), state)
}

fn lists(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("instance list");
    for size in SIZES {
        let (id, state) = service(size);
        group.throughput(Throughput::Elements(size as u64));
        group.bench_with_input(BenchmarkId::new("checksum", size), &state, |bencher, state| {
            bencher.iter(|| checksum(black_box(state).ephemeral.values()));
        });
        let write = || {
            let mut writer = MapWriter::new();
            writer.add(&id, &state);
            writer.finish()
        };
        group.bench_function(BenchmarkId::new("write datum", size), |bencher| bencher.iter(write));
        let body = write();
        group.bench_with_input(BenchmarkId::new("read datum", size), &body, |bencher, body| {
            bencher.iter(|| read_map(black_box(body), 0).map(|map| map.len()));
        });
    }
    group.finish();
}

fn responsibility(criterion: &mut Criterion) {
    let ring = Ring::new(["10.0.0.1:8848", "10.0.0.2:8848", "10.0.0.3:8848"].map(str::to_owned).to_vec());
    let name = "DEFAULT_GROUP@@com.example.shop.order-service";
    criterion.bench_function("responsibility/hash", |bencher| bencher.iter(|| ring::hash(black_box(name))));
    criterion.bench_function("responsibility/owner of 3", |bencher| {
        bencher.iter(|| ring.owner(black_box(name)).map(str::len));
    });
}

fn store(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("store put");
    for size in SIZES {
        let registry = Registry::new();
        // Somebody listens, as in a node.
        let _changes = registry.subscribe();
        let (id, state) = service(size);
        let service = registry.get_or_create(&id, || state.clone());
        group.bench_function(BenchmarkId::new("one instance of", size), |bencher| {
            bencher.iter(|| {
                registry.update(&service, |state| {
                    let one = instance(0);
                    state.ephemeral.insert(one.key(), one);
                    ((), Change { ephemeral_local: true, ..Change::default() })
                });
            });
        });
        let list: Vec<Instance> = (0..size).map(instance).collect();
        group.bench_function(BenchmarkId::new("a peer's list of", size), |bencher| {
            bencher.iter(|| registry.replace_ephemeral(&service, list.clone()));
        });
    }
    group.finish();
}

/// What a consumer is answered: the first time after a change, and from then on.
fn listing(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("instance/list answer");
    for size in SIZES {
        let registry = Registry::new();
        let (id, state) = service(size);
        let service = registry.get_or_create(&id, || state.clone());
        let query = ListQuery {
            clusters: "",
            healthy_only: false,
            check_only: false,
            env: "",
            cache_millis: 10_000,
            grouped_names: true,
            now: 1_795_223_901_228,
        };
        group.throughput(Throughput::Elements(size as u64));
        group.bench_function(BenchmarkId::new("repeated", size), |bencher| {
            bencher.iter(|| listing::render(&service, black_box(&query)).map(|body| body.len()));
        });
        group.bench_function(BenchmarkId::new("after a change", size), |bencher| {
            bencher.iter(|| {
                registry.update(&service, |_| ((), Change { health: true, ..Change::default() }));
                listing::render(&service, black_box(&query)).map(|body| body.len())
            });
        });
    }
    group.finish();
}

criterion_group!(benches, lists, responsibility, store, listing);
criterion_main!(benches);
