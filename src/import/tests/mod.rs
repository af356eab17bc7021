//! Imports from real databases of both products into the embedded store.

mod brconnector;
mod bricksllm;

use super::*;
use crate::auth::digest::digest;
use crate::domain::{Key, KeyDigest};
use crate::servers::{self, Database};
use crate::store::seal::{MasterKey, Sealer};
use crate::store::sqlite::SqliteStore;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

const BRICKSLLM: &str = include_str!("bricksllm.sql");
const BRCONNECTOR: &str = include_str!("brconnector.sql");

/// A source and a store to import it into.
struct Move {
    product: Product,
    source: Database,
    store: Arc<dyn ImportStore>,
    options: Options,
    _folder: tempfile::TempDir,
}

impl Move {
    async fn of(product: Product) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let sealer = Sealer::new(vec![MasterKey::parse_base64(&STANDARD.encode([1; 32])).unwrap()]).unwrap();
        let store = Arc::new(SqliteStore::open(folder.path().join("t.db"), sealer).unwrap());
        Self::onto(product, store, folder).await
    }

    async fn onto(product: Product, store: Arc<dyn ImportStore>, folder: tempfile::TempDir) -> Self {
        let options = Options {
            dry_run: false,
            overwrite: false,
            history_since: UnixMillis(0),
            zone: BillingZone::UTC,
            now: UnixMillis(1_726_000_000_000),
        };
        let it = Self { product, source: servers::database(), store, options, _folder: folder };
        it.sql(if product == Product::BricksLlm { BRICKSLLM } else { BRCONNECTOR }).await;
        it
    }

    /// Another product's database beside it, for the same store.
    async fn beside(&self, product: Product) -> Self {
        let other = Self::of(product).await;
        Self { store: self.store.clone(), ..other }
    }

    async fn sql(&self, sql: &str) {
        let (client, connection) = tokio_postgres::connect(self.source.url(), tokio_postgres::NoTls).await.unwrap();
        let driver = tokio::spawn(connection);
        client.batch_execute(sql).await.unwrap();
        drop(client);
        driver.await.unwrap().unwrap();
    }

    async fn run(&self) -> Report {
        let pricing = Pricing::shipped();
        run(self.product, self.source.url(), self.store.clone(), &pricing, &self.options).await.unwrap()
    }

    async fn run_with(&mut self, change: impl FnOnce(&mut Options)) -> Report {
        let before = self.options.clone();
        change(&mut self.options);
        let report = self.run().await;
        self.options = before;
        report
    }

    async fn key(&self, raw: &str) -> Option<Key> {
        let digest: KeyDigest = digest(raw.as_bytes());
        self.store.key_with_digest(&digest).await.unwrap()
    }
}

/// The numbers of a kind: found, new, updated, equal, different, left out.
fn counts(report: &Report, kind: &str) -> [u64; 6] {
    let text = report.to_string();
    let line = text.lines().find(|line| line.get(..20).is_some_and(|name| name.trim() == kind));
    let line = line.unwrap_or_else(|| panic!("no {kind} in\n{text}"));
    let numbers: Vec<u64> =
        line.chars().skip(20).collect::<String>().split_whitespace().map(|number| number.parse().unwrap()).collect();
    numbers.try_into().unwrap()
}

fn tells(report: &Report, line: &str) {
    let text = report.to_string();
    assert!(text.lines().any(|told| told == line), "no line {line}\nin\n{text}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_source_that_is_none_is_an_error_and_no_secret_is_told() {
    let it = Move::of(Product::BricksLlm).await;
    let pricing = Pricing::shipped();
    let other = run(Product::BrConnector, it.source.url(), it.store.clone(), &pricing, &it.options).await;
    assert!(other.unwrap_err().to_string().contains("it is no database of BRConnector"));
    for url in ["postgres://u:hidden@127.0.0.1:1/x", "hidden", "http://hidden.example"] {
        let error = run(Product::BricksLlm, url, it.store.clone(), &pricing, &it.options).await.unwrap_err();
        assert!(!format!("{error:#}").contains("hidden"), "{error:#}");
    }
}

/// LIMIT: without history, until the shared store keeps events.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_shared_store_takes_configuration_and_accounts_as_the_embedded_one() {
    let target = servers::database();
    let sealer = Sealer::new(vec![MasterKey::parse_base64(&STANDARD.encode([1; 32])).unwrap()]).unwrap();
    let settings = crate::store::postgres::PostgresSettings::from_url(target.url()).unwrap();
    let store = Arc::new(crate::store::postgres::PostgresStore::open(settings, sealer).await.unwrap());
    for (product, tables, history) in [
        (Product::BricksLlm, ["keys", "provider settings", "routes"], "TRUNCATE events"),
        (Product::BrConnector, ["keys", "models of keys", "accounts"], "TRUNCATE eiai_thread"),
    ] {
        let shared = Move::onto(product, store.clone(), tempfile::tempdir().unwrap()).await;
        let embedded = Move::of(product).await;
        shared.sql(history).await;
        embedded.sql(history).await;
        let (one, other) = (shared.run().await, embedded.run().await);
        for kind in tables {
            assert_eq!(counts(&one, kind), counts(&other, kind), "{kind}");
        }
        let second = shared.run().await;
        assert_eq!(second.changes(), 0, "{second}");
    }
    let it = Move::onto(Product::BrConnector, store, tempfile::tempdir().unwrap()).await;
    let key = it.key("br-00000000000000000000000000001").await.unwrap();
    // The three keys of the other product came first.
    assert_eq!((key.number, key.models().len()), (4, 1));
    let books = it.store.books(&[key.id]).await.unwrap()[0].1;
    assert_eq!((books.account.balance.units(), books.total.units()), (50_000_000_001, 123_456_789_012));
}
