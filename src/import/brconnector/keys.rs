//! Keys with role, group, quota and account. The raw keys are in the source; here only their digests are kept.

use super::groups::Groups;
use super::{number, remark_number, table};
use crate::auth::digest::{digest, hint};
use crate::domain::{Account, Key, KeyId, Membership, Money, Role, UnixMillis};
use crate::import::record::{Read, Record, fault};
use crate::import::report::Fate;
use crate::import::source::View;
use crate::import::writer::write_key_over;
use crate::import::writer::{Row, Writer};
use crate::import::{Options, derived, history};
use crate::store::{ImportStore, Numbered, StoreError};
use std::collections::HashMap;

pub(super) const KIND: &str = "keys";
const ACCOUNTS: &str = "accounts";

/// Those that are here, by their number in the source. Memory: one entry per key, here and in [`Known`].
pub(super) type Placed = HashMap<i64, KeyId>;

/// Under which id the keys of the source are known here.
pub(super) struct Known {
    source: String,
    ids: HashMap<i64, KeyId>,
}

impl Known {
    /// Also of a key that the source has deleted.
    pub(super) fn id(&self, number: i64) -> KeyId {
        self.ids.get(&number).copied().unwrap_or_else(|| key_id(&self.source, number))
    }
}

/// Of the form of an id by chance, the same at every run.
fn key_id(source: &str, number: i64) -> KeyId {
    let id = derived(&["key", source, &number.to_string()]);
    KeyId::from_uuid(uuid::Builder::from_random_bytes(id).into_uuid())
}

/// A key as far as this product knows it: its settings, limits and paths are not its business.
#[derive(Clone)]
struct MemberKey {
    key: Key,
    /// With which it begins.
    account: Account,
}

impl MemberKey {
    /// `here` with what this key says.
    fn over(&self, here: &Key) -> Key {
        let mut key = here.clone();
        let said = &self.key;
        (key.digest, key.updated_at) = (said.digest, said.updated_at);
        key.hint.clone_from(&said.hint);
        key.name.clone_from(&said.name);
        let (member, quota) = (key.member(), said.quota());
        member.email = said.email().map(Into::into);
        (member.role, member.group, member.quota) = (said.role(), said.group(), quota);
        key
    }
}

impl Row for MemberKey {
    const KIND: &'static str = KIND;

    fn target(&self) -> String {
        self.key.id.to_string()
    }
    fn revision(&self) -> i64 {
        self.key.revision
    }
    fn same(&self, here: &Self) -> bool {
        Key { updated_at: here.key.updated_at, ..self.over(&here.key) } == here.key
    }
    async fn find(&self, store: &dyn ImportStore, became: Option<&str>) -> Result<Option<Self>, StoreError> {
        let id = became.and_then(KeyId::parse).unwrap_or(self.key.id);
        let key = match store.key(id).await? {
            None => store.key_with_digest(&self.key.digest).await?,
            found => found,
        };
        Ok(key.map(|key| Self { key, account: self.account }))
    }
    async fn insert(&self, store: &dyn ImportStore) -> Result<String, StoreError> {
        store.number_from(Numbered::Key, self.key.number).await?;
        store.insert_key_with_account(&self.key, self.account).await?;
        Ok(self.target())
    }
    async fn update(&self, store: &dyn ImportStore, here: &Self) -> Result<(), StoreError> {
        write_key_over(store, &here.key, &self.over(&here.key)).await
    }
}

/// Which ids they have here, or will have.
pub(super) async fn identify(view: &View<'_>, writer: &Writer, groups: &Groups) -> anyhow::Result<Known> {
    let mut known = Known { source: writer.source.clone(), ids: HashMap::new() };
    let Some(rows) = view.rows(table("eiai_key")).await? else { return Ok(known) };
    loop {
        let page = view.next(&rows).await?;
        if page.is_empty() {
            return Ok(known);
        }
        for record in page {
            // What cannot be read is told when the keys are written.
            let Ok(wanted) = read(&record, &writer.source, groups, None, &mut Vec::new()) else { continue };
            let note = writer.store.import_note(&writer.source, KIND, &record.id).await?;
            let here = wanted.find(&*writer.store, note.as_ref().map(|note| &*note.target)).await?;
            // One that another product's key has the place of keeps its history under an id of its own.
            let here = here.filter(|here| note.is_some() || writer.overwrite || here.key.id == wanted.key.id);
            known.ids.insert(wanted.key.number, here.map_or(wanted.key.id, |here| here.key.id));
        }
    }
}

/// All that was ever spent, whatever is left of its history.
pub(super) async fn import_totals(view: &View<'_>, writer: &mut Writer, known: &Known) -> anyhow::Result<()> {
    let mut totals = HashMap::new();
    let Some(rows) = view.rows(table("eiai_key")).await? else { return Ok(()) };
    loop {
        let page = view.next(&rows).await?;
        if page.is_empty() {
            break;
        }
        for record in page {
            let (Ok(number), Ok(total)) = (number(&record, "id"), record.decimal_usd("total_fee")) else { continue };
            if total > Money::ZERO {
                totals.insert(known.id(number), total);
            }
        }
    }
    Ok(history::put_totals(writer, totals).await?)
}

