mod by_hand;
mod connections;
mod drains;
mod gateways;
mod months;
mod rows;
mod sums;

use super::*;
use crate::servers::{self, Database};
use crate::store::SharedStore;
use crate::store::seal::MasterKey;
use crate::store::suite::conformance;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

fn sealer() -> Sealer {
    Sealer::new(vec![MasterKey::parse_base64(&STANDARD.encode([1; 32])).unwrap()]).unwrap()
}

async fn open() -> (SharedStore, Database) {
    let (store, database) = opened().await;
    (Arc::new(store), database)
}

async fn opened() -> (PostgresStore, Database) {
    let database = servers::database();
    (opened_at(database.url()).await, database)
}

async fn opened_at(url: &str) -> PostgresStore {
    PostgresStore::open(PostgresSettings::from_url(url).unwrap(), sealer()).await.unwrap()
}

conformance!(open await);

/// Two rows of every way to note, in one transaction.
#[tokio::test]
async fn a_noted_row_moves_to_the_end_of_the_feed() {
    let (store, _database) = opened().await;
    let mut connection = store.connection().await.unwrap();
    let key = crate::domain::KeyId::from_uuid(uuid::Uuid::from_u128(7));
    let tx = change(&mut connection).await.unwrap();
    changes::note_many(&tx, changes::Kind::Setting, &[&[1], &[2], &[3]]).await.unwrap();
    changes::note(&tx, changes::Kind::Setting, &[1]).await.unwrap();
    changes::note_old_digest(&tx, key, &[8; 32]).await.unwrap();
    changes::note_gone(&tx, key, &[9; 32]).await.unwrap();
    changes::note_numbered(&tx, changes::Kind::Model, 4).await.unwrap();
    tx.commit().await.unwrap();
    let rows = connection.query("SELECT kind, row_id, gone FROM changes ORDER BY position", &[]).await.unwrap();
    let told: Vec<(String, usize, Option<u8>)> = rows
        .iter()
        .map(|row| {
            let gone = row.get::<_, Option<Vec<u8>>>(2).map(|digest| digest[0]);
            (row.get(0), row.get::<_, Vec<u8>>(1).len(), gone)
        })
        .collect();
    let expected = [("setting", 1, None), ("setting", 1, None), ("setting", 1, None), ("old_digest", 48, Some(8))];
    assert_eq!(told[..4], expected.map(|(kind, length, gone)| (kind.to_owned(), length, gone)));
    assert_eq!(told[4..], [("key".to_owned(), 16, Some(9)), ("model".to_owned(), 8, None)]);
    let first: Vec<u8> = rows[0].get(1);
    assert_eq!(first, [2], "the one that was noted again is behind the others");
}
