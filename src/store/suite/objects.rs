//! Promises about what providers keep for callers: one owner, one charge.

use super::samples::{event, key_id};
use crate::domain::{Event, MadeObject, Money, ObjectChanges, UnixMillis};
use crate::store::{EventFilter, KeySpend, SharedStore};

const T: i64 = 1_700_000_000_000;

fn made(id: &str, kind: &str, charged_as: Option<&str>) -> MadeObject {
    MadeObject { id: id.into(), kind: kind.into(), charged_as: charged_as.map(Into::into) }
}

fn changes(made: Vec<MadeObject>, charged: &[&str]) -> Option<Box<ObjectChanges>> {
    Some(Box::new(ObjectChanges { made, charged: charged.iter().map(|id| Box::from(*id)).collect() }))
}

fn boxed(ids: &[&str]) -> Vec<Box<str>> {
    ids.iter().map(|id| Box::from(*id)).collect()
}

fn by(key: u64, n: u64, change: impl FnOnce(&mut Event)) -> Event {
    event(n, UnixMillis(T), |e| {
        e.key_id = Some(key_id(key));
        e.provider = "openai".into();
        change(e);
    })
}

pub(crate) async fn an_object_belongs_to_the_first_that_made_it(store: SharedStore) {
    let first = by(1, 1, |e| {
        e.objects = changes(vec![made("file-1", "file", None), made("file-2", "file", Some("batch_1"))], &[]);
    });
    let second = by(2, 2, |e| e.objects = changes(vec![made("file-1", "file", None)], &[]));
    let elsewhere = by(2, 3, |e| {
        e.provider = "azure".into();
        e.objects = changes(vec![made("file-1", "file", None)], &[]);
    });
    store.insert_events(&[first.clone(), second]).await.unwrap();
    store.insert_events(&[first, elsewhere]).await.unwrap();
    let mut found = store.objects("openai", &boxed(&["file-1", "file-2", "file-3"])).await.unwrap();
    found.sort_by(|a, b| a.id.cmp(&b.id));
    let told: Vec<_> = found.iter().map(|o| (&*o.id, o.owner, o.charged_as.as_deref())).collect();
    assert_eq!(told, [("file-1", key_id(1), None), ("file-2", key_id(1), Some("batch_1"))]);
    assert_eq!(store.objects("azure", &boxed(&["file-1"])).await.unwrap()[0].owner, key_id(2));
    assert!(store.objects("openai", &[]).await.unwrap().is_empty());
}

pub(crate) async fn work_is_charged_once(store: SharedStore) {
    let bill = |n: u64, cost| {
        by(1, n, move |e| {
            e.cost = Money::from_units(cost);
            e.objects = changes(Vec::new(), &["batch_1"]);
        })
    };
    store.insert_events(&[bill(1, 50), bill(2, 50)]).await.unwrap();
    // Written again after a crash, and once more by somebody who asked later.
    store.insert_events(&[bill(1, 50), bill(3, 70)]).await.unwrap();
    let spends = store.spends().await.unwrap();
    assert_eq!(spends, [KeySpend { key_id: key_id(1), total: Money::from_units(50) }]);
    let rows = store.list_events(&EventFilter::default()).await.unwrap().rows;
    let mut costs: Vec<i64> = rows.iter().map(|e| e.cost.units()).collect();
    costs.sort_unstable();
    assert_eq!(costs, [0, 0, 50], "the events say what was booked");
    assert_eq!(store.charged("openai", &boxed(&["batch_1", "batch_2"])).await.unwrap(), boxed(&["batch_1"]));
    assert!(store.charged("azure", &boxed(&["batch_1"])).await.unwrap().is_empty());
}