pub(super) async fn import(
    view: &View<'_>,
    writer: &mut Writer,
    groups: &Groups,
    options: &Options,
) -> anyhow::Result<Placed> {
    let mut placed = Placed::new();
    writer.report.mention(KIND);
    writer.report.mention(ACCOUNTS);
    let Some(rows) = view.rows(table("eiai_key")).await? else { return Ok(placed) };
    loop {
        let page = view.next(&rows).await?;
        if page.is_empty() {
            return Ok(placed);
        }
        for record in page {
            let mut remarks = Vec::new();
            match read(&record, &writer.source, groups, Some(options), &mut remarks) {
                Ok(wanted) => one(writer, &record.id, &wanted, &mut placed).await?,
                Err(why) => writer.report.broken(KIND, &record.id, why),
            }
            for remark in remarks {
                writer.report.remark(KIND, &record.id, remark);
            }
        }
    }
}

async fn one(writer: &mut Writer, id: &str, wanted: &MemberKey, placed: &mut Placed) -> anyhow::Result<()> {
    let Some(here) = writer.put(id, wanted).await? else { return Ok(()) };
    remark_number(writer, id, wanted.key.number, &here, here.row.key.number);
    let key = here.row.key.id;
    // One that is another product's key is none of this one's.
    let stranger = here.fate == Fate::Different && key != wanted.key.id;
    if stranger && writer.store.import_note(&writer.source, KIND, id).await?.is_none() {
        writer.report.leave(ACCOUNTS, id, Fate::LeftOut, "its key is left out");
        return Ok(());
    }
    placed.insert(wanted.key.number, key);
    account(writer, id, key, here.fate, wanted.account).await
}

/// An account follows the source until it is used here.
async fn account(writer: &mut Writer, id: &str, key: KeyId, fate: Fate, wanted: Account) -> anyhow::Result<()> {
    let text = written(wanted);
    if fate == Fate::New {
        writer.report.count(ACCOUNTS, Fate::New, 1);
        return Ok(writer.write_note(ACCOUNTS, id, &text, 0).await?);
    }
    let note = writer.store.import_note(&writer.source, ACCOUNTS, id).await?;
    let books = writer.store.books(&[key]).await?;
    let here = books.first().map(|(_, books)| books.account).unwrap_or_default();
    let unchanged_there = note.as_ref().is_some_and(|note| *note.target == *text);
    if here == wanted || (unchanged_there && !writer.overwrite) {
        writer.report.count(ACCOUNTS, Fate::Equal, 1);
        return Ok(writer.write_note(ACCOUNTS, id, &text, 0).await?);
    }
    let unused_here = note.as_ref().is_some_and(|note| *note.target == *written(here));
    if !unused_here && !writer.overwrite {
        let why = if note.is_some() { "was used here since the last import" } else { "another one is here" };
        writer.report.leave(ACCOUNTS, id, Fate::Different, why);
        return Ok(());
    }
    if !writer.dry {
        match writer.store.replace_account(key, here, wanted).await {
            Ok(()) => {}
            Err(StoreError::Conflict | StoreError::NotFound) => {
                writer.report.leave(ACCOUNTS, id, Fate::Different, "was used meanwhile; run the import again");
                return Ok(());
            }
            Err(error) => return Err(error.into()),
        }
    }
    writer.report.count(ACCOUNTS, Fate::Updated, 1);
    Ok(writer.write_note(ACCOUNTS, id, &text, 0).await?)
}

fn written(account: Account) -> String {
    format!("{} {} {}", account.month.0, account.month_fee.units(), account.balance.units())
}

/// `options`: without them the account is left empty.
fn read(
    record: &Record,
    source: &str,
    groups: &Groups,
    options: Option<&Options>,
    remarks: &mut Vec<String>,
) -> Read<MemberKey> {
    let number = number(record, "id")?;
    let raw = record.text("api_key")?;
    if raw.is_empty() {
        return Err(fault("api_key", "is empty"));
    }
    let updated_at = record.timestamp("updated_at")?;
    let key = Key {
        id: key_id(source, number),
        number,
        revision: 0,
        digest: digest(raw.as_bytes()),
        hint: hint(&raw).into(),
        name: record.text("name")?,
        tags: Box::default(),
        created_at: record.timestamp("created_at")?,
        updated_at,
        revoked: false,
        revoked_reason: Box::default(),
        single_setting: false,
        setting_ids: Box::default(),
        rotation: false,
        allowed_paths: Box::default(),
        ttl: Box::default(),
        rate: None,
        total_budget: None,
        window_budget: None,
        budget_mode: None,
        log_request: false,
        log_response: false,
        policy_id: Box::default(),
        is_key_not_hashed: false,
        membership: Some(Box::new(membership(record, groups, remarks)?)),
    };
    let account = options.map_or(Ok(Account::default()), |options| balance(record, updated_at, options))?;
    Ok(MemberKey { key, account })
}

fn membership(record: &Record, groups: &Groups, remarks: &mut Vec<String>) -> Read<Membership> {
    let role = record.text("role")?;
    let group = match number(record, "group_id")? {
        0 => None,
        number => {
            let group = groups.get(&number).copied();
            if group.is_none() {
                remarks.push(format!("names the group {number}, which is not here"));
            }
            group
        }
    };
    let quota = record.decimal_usd("month_quota")?;
    if quota < Money::ZERO {
        return Err(fault("month_quota", "is negative"));
    }
    Ok(Membership {
        email: record.text_or_null("email")?,
        role: Role::parse(&role).unwrap_or_default(),
        group,
        models: Box::default(),
        quota: Some(quota),
    })
}

/// The month fee is of the month in which the row was last written: that is how the source knew when to begin anew.
fn balance(record: &Record, updated_at: UnixMillis, options: &Options) -> Read<Account> {
    let month_fee = record.decimal_usd("month_fee")?;
    let month = if month_fee.is_zero() { UnixMillis::default() } else { options.zone.month_start(updated_at) };
    Ok(Account { month, month_fee, balance: record.decimal_usd("balance")? })
}
