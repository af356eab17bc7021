use super::*;
use crate::domain::{Account, GroupId, ModelId, Money, Role};
use crate::store::{Books, EventFilter, Paging, Point};

const ADMIN: &str = "br-00000000000000000000000000001";
const USER: &str = "br-00000000000000000000000000002";
/// The first of September and of January 2024.
const SEPTEMBER: UnixMillis = UnixMillis(1_725_148_800_000);

fn usd(text: &str) -> Money {
    Money::parse_usd(text).unwrap()
}

async fn books(it: &Move, raw: &str) -> Books {
    let key = it.key(raw).await.unwrap();
    it.store.books(&[key.id]).await.unwrap()[0].1
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_row_is_here_as_it_was_with_its_number() {
    let it = Move::of(Product::BrConnector).await;
    let report = it.run().await;
    assert_eq!(counts(&report, "models"), [3, 2, 0, 0, 0, 1]);
    assert_eq!(counts(&report, "groups"), [3, 3, 0, 0, 0, 0]);
    assert_eq!(counts(&report, "models of groups"), [3, 2, 0, 0, 0, 1]);
    // The second of two keys of one value finds the first in its place.
    assert_eq!(counts(&report, "keys"), [5, 3, 0, 0, 1, 1]);
    assert_eq!(counts(&report, "models of keys"), [4, 2, 0, 1, 0, 1]);
    assert_eq!((counts(&report, "events"), counts(&report, "payments")), ([3, 3, 0, 0, 0, 0], [2, 0, 0, 0, 0, 2]));
    tells(&report, "keys 13: api_key is empty");
    tells(&report, "keys 11: names the group 77, which is not here");
    tells(&report, "models 8: name is empty or contains / or control characters");
    assert!(!report.to_string().contains("br-0") && !report.to_string().contains("sk-model"));

    let admin = it.key(ADMIN).await.unwrap();
    assert_eq!((admin.number, &*admin.name, admin.role(), admin.email()), (3, "管理员", Role::Admin, Some("a@b.c")));
    assert_eq!((admin.group(), admin.models(), admin.quota()), (Some(GroupId(1)), &[ModelId(7)][..], Some(usd("20"))));
    assert_eq!(admin.created_at.to_string(), "2024-05-01T10:00:00.123Z");
    let user = it.key(USER).await.unwrap();
    assert_eq!(
        (user.number, &*user.name, user.email(), user.group(), user.models()),
        (10, "", None, None, &[ModelId(2)][..])
    );
    let model = it.store.model(ModelId(7)).await.unwrap().unwrap();
    assert_eq!((&*model.name, model.price_in, model.multiple), ("模型", Money::from_units(1), false));
    assert!(model.config.expose().contains("sk-model"));
    let groups = it.store.list_groups(None, Paging::default()).await.unwrap().rows;
    let said: Vec<_> = groups.iter().map(|g| (g.id.0, &*g.name, g.code.as_deref(), g.models.len())).collect();
    assert_eq!(said, [(1, "default", None, 1), (4, "团队", Some("T"), 1), (5, "团队 (5)", Some(""), 0)]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn accounts_and_totals_are_exact() {
    let it = Move::of(Product::BrConnector).await;
    it.run().await;
    let account = Account { month: SEPTEMBER, month_fee: usd("1.5"), balance: usd("5.0000000001") };
    assert_eq!(books(&it, ADMIN).await, Books { account, total: usd("12.3456789012") });
    let account = Account { month: SEPTEMBER, month_fee: usd("1"), balance: usd("-0.0035") };
    assert_eq!(books(&it, USER).await, Books { account, total: usd("0.0045") });
    let events = it.store.list_events(&EventFilter::default()).await.unwrap().rows;
    let admin = it.key(ADMIN).await.unwrap();
    let event = events.iter().find(|event| event.key_id == Some(admin.id)).unwrap();
    assert_eq!(
        (event.cost, &*event.model, event.usage.prompt_tokens(), event.usage.completion_tokens()),
        (usd("0.0045"), "claude", 1000, 100)
    );
    assert_eq!(event.created_at.to_string(), "2024-09-10T08:15:30.500Z");
    assert_eq!(event.id.made_at_millis(), Some(event.created_at.0 - 1500));
    assert!(event.request.is_none() && event.response.is_none());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_dry_run_writes_nothing_and_a_second_run_changes_nothing() {
    let mut it = Move::of(Product::BrConnector).await;
    let dry = it.run_with(|options| options.dry_run = true).await;
    assert_eq!(it.store.changes_since(Point::default()).await.unwrap().point.position, 0);
    assert_eq!((counts(&dry, "keys"), counts(&dry, "models")), ([5, 4, 0, 0, 0, 1], [3, 2, 0, 0, 0, 1]));
    it.run().await;
    let position = it.store.changes_since(Point::default()).await.unwrap().point.position;
    let second = it.run().await;
    assert_eq!(second.changes(), 0, "{second}");
    assert_eq!(it.store.changes_since(Point::default()).await.unwrap().point.position, position);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_account_follows_the_source_until_it_is_used_here() {
    let it = Move::of(Product::BrConnector).await;
    it.run().await;
    it.sql("UPDATE eiai_key SET balance = balance + 1, total_fee = total_fee + 1, name = 'n' WHERE id IN (3, 10)")
        .await;
    let report = it.run().await;
    assert_eq!((counts(&report, "accounts")[2], counts(&report, "keys")[2]), (2, 2), "{report}");
    assert_eq!(
        (books(&it, ADMIN).await.account.balance, books(&it, ADMIN).await.total),
        (usd("6.0000000001"), usd("13.3456789012"))
    );
    // Paid in here: the source does not know.
    let admin = it.key(ADMIN).await.unwrap();
    it.store.credit(admin.id, usd("10")).await.unwrap();
    it.sql("UPDATE eiai_key SET balance = balance + 1 WHERE id IN (3, 10)").await;
    let report = it.run().await;
    tells(&report, "accounts 3: was used here since the last import");
    assert_eq!(books(&it, ADMIN).await.account.balance, usd("16.0000000001"));
    assert_eq!(books(&it, USER).await.account.balance, usd("1.9965"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_grant_that_was_revoked_here_stays_revoked_and_new_ones_come() {
    let it = Move::of(Product::BrConnector).await;
    it.run().await;
    let admin = it.key(ADMIN).await.unwrap();
    let unbind = crate::store::GrantAction::Unbind;
    it.store.grant(crate::store::Grantee::Key(admin.id), ModelId(7), unbind, it.options.now).await.unwrap();
    it.sql("INSERT INTO eiai_key_model (id, key_id, model_id) VALUES (9, 3, 2)").await;
    let report = it.run().await;
    assert_eq!(counts(&report, "models of keys"), [5, 1, 0, 1, 2, 1], "{report}");
    assert_eq!(it.key(ADMIN).await.unwrap().models(), [ModelId(2)]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn numbers_that_are_taken_are_mapped_and_told() {
    let first = Move::of(Product::BrConnector).await;
    first.run().await;
    // Another installation, with rows of its own under the same numbers.
    let other = first.beside(Product::BrConnector).await;
    other
        .sql(
            "UPDATE eiai_key SET created_at = created_at + interval '1 day', api_key = 'x' || id WHERE id <> 13; \
             UPDATE eiai_model SET name = 'other ' || name, created_at = created_at + interval '1 day'; \
             UPDATE eiai_group SET name = 'other ' || name, created_at = created_at + interval '1 day';",
        )
        .await;
    let report = other.run().await;
    assert_eq!(counts(&report, "keys"), [5, 4, 0, 0, 0, 1], "{report}");
    let key = other.key("x3").await.unwrap();
    assert_eq!(key.number, 12, "after the highest that was given");
    tells(&report, "keys 3: has the number 12 here");
    let (group, model) = (key.group().unwrap(), key.models()[0]);
    assert_eq!(&*other.store.group(group).await.unwrap().unwrap().name, "other default");
    assert_eq!(&*other.store.model(model).await.unwrap().unwrap().name, "other 模型");
    assert_eq!((other.run().await.changes(), first.run().await.changes()), (0, 0));
    assert_eq!(first.key(ADMIN).await.unwrap().number, 3);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_key_that_both_products_have_is_one_key_when_the_operator_says_so() {
    let bricks = Move::of(Product::BricksLlm).await;
    bricks.run().await;
    let mut it = bricks.beside(Product::BrConnector).await;
    it.sql("UPDATE eiai_key SET api_key = 'raw-key-one' WHERE id = 3").await;
    let report = it.run().await;
    tells(&report, "keys 3: another one is here in its place");
    let before = it.key("raw-key-one").await.unwrap();
    assert_eq!((before.quota(), before.rotation), (None, true));
    it.run_with(|options| options.overwrite = true).await;
    let merged = it.key("raw-key-one").await.unwrap();
    assert_eq!((merged.id, merged.quota(), merged.rotation), (before.id, Some(usd("20")), true));
    assert_eq!(merged.setting_ids, before.setting_ids);
    assert_eq!(books(&it, "raw-key-one").await.account.balance, usd("5.0000000001"));
    // Both follow their source from then on.
    assert_eq!((it.run().await.changes(), bricks.run().await.changes()), (0, 2 - 2));
}
