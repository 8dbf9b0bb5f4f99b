//! Checking a token: verified, and known from before.

use criterion::{BatchSize, Criterion, criterion_group};
use filegrid::auth::{Authenticator, Login, open_registry};
use futures::executor::block_on;
use std::sync::Arc;

criterion_group!(benches, token);

fn token(criterion: &mut Criterion) {
    let directory = tempfile::tempdir().unwrap();
    let (registry, first) = open_registry(directory.path(), 1).unwrap();
    let keys = first.unwrap().keys;
    let login = Login::start(Arc::clone(&registry), 1, 1, 86_400).unwrap();
    let credentials = serde_json::json!({
        "AssociationKey": keys.association.to_string(), "AccessKey": keys.access_key, "SecretKey": keys.secret_key,
    });
    let answer = block_on(login.login(credentials.to_string().as_bytes(), [127, 0, 0, 1].into())).unwrap();
    let answer: serde_json::Value = serde_json::from_slice(&answer).unwrap();
    let field = format!("Bearer {}", answer["token"].as_str().unwrap());

    let mut group = criterion.benchmark_group("token");
    let authenticator = Authenticator::new(Arc::clone(&registry));
    group.bench_function("cached", |bencher| {
        bencher.iter(|| authenticator.authenticate(Some(field.as_bytes())).unwrap());
    });
    group.bench_function("uncached", |bencher| {
        bencher.iter_batched(
            || Authenticator::new(Arc::clone(&registry)),
            |authenticator| authenticator.authenticate(Some(field.as_bytes())).unwrap(),
            BatchSize::SmallInput,
        );
    });
    group.finish();
}
